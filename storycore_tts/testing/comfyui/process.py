"""The stand-in in a child process, which can be killed."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from typing_extensions import Self

from .faults import Fault, Hold, HoldPoint, fault_from_json, fault_to_json
from .log import Held, Record, StandInLog, from_json
from .options import Options

STOP_TIMEOUT = 10.0
POLL_SECONDS = 0.01


class ProcessLog(StandInLog):
    """The log of another process, read from its file, so that it survives a kill."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._path = file
        self._read = 0

    @property
    def records(self) -> tuple[Record, ...]:
        """All records so far, oldest first."""
        self._refresh()
        return super().records

    def http_count(self, path: str, method: str | None = None) -> int:
        """Return the number of requests to a path (without prefix and /api)."""
        self._refresh()
        return super().http_count(path, method)

    def wait_for(
        self, what: type[Record] | Callable[[Self], object], timeout: float = 10.0
    ) -> bool:
        """Block until a condition holds for this log; False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self._holds(what):
            # The file is polled, since there are no notifications.
            while not self._refresh():
                if time.monotonic() > deadline:
                    return False
                time.sleep(POLL_SECONDS)
        return True

    def _refresh(self) -> bool:
        """Read new records; return whether there were any."""
        with self._changed:
            if not self._path.exists():
                return False
            with self._path.open("rb") as file:
                file.seek(self._read)
                # A killed server may leave an incomplete line.
                complete, newline, _ = file.read().rpartition(b"\n")
            if not newline:
                return False
            self._read += len(complete) + 1
            for line in complete.splitlines():
                self.add(from_json(json.loads(line)))
            return True


class Reached:
    """Whether a job has reached the gate."""

    def __init__(self, log: ProcessLog, gate: str) -> None:
        self._log = log
        self._gate = gate

    def is_set(self) -> bool:
        """Return whether a job is or was at the gate."""
        return any(record.gate == self._gate for record in self._log.of(Held))

    def wait(self, timeout: float = 10.0) -> bool:
        """Block until a job has reached the gate; False after `timeout` seconds."""
        return self._log.wait_for(lambda _: self.is_set(), timeout)


class ProcessGate:
    """A gate in another process."""

    def __init__(self, faults: ProcessFaults, log: ProcessLog, name: str) -> None:
        self.name = name
        self.reached = Reached(log, name)
        self._faults = faults

    def release(self) -> None:
        """Let the job continue."""
        self._faults.release(self.name)


class ProcessFaults:
    """The scripted faults of a server in another process. A restart clears them."""

    def __init__(self, admin: Callable[..., httpx.Response], log: ProcessLog) -> None:
        self._admin = admin
        self._log = log
        self._names = itertools.count(1)

    def add(self, *faults: Fault) -> None:
        """Append faults to the script."""
        self._admin("POST", "/standin/faults", json=[fault_to_json(fault) for fault in faults])

    def clear(self) -> None:
        """Remove all faults and open all gates."""
        self._admin("DELETE", "/standin/faults")

    @property
    def pending(self) -> list[Fault]:
        """Faults that are still to be applied."""
        answer = self._admin("GET", "/standin/faults").json()
        return [fault_from_json(item) for item in answer]

    def hold(self, at: HoldPoint = "running", **match: Any) -> ProcessGate:
        """Hold the next matching job at a point; return the gate where it waits."""
        name = f"process-gate-{next(self._names)}"
        self.add(Hold(at=at, gate=name, **match))
        return ProcessGate(self, self._log, name)

    def release(self, gate: str) -> None:
        """Open a gate."""
        self._admin("POST", "/standin/release", json={"gate": gate})

    def release_all(self) -> None:
        """Open all gates."""
        self._admin("POST", "/standin/release")


class StandInProcess:
    """`StandInComfyUI` in a child process; accepts the fields of `Options` as keywords."""

    def __init__(self, options: Options | None = None, **settings: Any) -> None:
        self.options = replace(options or Options(), **settings)
        self._folder = Path(tempfile.mkdtemp(prefix="standin-process-"))
        self._log_file = self.options.log_file or self._folder / "log.jsonl"
        self._child: subprocess.Popen[str] | None = None
        self._port = self.options.port
        self.log = ProcessLog(self._log_file)
        self.faults = ProcessFaults(self._admin, self.log)

    @property
    def url(self) -> str:
        """URL of the server, with the path prefix, without a trailing slash."""
        return f"{self._root}{self.options.prefix}"

    @property
    def _root(self) -> str:
        if not self._port:
            raise RuntimeError("the stand-in has not been started")
        return f"http://{self.options.host}:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of the child."""
        if self._child is None:
            raise RuntimeError("the stand-in is not running")
        return self._child.pid

    def start(self) -> None:
        """Start the child process and wait until it listens."""
        if self._child is not None:
            raise RuntimeError("the stand-in is running already")
        self._child = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", "storycore_tts.testing.comfyui", *self._arguments()],
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self._child.stdout.readline() if self._child.stdout else ""
        if not line.startswith("listening on "):
            self._reap()
            raise RuntimeError(f"the stand-in did not start: {line!r}")
        address = line.split()[-1].removesuffix(self.options.prefix)
        self._port = int(address.rpartition(":")[2])

    def kill(self) -> None:
        """Send SIGKILL: no cleanup; sockets are closed without a close frame."""
        if self._child is not None:
            self._child.kill()
            self._reap()

    def restart(self, *, down_seconds: float = 0.0) -> None:
        """Kill the child and start another on the same port; only files and log are kept."""
        self.kill()
        if down_seconds:
            time.sleep(down_seconds)
        self.start()

    def stop(self) -> int | None:
        """Send SIGTERM; return the exit status, or None if it was not running."""
        status: int | None = None
        if self._child is not None:
            self._child.terminate()
            status = self._reap()
        self.log.records  # noqa: B018 - read to the end before the file is deleted
        shutil.rmtree(self._folder, ignore_errors=True)
        return status

    def _reap(self) -> int | None:
        child, self._child = self._child, None
        if child is None:
            return None
        try:
            status = child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            status = child.wait()
        if child.stdout:
            child.stdout.close()
        return status

    def _admin(self, method: str, path: str, **body: Any) -> httpx.Response:
        # Without TLS, no certificates are read, which takes longer than the request.
        with httpx.Client(trust_env=False, verify=False) as client:  # noqa: S501 - plain HTTP
            return client.request(method, f"{self._root}{path}", **body).raise_for_status()

    def _arguments(self) -> list[str]:
        options = self.options
        valued = {
            "--host": options.host,
            "--port": self._port,
            "--version": options.version,
            "--seconds-per-step": options.seconds_per_step,
            "--real-time-factor": options.real_time_factor,
            "--model-load-seconds": options.model_load_seconds,
            "--other-device": options.other_device,
            "--pack": options.pack,
            "--models": ",".join(options.models),
            "--other-nodes": ",".join(options.other_nodes),
            "--token": options.token,
            "--path-prefix": options.prefix or None,
            "--data-dir": options.data_dir or self._folder / "data",
            "--max-upload-size": options.max_upload_size,
            "--history-limit": options.history_limit,
            "--log": self._log_file,
        }
        switches = {
            "--modern": options.modern,
            "--instant": options.instant,
            "--no-node-pack": not options.node_pack,
            "--no-cuda": not options.has_cuda,
        }
        arguments = [f"{flag}={value}" for flag, value in valued.items() if value is not None]
        arguments += [flag for flag, on in switches.items() if on]
        for path, speakers in options.checkpoints.items():
            arguments += ["--checkpoint", f"{path}={','.join(speakers)}"]
        for path, folder in options.server_paths.items():
            arguments += ["--server-path", f"{path}={folder}"]
        return arguments

    def __enter__(self) -> StandInProcess:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
