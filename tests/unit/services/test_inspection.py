"""What `inspect` concludes from tags, signature and watermark, and how it treats odd files."""

import asyncio

import numpy as np
import pytest

from storycore_tts.errors import (
    BackendOverloaded,
    InvalidReferenceAudio,
    MarkingFailed,
    RecordingTooLarge,
    UnsupportedRecording,
)
from storycore_tts.ports.inspecting import Manifest, ManifestProblem
from storycore_tts.ports.marking import WatermarkScore
from storycore_tts.services.inspection import (
    Inspection,
    Inspector,
    NotChecked,
    Verdict,
    claim_of,
    to_json,
)
from storycore_tts.sound.files import encode_exactly

URI = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SYNTHETIC = URI + "trainedAlgorithmicMedia"
RECORDED = URI + "digitalCapture"

MADE = {"digitalsourcetype": SYNTHETIC}
CAPTURED = {"digitalsourcetype": RECORDED}

UNTRUSTED = ManifestProblem("signingCredential.untrusted", "The signer is unknown.")
CHANGED = ManifestProblem("assertion.dataHash.mismatch", "The sound was changed.")
EXPIRED = ManifestProblem("signingCredential.expired", "The certificate had expired.")


def signed(source_type=SYNTHETIC, *, trusted=False):
    problems = () if trusted else (UNTRUSTED,)
    return Manifest(True, trusted, False, "Ann", source_type=source_type, problems=problems)


def broken(source_type=SYNTHETIC):
    return Manifest(
        False, False, True, "Ann", source_type=source_type, problems=(UNTRUSTED, CHANGED)
    )


DAMAGED = Manifest(False, False, None, problems=(EXPIRED,))
UNREAD = NotChecked("pip install it.", present=True)

HEARD = WatermarkScore("ears 1.0", 0.98, found=True)
NOT_HEARD = WatermarkScore("ears 1.0", 0.01, found=False)
NO_EARS = NotChecked("pip install ears.")

AND_HEARD = " A watermark of synthetic speech was found."
IS_MADE, IS_CAPTURED = (
    "This file says that it is synthetic",
    "This file says that it is a recording",
)
INTACT = ", and its signature by Ann is intact; the signer is not on a trust list."
TRUSTED = ", and its signature by Ann is intact; the signer is on a trust list."
UNSIGNED = "; it is not signed, so anyone may have written that."
UNCHECKED = "; its signature was not checked."
NO_PROOF = "; that does not prove that a person spoke it."
CONTRADICTS = "WARNING: this file contradicts itself: "
WAS_CHANGED = "WARNING: this file was changed after it was signed by Ann. It says "
ANYONE = ", which anyone may have written."

S, R, N, U, C, B = (
    Verdict.SYNTHETIC,
    Verdict.RECORDING,
    Verdict.NOTHING,
    Verdict.UNCHECKED,
    Verdict.CONTRADICTORY,
    Verdict.BROKEN,
)

