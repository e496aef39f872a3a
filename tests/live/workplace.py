"""A copy of an engine's checkout, the processes that run in it, and how both are spoken to."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from storycore_tts.testing.comfyui.log import Submitted
from storycore_tts.testing.comfyui.process import StandInProcess

START_SECONDS = 90.0
ANSWER_SECONDS = 300.0
SECRET = "a secret of the live tests, long enough"
EDITOR = "/api/video-editor"
_WRITTEN = (".", ":!output", ":!uploads", ":(exclude,glob)data/*/**")  # all but what engines write


class Failed(Exception):
    """What was promised did not happen."""


class Skipped(Exception):
    """What a check needs is not here."""


def expect(holds: object, otherwise: str) -> None:
    """Raise ``Failed`` unless something holds."""
    if not holds:
        raise Failed(otherwise)


@dataclass(frozen=True)
class Checkout:
    """A git work tree of the engine, and the Python that runs it."""

    root: Path
    python: Path
    environment: Mapping[str, str]

    def run(
        self, *command: str | Path, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run something in the checkout."""
        ended = subprocess.run(
            command,
            cwd=self.root,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
        )
        if check and ended.returncode:
            said = (ended.stderr.strip() or ended.stdout.strip())[-900:]
            raise Failed(f"{' '.join(map(str, command[1:]))[:90]}: {ended.returncode}: {said}")
        return ended

    def git(self, *arguments: str) -> str:
        """Run git; its output."""
        identity = ("-c", "user.name=live", "-c", "user.email=live@localhost")
        return self.run("git", *identity, *arguments).stdout

    def ours(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the ``storycore-tts`` of the engine's Python."""
        return self.run(self.command, *arguments, check=check)

    @property
    def command(self) -> Path:
        """``storycore-tts``, as the engine's Python has it."""
        return self.python.with_name("storycore-tts")

    def ask(self, code: str, *arguments: str) -> Any:
        """Run code in the engine's Python; the JSON in the last line that it prints."""
        return _last_json(self.run(self.python, "-W", "ignore", "-c", code, *arguments).stdout)

    def migrate(self, phase: int) -> None:
        """Go to a phase and commit it, as its user would."""
        self.ours("migrate", "--to", str(phase), "--write")
        self.commit(f"phase {phase}")

    def commit(self, message: str) -> None:
        """Commit everything that git sees."""
        self.git("add", "--all", "--", *_WRITTEN)
        self.git("commit", "--quiet", "--allow-empty", "--no-verify", "--message", message)

    def status(self) -> str:
        """What git says of the work tree, untracked files too, but not of what an engine wrote."""
        return self.git("status", "--porcelain", "--untracked-files=all", "--", *_WRITTEN).strip()

    @property
    def settings(self) -> Path:
        """The YAML file that holds ``tts.qwen`` here."""
        for name in self.git("ls-files", "--cached", "--others", "*.yaml", "*.yml").splitlines():
            path = self.root / name
            if not name.startswith(".") and re.search(
                r"^ +qwen:", path.read_text(encoding="utf-8"), re.MULTILINE
            ):
                return path
        raise Failed("no YAML file of the checkout holds tts.qwen")

    def configure(self, **values: Any) -> None:
        """Set keys of ``tts.qwen`` in place, as an editor does; None takes one out."""
        path = self.settings
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        block = document["tts"]["qwen"]
        for key, value in values.items():
            block.pop(key, None)
            if value is not None:
                block[key] = value
        new = path.with_suffix(".new")
        new.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        new.replace(path)


@dataclass
class Engine:
    """The engine's API, served by uvicorn from a checkout."""

    checkout: Checkout
    port: int
    workers: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.log_file = self.checkout.root.parent / f"engine-{self.port}.log"
        self.token = ""

    def __enter__(self) -> Engine:
        Path(self.checkout.root, "output").mkdir(exist_ok=True)
        self.token = self.checkout.ask(
            "import json\nfrom backend.auth import create_access_token\n"
            "print(json.dumps(create_access_token({'sub': 'live'})))"
        )
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.checkout.root,
                env={**self.checkout.environment, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_it_answers()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it wrote."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """Call a route over a connection of its own; "" is no token, None the engine's."""
        bearer = self.token if token is None else token
        headers = {**(headers or {}), **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
        with httpx.Client(trust_env=False, timeout=ANSWER_SECONDS) as client:
            answer = client.request(method, f"{self.url}{path}", headers=headers, **body)
        expect(
            answer.status_code == status,
            f"{method} {path}: {answer.status_code}, not {status}: {answer.text[:300]}",
        )
        return answer

    def said(self, text: str, voice: str = "fr-FR-Denise", **more: Any) -> dict[str, Any]:
        """Speak and poll, as the page does; the last answer."""
        asked = {"text": text, "voice": voice, "speed": 1.0, "pitch": 1.0, **more}
        found: dict[str, Any] = self.call("POST", f"{EDITOR}/ai/tts", json=asked).json()
        job = found["job_id"]
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            found = self.call("GET", f"{EDITOR}/ai/tts/{job}").json()
            if found["status"] == "completed":
                return found
            expect(found["status"] != "failed", f"the job failed: {found}")
            expect(time.monotonic() < deadline, f"still {found['status']}")
            time.sleep(0.2)

    def produced(self, character: str, text: str, **more: Any) -> dict[str, Any]:
        """Run a TTS_SPEAKING_CHARACTER job as far as this machine can; its speech step."""
        body = {
            "chain_type": "tts_speaking",
            "project_id": "film",
            "scene_id": "scene",
            "character_id": character,
            "audio_prompt": text,
            **more,
        }
        job = self.call("POST", "/api/cine-production/start", json=body).json()
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            found = self.call("GET", f"/api/cine-production/status/{job}").json()
            if found["results"]:
                step: dict[str, Any] = found["results"][0]
                return step
            expect(found["status"] != "failed", f"{character}: {found['error']}")
            expect(time.monotonic() < deadline, f"{character}: still {found['status']}")
            time.sleep(0.1)

    def worker_pids(self) -> set[int]:
        """Which processes have answered so far."""
        return {int(pid) for pid in re.findall(r"^answered by (\d+)", self.log, re.MULTILINE)}

    def _command(self) -> list[str]:
        logging = self.checkout.root.parent / "uvicorn-logging.json"
        logging.write_text(json.dumps(_UVICORN_LOGGING), encoding="utf-8")
        return [
            str(self.checkout.python), "-m", "uvicorn", "backend.main_api:app",
            "--host", "127.0.0.1", "--port", str(self.port), "--workers", str(self.workers),
            "--log-config", str(logging),
        ]  # fmt: skip

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        assert self._process is not None
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health", trust_env=False).is_success:
                    return
            time.sleep(0.1)
        ended = self._process.poll()
        self.__exit__()
        raise Failed(f"the engine does not start (exit status {ended}): {self.log[-900:]}")


_UVICORN_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "access": {"format": "answered by %(process)d: %(message)s"},
        "plain": {"format": "%(process)d %(levelname)s %(name)s: %(message)s"},
    },
    "handlers": {
        "access": {"class": "logging.StreamHandler", "formatter": "access"},
        "plain": {"class": "logging.StreamHandler", "formatter": "plain"},
    },
    "loggers": {
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"handlers": ["plain"], "level": "INFO", "propagate": False},
    },
}


