"""Takes in a folder."""

import asyncio
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from storycore_tts.domain.casting import Character
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.script import Line, NotSpoken, Script, Take
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import ConsentRefused, OutOfMemory, StorageFailed
from storycore_tts.services.takes import Planned, speak_lines, speech_key


@dataclass
class Speaking:
    """Speaks every line differently, and counts how many it speaks at once."""

    backend: str = "one"
    asked: list = field(default_factory=list)
    at_once: int = 0
    most: int = 0
    refused: str = ""

    async def check_consent(self, request):
        if request.text == self.refused:
            raise ConsentRefused("revoked")

    async def speak(self, request):
        self.asked.append(request.text)
        number = len(self.asked)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        for _ in range(5):
            await asyncio.sleep(0)
        self.at_once -= 1
        if request.text == "Fail.":
            raise OutOfMemory("too large")
        noise = np.random.default_rng(number).normal(0, 0.1, 2400)
        return Speech(noise.astype(np.float32), 24_000, backend=self.backend, model="m")


def planned(*words):
    lines = [Line(10 * n, f"l{n}", Character("x", "Mia"), text) for n, text in enumerate(words, 1)]
    return Script("S", "", tuple(lines)), [
        Planned(line, SpeechRequest(line.text, "Ryan"), "Ryan") for line in lines
    ]


async def speak(tts, folder, *words, **how):
    return await speak_lines(tts, *planned(*words), folder, model="1.7B", **how)


async def test_repeated_words_keep_their_own_takes(tmp_path):
    first = await speak(Speaking(), tmp_path, "Yes.", "Yes.")
    before = [take.path.read_bytes() for take in first]
    assert before[0] != before[1]
    again = await speak(tts := Speaking(), tmp_path, "Yes.", "Yes.")
    assert [take.path.read_bytes() for take in again] == before
    assert tts.asked == []


async def test_a_take_is_not_reused_without_consent(tmp_path):
    await speak(Speaking(), tmp_path, "Yes.", "No.")
    takes = await speak(Speaking(refused="No."), tmp_path, "Yes.", "No.")
    assert [type(take) for take in takes] == [Take, NotSpoken]
    assert isinstance(takes[1].error, ConsentRefused)


async def test_lines_are_spoken_at_once_within_the_bound_and_come_back_in_order(tmp_path):
    tts = Speaking()
    words = [f"Line {n}." for n in range(12)]
    takes = await speak(tts, tmp_path, *words, concurrency=3)
    assert [take.line.text for take in takes] == words
    assert tts.most == 3


async def test_a_line_that_fails_keeps_no_other_from_being_kept(tmp_path):
    await speak(Speaking(), tmp_path, "A.", "Fail.", "B.")
    takes = await speak(tts := Speaking(), tmp_path, "A.", "Fail.", "B.")
    assert [type(take) for take in takes] == [Take, NotSpoken, Take]
    assert tts.asked == ["Fail."]


@pytest.mark.parametrize("damage", ["{", "[]", '{"S_0010_MIA.wav": 3}', '{"S_0010_MIA.wav": {}}'])
async def test_an_index_that_is_damaged_costs_takes_and_nothing_else(tmp_path, damage):
    await speak(Speaking(), tmp_path, "A.")
    (tmp_path / "takes.json").write_text(damage)
    takes = await speak(Speaking(), tmp_path, "A.")
    assert takes[0].is_new
    assert not (await speak(Speaking(), tmp_path, "A."))[0].is_new


async def test_a_folder_that_takes_no_file_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed):
        await speak(Speaking(), tmp_path / "file", "A.")
    (tmp_path / "takes" / "S_0010_MIA.wav").mkdir(parents=True)
    takes = await speak(Speaking(), tmp_path / "takes", "A.")
    assert isinstance(takes[0].error, StorageFailed)


def test_all_that_the_sound_depends_on_is_in_the_key_and_nothing_else():
    plain = SpeechRequest("Hi.", "Ryan")
    sound = ReferenceAudio(np.sin(np.arange(24_000) / 20).astype(np.float32), 24_000, "Hm.")
    clone = CloneRequest("Hi.", sound)
    requests = [
        plain,
        replace(plain, text="Ho."),
        replace(plain, speaker="Eric"),
        replace(plain, language="French"),
        replace(plain, instruct="sad"),
        replace(plain, checkpoint="/m"),
        replace(plain, sampling=Sampling(seed=1)),
        clone,
        replace(clone, x_vector_only=True),
        replace(clone, reference=replace(sound, transcript="Ha.")),
        replace(clone, reference=replace(sound, samples=sound.samples / 2)),
    ]
    keys = [speech_key(one, "m") for one in requests] + [speech_key(plain, "other")]
    assert len(set(keys)) == len(keys)
    assert speech_key(replace(plain, project="p", job_id=None), "m") == keys[0]


def test_a_take_is_kept_after_an_upgrade():
    """The key that version 0.1 wrote: parameters were added since, and this line sets none."""
    key = "e7a2350a705cbbeb73ab2544ae9493be8f0fe982fc3d683e8caa922e437e511d"
    assert speech_key(SpeechRequest("Hello.", "Ryan"), "comfyui 1.7B") == key
