"""Builds results from finished jobs.

Everything is read from the graph that ran, because a resumed job may differ from the graph that the
caller would have submitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.graphs import CUSTOM_VOICE, OUTPUT_ID, VOICE_ID
from storycore_tts.adapters.comfyui.protocol.messages import StoredFile, first, mapping
from storycore_tts.adapters.comfyui.protocol.plan import JobDone
from storycore_tts.domain.requests import INSTRUCT_UNHEARD
from storycore_tts.domain.speech import Speech, Timings
from storycore_tts.domain.text import TOKENS_PER_SECOND
from storycore_tts.errors import GenerationFailed
from storycore_tts.sound.samples import SAMPLE_RATE, Samples

_UNVERIFIED = (
    "the ComfyUI server does not report whether it has loaded the checkpoint {}: if the folder is "
    "missing, it uses the stock model"
)
_FRAME = int(SAMPLE_RATE / TOKENS_PER_SECOND)  # samples per codec frame


def speech(
    samples: Samples,
    done: JobDone,
    *,
    seconds: float,
    verified: bool,
    warnings: tuple[str, ...] = (),
) -> Speech:
    """Build the result of a speech job.

    Args:
        samples: The downloaded audio.
        done: The job that generated it.
        seconds: Seconds since the call started.
        verified: Whether the server is known to have loaded the checkpoint, if there is one.
        warnings: Warnings about the request itself.
    """
    node = done.graph[VOICE_ID]
    voice, is_clone = node["inputs"], node["class_type"] != CUSTOM_VOICE
    size, checkpoint = voice.get("model_choice"), voice.get("custom_model_path")
    spoken_by = voice.get("custom_speaker_name" if checkpoint else "speaker")
    if voice.get("instruct") and size == "0.6B":
        warnings = (*warnings, INSTRUCT_UNHEARD)
    model = checkpoint or f"Qwen/Qwen3-TTS-12Hz-{size}-{'Base' if is_clone else 'CustomVoice'}"
    if not verified:
        model, warnings = "", (*warnings, _UNVERIFIED.format(checkpoint))
    return Speech(
        samples=samples,
        sample_rate=SAMPLE_RATE,
        backend=BACKEND,
        model=model,
        speaker="" if is_clone else str(spoken_by),
        language=str(voice.get("language", "Auto")),
        seed=voice.get("seed"),
        x_vector_only=bool(voice.get("x_vector_only")),
        timings=Timings(done.queued, done.running, seconds),
        job_id=done.prompt_id,
        warnings=(*done.warnings, *warnings),
        cutoff=_cutoff(voice["max_new_tokens"]),
    )


def audio_output(outputs: Mapping[str, Any]) -> StoredFile:
    """Return the audio file in a job's outputs.

    Raises:
        GenerationFailed: The outputs contain no audio file.
    """
    file = mapping(first(mapping(outputs.get(OUTPUT_ID)).get("audio")))
    if not isinstance(file.get("filename"), str):
        raise _no_output("names no audio file")
    # The type is kept: previews are in "temp", saved files in "output".
    return StoredFile(
        file["filename"], str(file.get("subfolder") or ""), str(file.get("type") or "output")
    )


def text_output(outputs: Mapping[str, Any]) -> str:
    """Return the text in a job's outputs.

    Raises:
        GenerationFailed: The outputs contain no text.
    """
    text = first(mapping(outputs.get(OUTPUT_ID)).get("text"))
    if not isinstance(text, str):
        raise _no_output("names no checkpoint")
    return text


def _cutoff(tokens: int) -> float:
    """Return the duration in seconds from which a generation counts as having used up its tokens.

    N tokens produce N−1 frames, and the pack's copy of the codec drops 555 samples for each 300
    frames or part of them (measured on 1.0.6).
    """
    longest = (tokens - 1) * _FRAME - 555 * math.ceil(tokens / 300)
    return (longest - 2 * _FRAME) / SAMPLE_RATE


def _no_output(what: str) -> GenerationFailed:
    return GenerationFailed(
        f"ComfyUI says that the job is done, but its history {what}.",
        hint="Check the server's log.",
        node_id=OUTPUT_ID,
        backend=BACKEND,
    )
