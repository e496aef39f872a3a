"""Look for known holes in the packages of this environment, with pip-audit in one of its own.

Exit status 1 if there is one that a newer version mends. pip-audit's own says the same of a hole
and of a network that is down: its report decides, and without one there is a line that says why.
"""

import json
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path


def main() -> int:
    """Audit, and return the exit status."""
    try:
        return _audited()
    except subprocess.TimeoutExpired:
        return _skipped("it takes too long")


def _audited() -> int:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        report = Path(folder) / "report.json"
        installed = _run(python, "-m", "pip", "install", "--quiet", "pip-audit")
        if installed.returncode != 0:
            return _skipped("pip-audit cannot be installed")
        packages = sysconfig.get_path("purelib")
        _run(python, "-m", "pip_audit", "--path", packages, "--format", "json", "--output", report)
        if not report.exists():
            return _skipped("its data cannot be reached")
        found = json.loads(report.read_text("utf-8"))["dependencies"]
    looked_up = [one for one in found if "skip_reason" not in one]
    if not looked_up:
        return _skipped("its data knows none of the packages")
    holes = [(one, hole) for one in looked_up for hole in one["vulns"]]
    for package, hole in holes:
        fixed = ", ".join(hole["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {hole['id']}, mended in {fixed}")  # noqa: T201
    print(f"{len(looked_up)} of {len(found)} packages looked up, {len(holes)} known holes")  # noqa: T201
    return 1 if any(hole["fix_versions"] for _, hole in holes) else 0


def _run(*command: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603 - our own command
        list(map(str, command)), capture_output=True, check=False, timeout=300
    )


def _skipped(why: str) -> int:
    print(f"Packages were not audited: {why}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
