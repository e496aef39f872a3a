"""What a record says of a sound file: how it was made, and nothing of its content in clear."""

from __future__ import annotations

import hmac
from dataclasses import fields
from datetime import datetime
from hashlib import sha256
from typing import Any

from storycore_tts.domain.requests import CloneRequest, SpeechRequest, voice_of
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.speech import Speech


def facts_of(
    speech: Speech, *, file_sha256: str, suffix: str, moment: datetime, secret: bytes
) -> dict[str, Any]:
    """Return the facts of a sound file, without those that are unknown.

    Args:
        speech: What is in it.
        file_sha256: Hash of the file, in hexadecimal digits.
        suffix: Its suffix, such as ".wav".
        moment: When it was made, in UTC.
        secret: The secret of the ledger.
    """
    request = speech.request
    facts = {
        "kind": "file",
        "time": moment.isoformat(timespec="milliseconds"),
        "file": file_sha256,
        "format": suffix.removeprefix("."),
        "seconds": round(speech.duration, 3) or None,  # unknown of a stream
        "backend": speech.backend,
        "model": speech.model,
        "source": speech.source_type,
        "voice": speech.speaker,
        "language": speech.language,
        "seed": speech.seed,
        "job": speech.job_id,
        "disclosed": speech.notice is not None or None,
    }
    if request is not None:
        facts |= _of_request(request, secret)
    if speech.notice is not None and speech.notice.request is not None:
        said = _voice_of(speech.notice.request)
        facts |= {f"notice_{name}": value for name, value in said.items()}
    return {name: value for name, value in facts.items() if value not in (None, "", {})}


def text_hash(text: str, secret: bytes) -> str:
    """Return the hash of a text, which cannot be guessed without the ledger's secret.

    Args:
        text: The text.
        secret: The secret of the ledger.
    """
    return hmac.new(secret, text.encode("utf-8", "surrogatepass"), sha256).hexdigest()


def _of_request(request: SpeechRequest | CloneRequest, secret: bytes) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "text": text_hash(request.text, secret),
        "sampling": {
            field.name: getattr(request.sampling, field.name)
            for field in fields(Sampling)
            if getattr(request.sampling, field.name) != field.default and field.name != "seed"
        },
    }
    if request.job_id:
        facts["job"] = request.job_id
    if isinstance(request, CloneRequest) and request.consent:
        facts["stated_consent"] = text_hash(request.consent, secret)
    return facts | _voice_of(request)


def _voice_of(request: SpeechRequest | CloneRequest) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if isinstance(request, CloneRequest):
        facts["reference"] = request.reference.sha256
    if voice := voice_of(request):
        facts["voice"] = voice
    if request.voice_consent is not None:
        facts["consent"] = request.voice_consent.id
    return facts
