"""What attackers send, and what the operator's log says of it."""

import logging
import socket
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

API = "/ai/tts/qwen"
LINE = "Wombats whisper about zeppelins."


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


LEVELS = {"": logging.INFO, "storycore_tts": logging.DEBUG, "httpx": logging.WARNING}
LEVELS |= dict.fromkeys(("uvicorn", "uvicorn.error"), logging.INFO)


@contextmanager
def logged():
    """Collect all that is logged: ours at DEBUG, everybody else's at INFO, the client's at none."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(logging.Formatter().format(record))
    loggers = [logging.getLogger(name) for name in ("", *logging.root.manager.loggerDict)]
    with ExitStack() as stack:
        for logger in loggers:
            if logger is logging.root or not logger.propagate:
                logger.addHandler(handler)
                stack.callback(logger.removeHandler, handler)
        for logger, level in zip(map(logging.getLogger, LEVELS), LEVELS.values(), strict=True):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(level)
        yield lines
