"""Checks the address and the origins for which the service needs API keys."""

from __future__ import annotations

from storycore_tts.domain.endpoints import is_loopback
from storycore_tts.errors import ConfigurationError
from storycore_tts.settings import ServerConfig


def check_exposure(server: ServerConfig) -> None:
    """Reject settings that expose the service to other machines or web pages without API keys.

    Args:
        server: Settings of the service.

    Raises:
        ConfigurationError: There are no keys, and the address is not a loopback address or any
            origin is allowed.
    """
    if server.api_keys:
        return
    if "*" in server.allowed_origins:
        raise ConfigurationError(
            "tts.qwen.server.allowed_origins is *, but no API keys are configured: any web page "
            "open in a browser on this machine could use the service.",
            key="tts.qwen.server.allowed_origins",
            value=server.allowed_origins,
            allowed="specific origins, unless api_keys is set",
            hint="List the origins, such as https://editor.example, or create a key with "
            "`storycore-tts keys new NAME`.",
        )
    if is_loopback(server.host):
        return
    raise ConfigurationError(
        f"tts.qwen.server.host is {server.host}, but no API keys are configured: other machines "
        "could use the service.",
        key="tts.qwen.server.host",
        value=server.host,
        allowed="127.0.0.1, ::1 or localhost, unless api_keys is set",
        hint="Create a key with `storycore-tts keys new NAME`, or listen on 127.0.0.1.",
    )
