"""The real service on a loopback socket, in a thread of its own."""

import asyncio
import threading
from contextlib import contextmanager

from storycore_tts import QwenTTSConfig
from storycore_tts.entrypoints.http.listening import listen


@contextmanager
def serving(config):
    """Yield the address of a service with these settings; raise what keeps it from starting."""
    started, ended = threading.Event(), []
    running = {}

    async def main():
        running["loop"], running["stop"] = asyncio.get_running_loop(), asyncio.Event()

        def announce(url):
            running["url"] = url
            started.set()

        await listen(config, announce, stop=running["stop"])

    def run():
        try:
            asyncio.run(main())
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits
            ended.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        started.wait()
        if ended:
            raise ended[0]
        yield running["url"]
    finally:
        if thread.is_alive():
            running["loop"].call_soon_threadsafe(running["stop"].set)
        thread.join()
    if ended:
        raise ended[0]


def config(state_dir, **settings):
    """Return settings of a service that keeps all it has below one folder, on any free port."""
    server = {"port": 0, "state_dir": str(state_dir / "state"), **settings.pop("server", {})}
    usual = {
        "backend": "draft",
        "fallback": "none",
        "voices_dir": str(state_dir / "voices"),
        "default_language": "English",
    }
    return QwenTTSConfig(**{**usual, **settings}, server=server)
