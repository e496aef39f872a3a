"""What attackers send, and what the operator's log says of it."""

import io
import logging
import socket
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
import soundfile

API = "/ai/tts/qwen"
LINE = "Wombats whisper about zeppelins."


def sound(seconds=4.0, kind="WAV", rate=24_000, loudness=0.5, **how):
    """Return a sound file that holds a tone."""
    tone = loudness * np.sin(2 * np.pi * 220 * np.arange(int(seconds * rate)) / rate)
    buffer = io.BytesIO()
    soundfile.write(buffer, tone.astype(np.float32), rate, format=kind, **how)
    return buffer.getvalue()


def part(name, data=b"x", filename=None, headers=b""):
    """Return a part of a form whose boundary is x."""
    named = b"" if filename is None else b'; filename="%s"' % filename
    head = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n' % (name, named)
    return head + headers + b"\r\n" + data + b"\r\n"


END = b"--x--\r\n"


def on_the_wire(url, data, *, then=b"", patience=20):
    """Send bytes as they are, and return all that comes until the server hangs up."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=patience) as client:
        client.sendall(data)
        if then:
            client.sendall(then)
        answer = b""
        try:
            while piece := client.recv(65_536):
                answer += piece
        except ConnectionError:  # it hung up before it had read all
            pass
    return answer


@contextmanager
def logged():
    """Collect all that is logged: ours at DEBUG, everybody else's at INFO."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(logging.Formatter().format(record))
    silent = [
        one
        for one in logging.root.manager.loggerDict.values()
        if isinstance(one, logging.Logger) and not one.propagate
    ]
    levels = {logging.getLogger(): logging.INFO, logging.getLogger("storycore_tts"): logging.DEBUG}
    levels |= dict.fromkeys(map(logging.getLogger, ("uvicorn", "uvicorn.error")), logging.INFO)
    levels[logging.getLogger("httpx")] = logging.WARNING  # the test's own client
    before = {logger: logger.level for logger in levels}
    for logger, level in levels.items():
        logger.setLevel(level)
    for logger in (logging.getLogger(), *silent):
        logger.addHandler(handler)
    try:
        yield lines
    finally:
        for logger in (logging.getLogger(), *silent):
            logger.removeHandler(handler)
        for logger, level in before.items():
            logger.setLevel(level)
