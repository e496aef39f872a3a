"""Makes the sound files of speech, marked as synthetic: the only way out for generated audio.

In this order: watermark, encoding with tags, signature, record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from storycore_tts.domain.logs import log_event
from storycore_tts.domain.requests import voice_of
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import MarkingFailed, StorageFailed
from storycore_tts.ports.marking import GenerationRecords, Signer, Watermark, WatermarkStream
from storycore_tts.sound.files import check_suffix, encode
from storycore_tts.sound.samples import Samples
from storycore_tts.sound.tags import Tags

_log = logging.getLogger(__name__)

_CAN_BE_SIGNED = (".wav", ".flac", ".mp3", ".m4a")  # the container has a place for a signature


@dataclass(frozen=True)
class MarkingPolicy:
    """What is marked, and how.

    Args:
        enabled: Whether files are marked at all.
        publish_text: Whether tags contain the spoken text.
        publish_voice: Whether tags contain the voice's name.
        watermark_all: Whether all files get a watermark; otherwise only streams and files in
            formats that cannot be signed.
        strict: Whether a failing watermark or signature is an error; otherwise it is logged, and
            the file is made without it.
        require_record: Whether it is an error if a file cannot be recorded; otherwise it is
            logged, and the file is made all the same.
    """

    enabled: bool = True
    publish_text: bool = False
    publish_voice: bool = False
    watermark_all: bool = False
    strict: bool = False
    require_record: bool = False


class Marking:
    """Makes marked sound files; see ``domain.provenance.Marker``.

    Args:
        policy: What is marked, and how.
        signer: Signs files; None: they are not signed.
        watermark: Marks samples; None: they are not marked.
        records: Keeps a record of each file; None: there are no records.
    """

    def __init__(
        self,
        policy: MarkingPolicy | None = None,
        *,
        signer: Signer | None = None,
        watermark: Watermark | None = None,
        records: GenerationRecords | None = None,
    ) -> None:
        self.policy = policy or MarkingPolicy()
        self._signer = signer
        self._watermark = watermark
        self._records = records

    def encode(self, speech: Speech, suffix: str, *, joinable: bool = False) -> bytes:
        """Return the sound file; see ``Speech.encode``. Blocks.

        Args:
            speech: The speech.
            suffix: See ``Speech.encode``.
            joinable: See ``Speech.encode``.

        Raises:
            InvalidRequest: The suffix is not supported, or its encoder is not installed.
            MarkingFailed: The file cannot be marked, and the policy is strict.
            StorageFailed: The record cannot be written, and the policy requires it.
        """
        check_suffix(f"audio{suffix}")
        tags = self.tags(speech)
        # The signature of the first of several joined mp3 files would not hold.
        signable = suffix in _CAN_BE_SIGNED and not (joinable and suffix == ".mp3")
        if tags and (self.policy.watermark_all or not signable):
            speech = self._watermarked(speech)
        data = encode(speech.samples, speech.sample_rate, suffix, tags=tags, joinable=joinable)
        if tags and signable and self._signer is not None and self._signer.signs(suffix):
            data = self._signed(self._signer, data, suffix, speech, tags)
        if self._records is not None:
            self._record(speech, sha256(data).hexdigest(), suffix)
        return data

    def stream_ended(self, speech: Speech, data_sha256: str, suffix: str) -> None:
        """Record a stream that was delivered whole. Blocks.

        Args:
            speech: What was in it, without samples.
            data_sha256: Hash of all its bytes, in hexadecimal digits.
            suffix: Its suffix, such as ".wav".

        Raises:
            StorageFailed: The record cannot be written, and the policy requires it.
        """
        self._record(speech, data_sha256, suffix)

    def watermark_stream(self, sample_rate: int) -> WatermarkStream | None:
        """Return what hides the watermark in a stream; None: it gets none. Blocks.

        A stream cannot be signed, so that it gets one in any format.

        Args:
            sample_rate: In Hz.

        Raises:
            MarkingFailed: The stream cannot be marked, and the policy is strict.
        """
        if self._watermark is None or not self.policy.enabled:
            return None
        try:
            return _Tolerant(self._watermark.stream(sample_rate), self._tolerate)
        except MarkingFailed as error:
            self._tolerate(error)
            return None

    def tags(self, speech: Speech) -> Tags | None:
        """Return what the file of this speech says of itself; None if marking is off.

        Args:
            speech: The speech.
        """
        if not self.policy.enabled:
            return None
        request = speech.request
        voice = (voice_of(request) if request else "") or speech.speaker
        return speech.tags(
            voice=voice if self.policy.publish_voice else "",
            text=request.text if request and self.policy.publish_text else "",
        )

    def _watermarked(self, speech: Speech) -> Speech:
        if self._watermark is None:
            return speech
        try:
            samples = self._watermark.embed(speech.samples, speech.sample_rate)
        except MarkingFailed as error:
            self._tolerate(error)
            return speech
        return replace(speech, samples=samples)

    def _signed(
        self, signer: Signer, data: bytes, suffix: str, speech: Speech, tags: Tags
    ) -> bytes:
        try:
            return signer.sign(data, suffix, speech, tags)
        except MarkingFailed as error:
            self._tolerate(error)
            return data

    def _record(self, speech: Speech, data_sha256: str, suffix: str) -> None:
        if self._records is None:
            return
        try:
            self._records.append(speech, data_sha256, suffix)
        except StorageFailed as error:
            if self.policy.require_record:
                raise
            log_event(_log, logging.WARNING, "marking.not_recorded", reason=str(error))

    def _tolerate(self, error: MarkingFailed) -> None:
        if self.policy.strict:
            raise error
        log_event(_log, logging.WARNING, "marking.failed", reason=str(error))


class _Tolerant:
    """A watermark in a stream, which goes on without it if it fails and that is tolerated.

    Args:
        stream: The watermark.
        tolerate: Logs the error, or raises it.
    """

    def __init__(self, stream: WatermarkStream, tolerate: Callable[[MarkingFailed], None]) -> None:
        self._stream: WatermarkStream | None = stream
        self._tolerate = tolerate
        self._awaited = np.zeros(0, np.float32)  # samples that the watermark has not returned

    def feed(self, samples: Samples) -> Samples:
        """See ``WatermarkStream.feed``."""
        if self._stream is None:
            return samples
        self._awaited = np.concatenate([self._awaited, samples])
        try:
            marked = self._stream.feed(samples)
        except MarkingFailed as error:
            return self._unmarked(error)
        self._awaited = self._awaited[len(marked) :]
        return marked

    def finish(self) -> Samples:
        """See ``WatermarkStream.finish``."""
        if self._stream is None:
            return self._awaited
        try:
            return self._stream.finish()
        except MarkingFailed as error:
            return self._unmarked(error)

    def _unmarked(self, error: MarkingFailed) -> Samples:
        self._tolerate(error)
        rest, self._awaited, self._stream = self._awaited, self._awaited[:0], None
        return rest
