"""Signatures in sound files, as C2PA manifests (the extra ``trust``): made, and read."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from storycore_tts.adapters.c2pa.package import c2pa_package
from storycore_tts.domain.moments import utc_now
from storycore_tts.errors import ConfigurationError, MarkingFailed

if TYPE_CHECKING:
    from storycore_tts.adapters.c2pa.credentials import Credentials
    from storycore_tts.adapters.c2pa.signer import C2paSigner
    from storycore_tts.settings.marking import MarkingConfig

_EXTRA = "the extra trust is not installed (pip install 'storycore-tts[trust]')"


def create(config: MarkingConfig, *, folder: Path) -> C2paSigner | None:
    """Return what signs sound files; None if they are not signed. Blocks.

    A certificate in the settings is read and tried out. Without one, a key is made in the folder
    when the first file is signed.

    Args:
        config: The settings.
        folder: Where a key of one's own is kept.

    Raises:
        ConfigurationError: The extra ``trust`` is missing, although signatures are required or a
            certificate is set; or the certificate cannot be used.
    """
    why = _why_off(config)
    is_demanded = config.sign == "required" or config.certificate is not None
    if is_demanded and why in (None, _EXTRA):
        c2pa_package()  # raises if it is not there; otherwise, it is imported at first use
    if why:
        return None
    from storycore_tts.adapters.c2pa.credentials import OwnCredentials
    from storycore_tts.adapters.c2pa.signer import C2paSigner
    from storycore_tts.adapters.c2pa.time_authority import TimeAuthority

    authority = TimeAuthority(config.time_authority) if config.time_authority else None
    strict = config.on_failure == "error"
    if config.certificate is None:
        own = OwnCredentials(folder)
        return C2paSigner(own, authority=authority, time_required=strict)
    company = _configured(config)
    signer = C2paSigner(lambda: company, authority=authority, time_required=strict)
    try:
        signer.check()
    except MarkingFailed as error:
        raise ConfigurationError(
            f"tts.qwen.marking.certificate: {config.certificate} cannot sign: {error.message}",
            key="tts.qwen.marking.certificate",
            value=config.certificate,
            hint=error.hint,
        ) from error
    return signer


@dataclass(frozen=True)
class SigningState:
    """Whether sound files are signed, for display.

    Args:
        signs: Whether they are.
        sentence: The signer and the expiry date, or why signing is off.
        subject: Name in the certificate; "" if there is none yet.
        expires: When the certificate expires, in ISO 8601; "" if there is none yet.
    """

    signs: bool
    sentence: str
    subject: str = ""
    expires: str = ""


def state(config: MarkingConfig, *, folder: Path) -> SigningState:
    """Return whether sound files are signed, the signer and the expiry date. Blocks.

    Args:
        config: See ``create``.
        folder: See ``create``.
    """
    if why := _why_off(config):
        return SigningState(False, why)
    from storycore_tts.adapters.c2pa.credentials import OwnCredentials

    try:
        if config.certificate is None:
            credentials = OwnCredentials(folder).found()
        else:
            create(config, folder=folder)
            credentials = _configured(config)
    except (ConfigurationError, MarkingFailed) as error:
        return SigningState(False, str(error).rstrip("."))
    if credentials is None:
        return SigningState(True, "with a key of its own, which is made for the first file")
    whose = "a key of its own" if config.certificate is None else "the configured certificate"
    said = f"with {whose}, {credentials.subject}, until {credentials.expires:%Y-%m-%d}"
    return SigningState(True, said, credentials.subject, credentials.expires.isoformat())


def _why_off(config: MarkingConfig) -> str | None:
    if config.off_because is not None:
        return "tts.qwen.marking.off_because switches all marking off"
    if config.sign == "off":
        return "tts.qwen.marking.sign is off"
    return None if find_spec("c2pa") else _EXTRA


def _configured(config: MarkingConfig) -> Credentials:
    """Return the certificate in the settings.

    Raises:
        ConfigurationError: It cannot be read, or is not valid now.
    """
    from storycore_tts.adapters.c2pa.credentials import read_credentials

    files = (Path(str(name)).expanduser() for name in (config.certificate, config.private_key))
    credentials = read_credentials(*files)
    if refusal := credentials.why_not_at(utc_now()):
        raise ConfigurationError(
            f"tts.qwen.marking.certificate: {refusal}.",
            key="tts.qwen.marking.certificate",
            value=config.certificate,
            hint="Renew it, or remove both settings to sign with a key of one's own.",
        )
    return credentials
