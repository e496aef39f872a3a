"""Where the service listens, and whether it may."""

from __future__ import annotations

from storycore_tts.domain.endpoints import is_loopback
from storycore_tts.domain.errors import ConfigurationError
from storycore_tts.settings import ServerConfig


def check_exposure(server: ServerConfig) -> None:
    """Refuse to be open to other machines, or to any web page, without a key.

    Raises:
        ConfigurationError: The address is none of this machine's own, or any origin is allowed, and
            there is no key.
    """
    if server.api_keys:
        return
    if "*" in server.allowed_origins:
        raise ConfigurationError(
            "tts.qwen.server.allowed_origins is *: any web page that is open in a browser here "
            "could use the service, and there is no key.",
            key="tts.qwen.server.allowed_origins",
            value=server.allowed_origins,
            allowed="the origins of the pages that you use, as long as api_keys is empty",
            hint="Name the pages, such as https://editor.example, or make a key with "
            "`storycore-tts keys new NAME`.",
        )
    if is_loopback(server.host):
        return
    raise ConfigurationError(
        f"tts.qwen.server.host is {server.host}: other machines could use the service, and no key "
        "keeps anybody out.",
        key="tts.qwen.server.host",
        value=server.host,
        allowed="127.0.0.1, ::1 or localhost, as long as api_keys is empty",
        hint="Make a key with `storycore-tts keys new NAME`, or listen on 127.0.0.1.",
    )