class Workplace:
    """What all checks share: the given checkout, a ComfyUI, small models, free ports."""

    def __init__(self, given: Path, python: Path, folder: Path, first_port: int | None) -> None:
        self.given = given
        self.python = python
        self.folder = folder
        self.comfyui = StandInProcess()
        self._port = first_port
        self._copies = 0
        self._migrated = {0: given}

    def copy(self, phase: int = 0) -> Checkout:
        """Clone the given checkout, or what became of it in a phase."""
        if phase not in self._migrated:
            migrated = self.copy(phase - 1)
            migrated.migrate(phase)
            self._migrated[phase] = migrated.root
        self._copies += 1
        place = self.folder / str(self._copies)
        place.mkdir()
        clone = ["git", "clone", "--quiet", str(self._migrated[phase]), str(place / "engine")]
        subprocess.run(clone, check=True)
        return Checkout(place / "engine", self.python, _environment(place))

    def spoken_copy(self, phase: int = 4) -> Checkout:
        """Return a copy at a phase whose settings know this machine's ComfyUI."""
        copied = self.copy(phase)
        copied.configure(comfyui_url=self.comfyui.url, fallback="draft", default_language="Auto")
        return copied

    def engine(self, checkout: Checkout, workers: int = 1, **environment: str) -> Engine:
        """Return the API of a checkout, not yet started."""
        return Engine(checkout, self.port(), workers, environment)

    def port(self) -> int:
        """Return a free port: one after the other from the first, or any."""
        if self._port is not None:
            self._port += 1
            return self._port - 1
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            found: int = probe.getsockname()[1]
            return found

    def asked_for(self, name: str, since: int) -> list[str]:
        """Which values of an input ComfyUI was given since a number of jobs, oldest first."""
        return [
            str(node["inputs"][name])
            for job in self.comfyui.log.of(Submitted)[since:]
            for node in job.graph.values()
            if name in node["inputs"]
        ]

    def jobs_asked(self) -> int:
        """How many jobs ComfyUI was given."""
        return len(self.comfyui.log.of(Submitted))

    @contextlib.contextmanager
    def comfyui_again(self) -> Iterator[None]:
        """Whatever happens inside, ComfyUI runs afterwards."""
        try:
            yield
        finally:
            self.comfyui.restart()


def _environment(place: Path) -> dict[str, str]:
    """What the engine's processes find: nothing of this package's settings, no state of others."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("STORYCORE_TTS_", "COMFYUI_", "JWT_"))
    }
    own = {
        "JWT_SECRET": SECRET,
        "XDG_DATA_HOME": str(place / "data-home"),
        "XDG_CONFIG_HOME": str(place / "config-home"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",  # the models are too small for more
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return {**kept, **own}


def _last_json(output: str) -> Any:
    lines = output.strip().splitlines()
    if not lines:
        raise Failed("it printed nothing")
    return json.loads(lines[-1])
