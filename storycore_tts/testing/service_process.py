"""The service, `storycore-tts serve`, in a child process, which can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

_STOPS_WITHIN = 30.0  # s
_COMMAND = (sys.executable, "-m", "storycore_tts.entrypoints.cli", "serve")


class ServiceProcess:
    """A service that stores everything in one folder and keeps its port across restarts.

    Args:
        folder: Folder for settings, state, voices and log.
        **settings: Settings of ``tts.qwen`` that override the defaults; ``server`` is merged with
            its defaults.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        server = {"state_dir": str(folder / "state"), **settings.pop("server", {})}
        usual = {"fallback": "none", "voices_dir": str(folder / "voices")}
        folder.mkdir(parents=True, exist_ok=True)
        self._settings = folder / "settings.yaml"
        document = {"tts": {"qwen": {**usual, **settings, "server": server}}}
        self._settings.write_text(json.dumps(document), "utf-8")  # JSON is valid YAML
        self._log = folder / "service.log"
        self._child: subprocess.Popen[str] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """URL of the service, without a trailing slash."""
        if not self._port:
            raise RuntimeError("the service has not been started")
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of the service."""
        if self._child is None:
            raise RuntimeError("the service is not running")
        return self._child.pid

    @property
    def said(self) -> str:
        """Everything written to stderr so far, across restarts."""
        return self._log.read_text("utf-8")

    def start(self) -> None:
        """Start the service and wait until it accepts requests."""
        self.launch()
        if not self.listens():
            status = self.wait()
            raise RuntimeError(f"the service did not start (exit status {status}): {self.said}")

    def launch(self) -> None:
        """Start the service without waiting."""
        if self._child is not None:
            raise RuntimeError("the service is running already")
        with self._log.open("a", encoding="utf-8") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own command, no shell
                [*_COMMAND, "--config", str(self._settings), "--port", str(self._port)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={k: v for k, v in os.environ.items() if not k.startswith("STORYCORE_TTS_")},
            )

    def listens(self) -> bool:
        """Wait until the service accepts requests; False if it ended before."""
        assert self._child is not None
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if line.startswith("http://"):
            self._port = int(line.rpartition(":")[2])
        return bool(line)

    def kill(self) -> None:
        """Send SIGKILL: no cleanup; all connections are closed."""
        if self._child is not None:
            self._child.kill()
            self.wait()

    def tell_to_stop(self) -> None:
        """Send SIGTERM without waiting."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, seconds: float = _STOPS_WITHIN) -> int:
        """Wait until the service has ended, and return its exit status.

        Args:
            seconds: Maximum time to wait, in seconds.

        Raises:
            subprocess.TimeoutExpired: The service is still running.
        """
        assert self._child is not None
        status = self._child.wait(seconds)
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._child = None
        return status

    def stop(self) -> int | None:
        """Send SIGTERM; return the exit status, or None if it was not running."""
        if self._child is None:
            return None
        self.tell_to_stop()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def __enter__(self) -> ServiceProcess:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()
