"""One report tells everything that is wrong with a dataset; what may be meant so is a warning."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from storycore_tts.adapters.direct.training import check_dataset
from storycore_tts.errors import InvalidDataset

from .conftest import WORDS, tone, write_recording


def report_of(source):
    with pytest.raises(InvalidDataset) as refused:
        check_dataset(source)
    assert refused.value.hint
    return [line.strip() for line in refused.value.message.splitlines()[1:-1]]


def test_a_folder_is_read_in_the_order_of_its_names(dataset):
    (dataset / "._line0.wav").write_bytes(b"what a Mac leaves behind")
    (dataset / "takes").mkdir()
    write_recording(dataset / "takes", "other", None)
    found = check_dataset(dataset)
    assert [recording.text for recording in found.recordings] == WORDS
    assert found.reference == dataset / "line0.wav"
    (below,) = found.warnings
    assert below.endswith("a recording in folders below it (takes), ignored")
    assert found.duration == pytest.approx(4 * 1.2)
    assert {recording.sample_rate for recording in found.recordings} == {24_000}


def test_every_fault_is_told_at_once(dataset):
    (dataset / "a broken.wav").write_bytes(b"RIFF and nothing that follows")
    (dataset / "a broken.txt").write_text("Broken.")
    write_recording(dataset, "b without words", None)
    write_recording(dataset, "c empty", " \n")
    write_recording(dataset, "d unspeakable", "... !?")
    write_recording(dataset, "e short", "Oh.", seconds=0.3)
    write_recording(dataset, "f long", "It goes on. " * 40, seconds=31.0)
    write_recording(dataset, "g latin", "", pitch=500).with_suffix(".txt").write_bytes(b"caf\xe9")
    shutil.copy(dataset / "line1.wav", dataset / "z again.wav")
    (dataset / "z again.txt").write_text("The same sound.")
    soundfile.write(dataset / "h silent.wav", np.zeros(24_000, np.float32), 24_000)
    (dataset / "h silent.txt").write_text("Silence.")
    report = report_of(dataset)
    faults = {
        "a broken.wav": "cannot be read as audio",
        "b without words.wav": "there is no transcript b without words.txt",
        "c empty.wav": "its transcript is empty",
        "d unspeakable.wav": "nothing to speak",
        "e short.wav": "is 0.30 s long; the minimum is 0.5 s",
        "f long.wav": "is 31.0 s long; the maximum is 30 s, so cut it",
        "g latin.txt": "is not valid UTF-8",
        "h silent.wav": "is silent",
        "z again.wav": "the same sound as line1.wav",
    }
    for name, what in faults.items():
        assert any(line.startswith(f"{name}: ") and what in line for line in report), name
    assert not any("line" in line.partition(":")[0] for line in report)


def test_the_same_sound_in_two_formats_is_a_fault_and_the_same_words_twice_are_none(dataset):
    write_recording(dataset, "again", WORDS[0], pitch=555)
    assert len(check_dataset(dataset).recordings) == 5
    samples, rate = soundfile.read(dataset / "line2.wav", dtype="int16")
    soundfile.write(dataset / "line2b.flac", samples, rate)
    (dataset / "line2b.txt").write_text("The same again.")
    assert report_of(dataset) == ["line2b.flac: the same sound as line2.wav"]


def speech(*, noise=0.0001, ends=0.1, seconds=3.0):
    """Syllables with pauses between them, and silence at the ends, in seconds."""
    time = np.arange(int(seconds * 24_000)) / 24_000
    syllables = 0.4 * np.sin(2 * np.pi * 220 * time) * (time % 0.5 < 0.3)
    silence = np.zeros(int(ends * 24_000))
    whole = np.concatenate([silence, syllables, silence])
    return whole + noise * np.random.default_rng(0).standard_normal(len(whole))


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (speech(), None),
        (np.clip(4 * speech(), -1, 1), "it is clipped: "),
        (speech() + 0.05, "it has a DC offset of +0.05"),
        (speech(noise=0.05), "it is noisy: its pauses are only 1"),
        (speech(ends=0.8), "it begins with 0.8 s of silence"),
    ],
)
def test_sound_that_would_be_learned_is_told(dataset, samples, told):
    soundfile.write(dataset / "line1.wav", samples, 24_000, subtype="FLOAT")
    warnings = [one for one in check_dataset(dataset).warnings if "take about" not in one]
    assert not warnings if told is None else warnings[0].startswith(f"line1.wav: {told}")


def test_folders_below_are_named_where_nothing_else_is(tmp_path):
    for name in ("anna", "ben"):
        (tmp_path / name).mkdir()
        write_recording(tmp_path / name, "one", "One.")
    (told,) = report_of(tmp_path)
    assert told.endswith("but 2 recordings in folders below it (anna, ben): name one of these")


def test_one_recording_is_little(tmp_path):
    write_recording(tmp_path, "one", "This is the one.")
    (told,) = check_dataset(tmp_path).warnings
    assert told.startswith("one.wav: only one recording")


def test_paths_from_the_working_directory_are_told_as_such(dataset, tmp_path, monkeypatch):
    """Upstream's manifests have them."""
    (tmp_path / "manifests").mkdir()
    manifest = jsonl(tmp_path / "manifests", {"audio": "./dataset/line1.wav", "text": "Two."})
    monkeypatch.chdir(tmp_path)
    (told,) = report_of(manifest)
    assert "is in the working directory and not beside train.jsonl" in told