# tags, signature, watermark -> verdict, sentence
TABLE = [
    # Nothing but tags.
    (MADE, None, NOT_HEARD, S, IS_MADE + UNSIGNED),
    (MADE, None, NO_EARS, S, IS_MADE + UNSIGNED),
    (MADE, None, HEARD, S, IS_MADE + UNSIGNED + AND_HEARD),
    (MADE, UNREAD, NOT_HEARD, S, IS_MADE + UNCHECKED),
    (CAPTURED, None, NOT_HEARD, R, IS_CAPTURED + UNSIGNED),
    (CAPTURED, None, NO_EARS, R, IS_CAPTURED + UNSIGNED),
    (CAPTURED, UNREAD, NO_EARS, R, IS_CAPTURED + UNCHECKED),
    # Signed.
    (MADE, signed(), NOT_HEARD, S, IS_MADE + INTACT),
    (MADE, signed(), HEARD, S, IS_MADE + INTACT + AND_HEARD),
    (MADE, signed(trusted=True), NO_EARS, S, IS_MADE + TRUSTED),
    (MADE, signed(""), NO_EARS, S, IS_MADE + INTACT),
    ({}, signed(), NOT_HEARD, S, IS_MADE + INTACT),
    ({}, signed(RECORDED, trusted=True), NOT_HEARD, R, IS_CAPTURED + TRUSTED),
    (
        {},
        signed(""),
        NOT_HEARD,
        N,
        f"This file does not say how it was made{INTACT} No watermark was found{NO_PROOF}",
    ),
    (
        {},
        signed(""),
        NO_EARS,
        N,
        f"This file does not say how it was made{INTACT} No watermark was looked for{NO_PROOF}",
    ),
    # Nothing at all.
    (
        {},
        None,
        NOT_HEARD,
        N,
        f"This file says nothing of itself, and no watermark was found{NO_PROOF}",
    ),
    (
        {"title": "Song"},
        None,
        NO_EARS,
        N,
        f"This file says nothing of itself, and no watermark was looked for{NO_PROOF}",
    ),
    (
        {},
        UNREAD,
        NOT_HEARD,
        U,
        "This file has a signature that was not checked: pip install it.",
    ),
    # Only a watermark.
    (
        {},
        None,
        HEARD,
        S,
        "A watermark of synthetic speech was found, although the file does not say so.",
    ),
    (
        {},
        UNREAD,
        HEARD,
        S,
        "A watermark of synthetic speech was found, although the file does not say so.",
    ),
    (
        {},
        signed(""),
        HEARD,
        S,
        "A watermark of synthetic speech was found, although neither the file nor its signature "
        "says so.",
    ),
    # Contradictions.
    (
        CAPTURED,
        signed(),
        NOT_HEARD,
        C,
        f"{CONTRADICTS}its tags say that it is a recording, but its signature says that it is "
        "synthetic.",
    ),
    (
        MADE,
        signed(RECORDED),
        HEARD,
        C,
        f"{CONTRADICTS}its tags say that it is synthetic, its signature says that it is a "
        "recording, but a watermark of synthetic speech was found.",
    ),
    (
        CAPTURED,
        None,
        HEARD,
        C,
        f"{CONTRADICTS}its tags say that it is a recording, but a watermark of synthetic speech "
        "was found.",
    ),
    (
        {},
        signed(RECORDED),
        HEARD,
        C,
        f"{CONTRADICTS}its signature says that it is a recording, but a watermark of synthetic "
        "speech was found.",
    ),
    # Broken signatures are loud, whatever else is there.
    (MADE, broken(), NOT_HEARD, B, f"{WAS_CHANGED}that it is synthetic{ANYONE}"),
    (MADE, broken(), HEARD, B, f"{WAS_CHANGED}that it is synthetic{ANYONE}{AND_HEARD}"),
    (CAPTURED, broken(), NO_EARS, B, f"{WAS_CHANGED}that it is a recording{ANYONE}"),
    ({}, broken(), NO_EARS, B, f"{WAS_CHANGED}that it is synthetic{ANYONE}"),
    (
        {},
        DAMAGED,
        NO_EARS,
        B,
        "WARNING: the signature of this file does not hold. The certificate had expired.",
    ),
]


@pytest.mark.parametrize(("tags", "signature", "watermark", "verdict", "sentence"), TABLE)
def test_the_verdict_and_its_sentence(tags, signature, watermark, verdict, sentence):
    it = Inspection(tags, signature, watermark)
    assert (it.verdict, it.sentence) == (verdict, sentence)


def test_every_combination_has_a_verdict_and_a_sentence():
    for tags in ({}, MADE, CAPTURED):
        for signature in (None, UNREAD, signed(), signed(RECORDED), signed(""), broken(), DAMAGED):
            for watermark in (HEARD, NOT_HEARD, NO_EARS):
                it = Inspection(tags, signature, watermark)
                assert it.sentence.endswith(".")
                assert (it.verdict in (B, C)) == it.sentence.startswith("WARNING")


@pytest.mark.parametrize(
    ("code", "claim"),
    [
        ("trainedAlgorithmicMedia", "SYNTHETIC"),
        (f"{URI}algorithmicMedia", "SYNTHETIC"),
        (f"{URI}compositeWithTrainedAlgorithmicMedia/", "SYNTHETIC"),
        (f" {SYNTHETIC.upper()}\n", "SYNTHETIC"),
        (RECORDED, "RECORDED"),
        (f"{URI}humanEdits", "RECORDED"),
        (f"{URI}screenCapture", None),
        ("", None),
        ("not trainedAlgorithmicMedia", None),
    ],
)
def test_source_types_of_iptc(code, claim):
    found = claim_of(code)
    assert (found and found.name) == claim


def test_json_has_the_same_keys_whatever_was_found():
    def shape(value):
        return (
            {key: shape(inner) for key, inner in value.items() if key != "all"}
            if isinstance(value, dict)
            else None
        )

    found = [
        to_json(Inspection(tags, signature, watermark))
        for tags in ({}, MADE)
        for signature in (None, UNREAD, signed(), broken())
        for watermark in (HEARD, NO_EARS)
    ]
    assert all(shape(one) == shape(found[0]) for one in found)
    assert [one["signature"]["state"] for one in found[::2]][:4] == [
        "none",
        "not checked",
        "intact",
        "broken",
    ]


SOUND = encode_exactly(np.zeros(2400, np.float32), 24_000)
SIGNED = SOUND + b"jumb c2pa"


