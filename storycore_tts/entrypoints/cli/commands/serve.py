"""``storycore-tts serve``."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from typer import Option

from storycore_tts.entrypoints.cli import console
from storycore_tts.entrypoints.cli.options import BackendFlags
from storycore_tts.entrypoints.cli.settings import load
from storycore_tts.errors import BackendUnavailable

if TYPE_CHECKING:
    from storycore_tts.settings import QwenTTSConfig


def serve(
    options: BackendFlags,
    host: Annotated[
        str | None, Option("--host", metavar="ADDRESS", help="Address to listen on.")
    ] = None,
    port: Annotated[
        int | None, Option("--port", metavar="N", help="Port to listen on; 0: any free port.")
    ] = None,
    state_dir: Annotated[
        str | None,
        Option("--state-dir", metavar="FOLDER", help="Folder for jobs; one per service."),
    ] = None,
    debug: Annotated[bool, Option("--debug", help="Show the traceback of an error.")] = False,
) -> int:
    """Run the HTTP service, with a web page at /, until interrupted.

    The first line on stdout is the URL. The service listens on this machine only, unless the
    settings contain another address and API keys (see `storycore-tts keys`). Jobs survive a
    restart. Exit status: 0 when stopped by a signal, 130 if that happens before it listens.
    """
    import asyncio

    from storycore_tts.live_settings import LiveSettings

    options_of_ours = {"host": host, "port": port, "state_dir": state_dir}
    given = {name: value for name, value in options_of_ours.items() if value is not None}

    def read(_: object) -> QwenTTSConfig:
        config = load(options).config
        server = type(config.server)(**{**config.server.model_dump(), **given})
        return config.model_copy(update={"server": server})

    settings = LiveSettings(options.config, fixed=("server",), read=read)
    try:
        from storycore_tts.entrypoints.http.listening import listen
    except ImportError as error:
        raise BackendUnavailable(
            f"The service requires a package that is not installed: {error}.",
            hint="pip install 'storycore-tts[server]'",
            retryable=False,
        ) from error
    with suppress(KeyboardInterrupt):  # the normal end of a service
        asyncio.run(listen(settings, console.answer))
    return 0
