"""Checks of ``storycore-tts migrate``: there and back, cut off anywhere, and what pip says."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path

from workplace import EDITOR, Checkout, Failed, Skipped, Workplace, expect

KILLS = 12
_RESOLVE_SECONDS = 1800


def there_and_back(place: Workplace) -> str:
    """0 to 4 and back: each phase's engine imports and answers, and git is clean at the end."""
    checkout = place.copy()
    start, before = checkout.git("rev-parse", "HEAD").strip(), _files(checkout.root)
    for phase in (1, 2, 3, 4):
        checkout.migrate(phase)
        _answers(place, checkout, phase)
    for phase in (3, 2, 1, 0):
        checkout.migrate(phase)
        _answers(place, checkout, phase)
    expect(not checkout.git("diff", start), checkout.git("diff", "--stat", start))
    left = checkout.status()
    expect(not left, f"git status: {left}")
    more = _files(checkout.root) - before
    expect(not more, f"left behind: {sorted(more)}")
    return "every phase answers; no difference, nothing left behind"


def at_once(place: Workplace) -> str:
    """0 to 4 and back to 0 without a commit between: git status is clean."""
    checkout = place.copy()
    checkout.ours("migrate", "--to", "4", "--write")
    changed = len(checkout.status().splitlines())
    expect(changed, "nothing was written")
    checkout.ours("migrate", "--to", "0", "--write")
    left = checkout.status()
    expect(not left, f"git status: {left}")
    return f"{changed} files there and back"


def dirty(place: Workplace) -> str:
    """Changed files are refused and stay; untracked ones, which every used engine has, are not."""
    checkout = place.copy()
    Path(checkout.root, "uploads").mkdir()
    Path(checkout.root, "uploads", "a.txt").write_text("a user's file")
    checkout.ours("migrate", "--to", "1", "--write")
    checkout.git("checkout", "--quiet", ".")
    service = checkout.root / "requirements.txt"
    mine = service.read_bytes() + b"\n# mine\n"
    service.write_bytes(mine)
    refused = checkout.ours("migrate", "--to", "2", "--write", check=False)
    expect(refused.returncode, "a changed file was written over without a word")
    expect(service.read_bytes() == mine, "the user's change is gone")
    return (refused.stderr.strip() or refused.stdout.strip()).splitlines()[0][:110]


def without_git(place: Workplace) -> str:
    """A folder without git is refused, and told what to do."""
    checkout = place.copy()
    Path(checkout.root, ".git").rename(checkout.root.parent / "git")
    refused = checkout.ours("migrate", "--to", "1", "--write", check=False)
    said = refused.stderr + refused.stdout
    expect(refused.returncode, "it was written to without git")
    expect("git init" in said, f"it does not say what to do: {said[-300:]}")
    return said.strip().splitlines()[0][:110]


def killed(place: Workplace) -> str:
    """Killed at any time, it leaves the old state, the new one, or what git can take back."""
    checkout = place.copy()
    start = _files(checkout.root)
    whole, written = _whole_run(checkout)
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    states = []
    for number in range(KILLS):
        seconds = chance.uniform(0.1, 1.0) * whole if number % 2 else 60.0
        _cut_off(checkout, seconds, chance.choice(written))
        states.append("old" if not checkout.status() else "new" if _is_new(checkout) else "half")
        _taken_back(checkout)
        expect(not checkout.status(), f"seed {seed}: git cannot take it back: {checkout.status()}")
        hidden = _files(checkout.root) - start
        expect(not hidden, f"seed {seed}: git does not see {sorted(hidden)}")
        checkout.ours("migrate", "--to", "4")  # what was cut off is not in the way of the next run
    return f"{KILLS} kills: " + ", ".join(f"{states.count(s)} {s}" for s in ("old", "half", "new"))


def addon(place: Workplace) -> str:
    """The engine's own add-on manager takes the folder that a migration brings."""
    checkout = place.copy(4)
    folder = checkout.root / "addons" / "official" / "storycore_tts"
    if not folder.is_dir():
        raise Skipped("the migration brings no add-on")
    code = (
        "import asyncio, json\nfrom src.addon_manager import AddonManager\n"
        "async def main():\n"
        "    manager = AddonManager()\n"
        "    await manager.initialize_all_addons()\n"
        "    enabled = await manager.enable_addon('storycore_tts')\n"
        "    info = manager.get_addon_info('storycore_tts')\n"
        "    print(json.dumps([enabled, info.state.value, info.error_message]))\n"
        "asyncio.run(main())"
    )
    enabled, state, error = checkout.ask(code)
    expect(enabled and state == "enabled", f"{state}: {error}")
    return "enabled"


