"""Lines that tests ask a service for, each with a sound of its own, and how they ask."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from storycore_tts import ReferenceAudio
from storycore_tts.sound.files import encode
from storycore_tts.testing.comfyui.speech import Speaking, decode, speak
from storycore_tts.testing.contract import tone_reference
from storycore_tts.testing.service_process import ServiceProcess

JOBS = "/ai/tts/qwen/jobs"
SPEAKERS = ("Ryan", "Vivian", "Serena")
PATIENCE = 60.0  # s, for what must happen


@dataclass(frozen=True)
class Line:
    """One that is asked for; no other has its text, and few its length."""

    number: int

    @property
    def text(self) -> str:
        return f"Line {self.number}{', and one more' * (self.number % 7)}."

    @property
    def is_clone(self) -> bool:
        return self.number % 5 == 4

    @property
    def key(self) -> str | None:
        """Every other one may be asked for again."""
        return f"key {self.number}" if self.number % 2 else None

    @property
    def waits(self) -> bool:
        """Whether the client waits for the sound itself."""
        return self.key is not None and self.number % 3 == 0

    @property
    def speaker(self) -> str:
        return SPEAKERS[self.number % len(SPEAKERS)]

    @property
    def asked(self) -> dict[str, Any]:
        headers = {} if self.waits else {"Prefer": "respond-async"}
        if self.key is not None:
            headers["Idempotency-Key"] = self.key
        fields: dict[str, Any] = {"text": self.text, "language": "English", "seed": self.number}
        if not self.is_clone:
            body = {"json": {**fields, "speaker": self.speaker}}
            return {"url": "/ai/tts/qwen/generate", "headers": headers, **body}
        form = {**fields, "transcript": "What is said in it."}
        files = {"reference": ("mine.wav", recording(), "audio/wav")}
        return {"url": "/ai/tts/qwen/clone", "headers": headers, "data": form, "files": files}

    @property
    def samples(self) -> np.ndarray:
        """What the stand-in makes of it, and of nothing else."""
        speaker = "Ryan" if self.is_clone else self.speaker
        character = character_of(tone_reference(220.0)) if self.is_clone else ""
        return speak(Speaking(self.text, speaker, "English", self.number, character=character))


def character_of(reference: ReferenceAudio) -> str:
    """By what the stand-in tells the voice of an uploaded recording from all others."""
    uploaded = encode(reference.padded(), reference.sample_rate, ".wav")
    return hashlib.sha256(decode(uploaded).samples.tobytes()).hexdigest()


def recording() -> bytes:
    reference = tone_reference(220.0)
    return encode(reference.samples, int(reference.sample_rate), ".wav")


def client(service: ServiceProcess) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=service.url, timeout=PATIENCE, trust_env=False)


async def ended(http: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """Follow a job to its end, and return how it stands then."""

    job: dict[str, Any] = {}
    async with http.stream("GET", f"{JOBS}/{job_id}/events") as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                job = json.loads(line.removeprefix("data: "))
    return job


def is_right(audio: bytes, line: Line) -> None:
    sounds_like(decode(audio).samples, line.samples)


def sounds_like(samples: np.ndarray, expected: np.ndarray) -> None:
    assert samples.shape == expected.shape
    np.testing.assert_allclose(samples, expected, atol=2**-14)  # 16 bits
