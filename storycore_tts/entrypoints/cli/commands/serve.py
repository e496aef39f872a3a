"""``storycore-tts serve``."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from typer import Option

from storycore_tts.domain.errors import BackendUnavailable
from storycore_tts.entrypoints.cli import console
from storycore_tts.entrypoints.cli.options import Backend
from storycore_tts.entrypoints.cli.settings import load


def serve(
    options: Backend,
    host: Annotated[
        str | None, Option("--host", metavar="ADDRESS", help="Address to listen on.")
    ] = None,
    port: Annotated[
        int | None, Option("--port", metavar="N", help="Port to listen on; 0 takes a free one.")
    ] = None,
    debug: Annotated[bool, Option("--debug", help="Show the traceback of an error.")] = False,
) -> int:
    """Serve speech over HTTP, with a page to try voices at /, until interrupted.

    The first line on stdout says where it listens: on this machine only, unless the settings name
    another address and hold keys; `storycore-tts keys` makes them. Jobs survive a restart.
    """
    import asyncio

    config = load(options).config
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    server = type(config.server)(**{**config.server.model_dump(), **given})
    try:
        from storycore_tts.entrypoints.http.listening import listen
    except ImportError as error:
        raise BackendUnavailable(
            f"The service needs a package that is not installed: {error}.",
            hint="pip install 'storycore-tts[server]'",
            retryable=False,
        ) from error
    with suppress(KeyboardInterrupt):  # which is how a service ends; uvicorn passes signals on
        asyncio.run(listen(config.model_copy(update={"server": server}), console.answer))
    return 0