def requirements(place: Workplace) -> str:
    """With us, pip chooses no older version of anything than without us."""
    without = _resolved(place.copy())
    with_us = _resolved(place.copy(4))
    expect("storycore-tts" in with_us, "the requirements do not name us")
    older = {
        name: (without[name], with_us.get(name))
        for name in without
        if name not in with_us or _version(with_us[name]) < _version(without[name])
    }
    expect(not older, f"changed for the worse: {older}")
    added = sorted(set(with_us) - set(without))
    return f"{len(without)} packages, none older; added: {', '.join(added)}"


def _answers(place: Workplace, checkout: Checkout, phase: int) -> None:
    if phase:
        checkout.configure(comfyui_url=place.comfyui.url, fallback="draft")
    with place.engine(checkout) as engine:
        engine.call("GET", f"{EDITOR}/health", token="")
        body = {"text": "One more time.", "voice": "fr-FR-Denise"}
        if phase >= 2:
            engine.said("One more time.")
        else:
            engine.call("POST", f"{EDITOR}/ai/tts", token="", json=body)
        engine.call("GET", "/api/cine-production/workflows")
    if phase >= 3:
        checkout.ask(
            "import json\nfrom backend.qwen_tts_service import create_qwen_tts_service\n"
            "import sys; sys.path.insert(0, 'src')\n"
            "from qwen_tts_comfyui import QwenTTSComfyUIClientSync, QwenTTSVoiceCloneConfig\n"
            "create_qwen_tts_service()\nprint(json.dumps(True))"
        )
    checkout.git("checkout", "--quiet", "--", ".")


def _is_new(checkout: Checkout) -> bool:
    told = json.loads(checkout.ours("migrate", "--json").stdout)
    return bool(told["phase"] == 4)


def _whole_run(checkout: Checkout) -> tuple[float, list[Path]]:
    """How long it takes, and what it writes."""
    began = time.monotonic()
    checkout.ours("migrate", "--to", "4", "--write")
    took = time.monotonic() - began
    written = [checkout.root / line.split()[-1] for line in checkout.status().splitlines()]
    _taken_back(checkout)
    return took, written


def _taken_back(checkout: Checkout) -> None:
    checkout.git("checkout", "--quiet", "--", ".")
    checkout.git("clean", "--quiet", "-d", "--force")


def _cut_off(checkout: Checkout, seconds: float, file: Path) -> None:
    """Kill a migration after some time, or as soon as it has written a file."""
    child = subprocess.Popen(
        [checkout.command, "migrate", "--to", "4", "--write"],
        cwd=checkout.root, env=dict(checkout.environment),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end, before = time.monotonic() + seconds, _stamp(file)
    while child.poll() is None and time.monotonic() < end and _stamp(file) == before:
        time.sleep(0.0002)
    child.kill()
    child.wait()


def _stamp(file: Path) -> int:
    return file.stat().st_ino if file.exists() else 0


def _files(root: Path) -> set[str]:
    """Every file below a folder, whether git sees it or not; but not what engines write."""
    found = set()
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_file() and name.split("/", 1)[0] not in (".git", "output", "uploads"):
            found.add(name)
    return found


def _resolved(checkout: Checkout) -> dict[str, str]:
    report = checkout.root.parent / "report.json"
    files = ("requirements.txt", "backend/requirements_api.txt")
    ended = subprocess.run(
        [str(checkout.python), "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed",
         "--report", str(report), *(part for name in files for part in ("-r", name))],
        cwd=checkout.root, env=dict(checkout.environment), capture_output=True, text=True,
        timeout=_RESOLVE_SECONDS,
    )  # fmt: skip
    if ended.returncode:
        raise Failed(f"pip: {ended.stderr[-600:]}")
    return {
        item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"]
        for item in json.loads(report.read_text(encoding="utf-8"))["install"]
    }


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("+")[0].split(".") if part.isdigit())