def test_what_may_be_meant_so_is_a_warning(dataset):
    (dataset / "orphan.txt").write_text("Nobody says this.")
    write_recording(dataset, "racing", "word " * 60)
    soundfile.write(dataset / "telephone.wav", tone(1.0, sample_rate=8000), 8000)
    (dataset / "telephone.txt").write_text("Who is there?")
    warnings = check_dataset(dataset).warnings
    assert len(warnings) == 3
    assert any(w.startswith("orphan.txt: there is no recording") for w in warnings)
    assert any(w.startswith("racing.wav: its words take about") for w in warnings)
    assert any(w.startswith("telephone.wav: 8000 Hz") for w in warnings)


@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".ogg", ".WAV"])
def test_formats(tmp_path, suffix):
    soundfile.write(tmp_path / f"a{suffix}", tone(1.0), 24_000)
    (tmp_path / "a.txt").write_text("\ufeffA line.", encoding="utf-8")
    (recording,) = check_dataset(tmp_path).recordings
    assert recording.text == "A line."
    assert recording.duration == pytest.approx(1.0, abs=0.1)


def test_nothing_there(tmp_path):
    assert report_of(tmp_path) == [f"{tmp_path.name}: contains no recordings"]
    with pytest.raises(InvalidDataset, match=r"Cannot open the dataset .*: No such file"):
        check_dataset(tmp_path / "nowhere")


def jsonl(dataset, *lines):
    file = dataset / "train.jsonl"
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return file


def test_a_jsonl_file_names_audio_relative_to_itself(dataset):
    (dataset / "ref").mkdir()
    reference = write_recording(dataset / "ref", "clip", None, seconds=2.0, pitch=333)
    lines = [
        {"audio": f"line{i}.wav", "text": text, "ref_audio": "ref/clip.wav", "language": "en"}
        for i, text in enumerate(WORDS)
    ]
    lines[1]["audio"] = str(dataset / "line1.wav")
    found = check_dataset(jsonl(dataset, *lines))
    assert [recording.text for recording in found.recordings] == WORDS
    assert found.reference == reference


def test_a_jsonl_file_may_name_no_reference_or_several(dataset):
    found = check_dataset(jsonl(dataset, {"audio": "line1.wav", "text": "Two."}, ""))
    assert found.reference == dataset / "line1.wav"
    lines = [{"audio": f"line{i}.wav", "text": "Yes.", "ref_audio": f"line{i}.wav"} for i in (1, 2)]
    found = check_dataset(jsonl(dataset, *lines))
    assert found.reference == dataset / "line1.wav"
    assert any(w.startswith("ref_audio: 2 different ones") for w in found.warnings)


def test_every_fault_of_a_jsonl_file_is_told_at_once(dataset):
    report = report_of(
        jsonl(
            dataset,
            "{not json",
            "[1]",
            {"text": "No audio."},
            {"audio": "line0.wav"},
            {"audio": "gone.wav", "text": "Gone."},
            {"audio": "line1.wav", "text": "", "ref_audio": 7},
            {"audio": "line2.wav", "text": "Good.", "ref_audio": "no reference.wav"},
        )
    )
    assert [line.partition(":")[0] for line in report] == [
        *("line 1", "line 2", "line 3", "line 4 (line0.wav)", "line 5 (gone.wav)"),
        *("line 6 (line1.wav)", "line 6 (line1.wav)"),
        f"ref_audio {dataset / 'no reference.wav'}",
    ]


def test_the_digest_tells_what_is_trained_on_and_not_where(dataset, tmp_path):
    digest = check_dataset(dataset).digest
    moved = shutil.copytree(dataset, tmp_path / "moved")
    assert check_dataset(moved).digest == digest
    (moved / "line3.txt").write_text("Other words.")
    assert check_dataset(moved).digest != digest
