"""How sound files are marked as synthetic speech."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from storycore_tts.settings.addresses import checked_url
from storycore_tts.settings.block import SettingsBlock


class MarkingConfig(SettingsBlock):
    """Marking of sound files as synthetic speech: tags, signature, watermark."""

    off_because: Annotated[str, Field(min_length=10)] | None = None
    """Reason for not marking files at all, which is logged; None: files are marked."""
    publish: list[Literal["text", "voice"]] = Field(default_factory=list)
    """What files may tell besides how they were made: text, voice, or both."""
    sign: Literal["auto", "required", "off"] = "auto"
    """Whether files are signed (C2PA). auto: if the extra ``trust`` is installed; required: without
    it, nothing starts."""
    certificate: Annotated[str, Field(min_length=1)] | None = None
    """PEM file with the certificate that signs, then those of its authorities; None: a key of one's
    own is made in the user data folder."""
    private_key: Annotated[str, Field(min_length=1)] | None = None
    """PEM file with the private key of ``certificate``, unencrypted."""
    time_authority: str | None = None
    """URL of a time authority (RFC 3161), which confirms when a file was signed; None: none is
    asked."""
    trust_list: Annotated[str, Field(min_length=1)] | None = None
    """PEM file with the certificates of authorities whose signers ``inspect`` calls trusted; None:
    no signer is."""
    watermark: Literal["auto", "always", "off"] = "auto"
    """Which files get a watermark. ``auto``: streams and .ogg, .opus, .aac and .pcm files, which
    cannot be signed, if the extra ``watermark`` is installed; ``always``: all; ``off``: none."""
    on_failure: Literal["warn", "error"] = "warn"
    """What happens if a file cannot be signed or watermarked. warn: it is made without, which is
    logged; error: the request fails."""

    @field_validator("sign", "watermark", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: Any) -> Any:
        return "off" if value is False else value  # as YAML reads it

    @field_validator("private_key")
    @classmethod
    def _certificate_has_a_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "certificate" in info.data and (value is None) != (info.data["certificate"] is None):
            raise ValueError("set together with certificate, or neither of them")
        return value

    @field_validator("time_authority")
    @classmethod
    def _authority_is_http(cls, value: str | None) -> str | None:
        return None if value is None else checked_url(value)

    @property
    def notice(self) -> str | None:
        """What to tell users if files are not marked; None if they are."""
        if self.off_because is None:
            return None
        return f"Sound files are not marked as synthetic speech: {self.off_because}"
