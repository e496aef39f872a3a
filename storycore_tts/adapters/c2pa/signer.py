"""Signs sound files with C2PA manifests."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np

from storycore_tts.adapters.c2pa.credentials import Credentials
from storycore_tts.adapters.c2pa.manifests import manifest_of
from storycore_tts.adapters.c2pa.package import c2pa_package
from storycore_tts.adapters.c2pa.time_authority import TimeAuthority
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.moments import utc_now
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import ConfigurationError, MarkingFailed
from storycore_tts.sound.tags import Tags

_SUFFIXES = frozenset((".wav", ".flac", ".mp3", ".m4a"))

_log = logging.getLogger(__name__)


class C2paSigner:
    """Signs sound files; a ``ports.marking.Signer``. Safe to use from several threads.

    Args:
        credentials: Returns the certificate and its key, or raises ``MarkingFailed``.
        authority: Confirms the time of signatures; None: they have no confirmed time.
        time_required: Whether a file cannot be signed without the authority; otherwise it is
            signed without a confirmed time, which is logged.
        now: The time, with a time zone.
    """

    def __init__(
        self,
        credentials: Callable[[], Credentials],
        *,
        authority: TimeAuthority | None = None,
        time_required: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._credentials = credentials
        self._authority, self._time_required, self._now = authority, time_required, now

    def signs(self, suffix: str) -> bool:
        """See ``ports.marking.Signer``."""
        return suffix in _SUFFIXES

    def sign(self, data: bytes, suffix: str, speech: Speech, tags: Tags) -> bytes:
        """See ``ports.marking.Signer``."""
        credentials = self._credentials()
        if refusal := credentials.why_not_at(self._now()):
            raise MarkingFailed(
                f"{refusal}, so that sound files cannot be signed.",
                hint="Renew it, then reload the settings.",
            )
        manifest = manifest_of(speech, tags)

        def signed(authority: TimeAuthority | None = None) -> bytes:
            return self._signed(data, suffix, manifest, credentials, authority)

        authority = self._authority
        if authority is None:
            return signed()
        try:
            return authority.signed(lambda: signed(authority))
        except MarkingFailed as error:
            if self._time_required:
                raise
            log_event(_log, logging.WARNING, "marking.time_unconfirmed", reason=str(error))
            return signed()

    def check(self) -> None:
        """Sign a few silent samples, without the time authority. Blocks.

        Raises:
            MarkingFailed: The certificate cannot sign sound files.
        """
        silence = Speech(np.zeros(240, np.float32), 24_000, "", "", source_type="algorithmicMedia")
        manifest = manifest_of(silence, silence.tags())
        self._signed(silence.encode(".wav"), ".wav", manifest, self._credentials(), None)

    def _signed(
        self,
        data: bytes,
        suffix: str,
        manifest: dict[str, Any],
        credentials: Credentials,
        authority: TimeAuthority | None,
    ) -> bytes:
        try:
            c2pa = c2pa_package()
        except ConfigurationError as error:
            raise MarkingFailed(error.message, hint=error.hint) from error
        url = authority.url if authority else None
        signed = io.BytesIO()
        try:
            info = c2pa.C2paSignerInfo(
                credentials.algorithm, credentials.chain, credentials.key, url
            )
            # A signer and a builder of its own for each file: no thread waits for another.
            with c2pa.Signer.from_info(info) as signer, c2pa.Builder(manifest) as builder:
                builder.sign(signer, suffix.removeprefix("."), io.BytesIO(data), signed)
        except c2pa.C2paError as error:
            reason = str(error).removeprefix("Signature: ").removeprefix("Other: ")
            raise MarkingFailed(
                f"The sound file ({suffix}) cannot be signed: {reason}.",
                hint="A certificate for C2PA needs the key usage digitalSignature and a purpose "
                "such as emailProtection.",
            ) from error
        return signed.getvalue()