async def nothing_signed(data):
    return None


async def silence(data):
    return np.zeros(2400, np.float32), 24_000


class Ears:
    def detect(self, samples, sample_rate):
        return WatermarkScore("ears", 0.5, found=True)


def inspector(**parts):
    usual = {
        "read_tags": lambda data: {},
        "read_manifest": nothing_signed,
        "watermark": NO_EARS,
        "read_samples": silence,
        "max_bytes": 100_000,
    }
    return Inspector(**{**usual, **parts})


async def test_all_three_readers_are_asked():
    async def manifest(data):
        assert data == SIGNED
        return signed()

    found = await inspector(
        read_tags=lambda data: MADE, read_manifest=manifest, watermark=Ears()
    ).inspect(SIGNED)
    assert found == Inspection(MADE, signed(), WatermarkScore("ears", 0.5, found=True))


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"", UnsupportedRecording, "The file is empty."),
        (b"Dear Ann, I am a letter.", UnsupportedRecording, "not a sound file"),
        (bytes(range(256)), UnsupportedRecording, "not a sound file"),
        (SOUND + bytes(100_000), RecordingTooLarge, "the maximum is 100000"),
    ],
)
async def test_what_is_no_sound_file_or_too_large_is_refused(data, kind, message):
    with pytest.raises(kind, match=message):
        await inspector().inspect(data)


async def test_a_file_without_a_manifest_starts_no_reader_of_manifests():
    async def manifest(data):
        raise AssertionError

    found = await inspector(read_manifest=manifest).inspect(SOUND)
    assert found.signature is None


async def test_without_the_extra_a_signature_that_is_there_is_reported_as_not_checked():
    without = inspector(read_manifest=NotChecked("pip install it."))
    assert (await without.inspect(SIGNED)).signature == UNREAD
    assert (await without.inspect(SOUND)).signature is None


async def test_a_manifest_elsewhere_is_not_fetched_and_not_called_broken():
    async def manifest(data):
        problem = ManifestProblem("manifest.remote", "It is at https://evil.example.")
        return Manifest(False, False, None, problems=(problem,))

    found = await inspector(read_manifest=manifest).inspect(SOUND + b"dcterms:provenance")
    assert found.signature == NotChecked("It is at https://evil.example.", present=True)
    assert found.verdict is U


async def test_a_sound_that_cannot_be_decoded_is_inspected_without_its_watermark():
    async def damaged(data):
        raise InvalidReferenceAudio("Cannot read the recording: it is damaged.")

    found = await inspector(
        read_tags=lambda data: MADE, read_samples=damaged, watermark=Ears()
    ).inspect(SOUND)
    assert found.watermark == NotChecked("Cannot read the recording: it is damaged.")
    assert found.verdict is S


async def test_a_file_without_sound_has_no_watermark_to_look_for():
    async def empty(data):
        return np.zeros(0, np.float32), 24_000

    found = await inspector(read_samples=empty, watermark=Ears()).inspect(SOUND)
    assert found.watermark == NotChecked("The file contains no sound.")


async def test_a_detector_that_fails_is_reported():
    class Deaf:
        def detect(self, samples, sample_rate):
            raise MarkingFailed("The networks are damaged.", hint="Install them again.")

    found = await inspector(watermark=Deaf()).inspect(SOUND)
    assert found.watermark == NotChecked("The networks are damaged. Install them again.")


async def test_what_a_file_says_cannot_control_a_terminal_nor_fill_it():
    async def manifest(data):
        return Manifest(False, False, True, "\x1b[2JAnn\n\u202e", actions=("\x07",) * 900)

    tags = {f"\x1b{n}": "a\r\nb\x9b" + "x" * 9000 for n in range(900)} | MADE
    found = await inspector(read_tags=lambda data: tags, read_manifest=manifest).inspect(SIGNED)
    assert found.sentence.isprintable()
    assert found.signature.signed_by == "?[2JAnn ?"
    assert len(found.signature.actions) == len(found.tags) == 50
    assert found.tags["?0"].startswith("a b?x")
    assert found.tags["digitalsourcetype"] == SYNTHETIC  # however many others there are
    assert all(len(value) <= 500 for value in found.tags.values())


async def test_more_files_than_may_wait_are_refused_and_the_others_are_inspected():
    gate = asyncio.Event()

    async def manifest(data):
        await gate.wait()

    one = inspector(read_manifest=manifest, concurrency=1, max_waiting=1)
    tasks = [asyncio.ensure_future(one.inspect(SIGNED)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(BackendOverloaded, match="2 files"):
        await one.inspect(SIGNED)
    gate.set()
    assert [found.verdict for found in await asyncio.gather(*tasks)] == [N, N]
    assert (await one.inspect(SOUND)).verdict is N
