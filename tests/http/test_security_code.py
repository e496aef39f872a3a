"""What our own code must never do, and the packages that it must never run on."""

import ast
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import storycore_tts

SOURCES = sorted(Path(storycore_tts.__file__).parent.rglob("*.py"))
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def _objections(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            names = {module.split(".")[0], *(alias.name.split(".")[0] for alias in node.names)}
            if names == {"pickle", "UnpicklingError"}:  # that of torch.load, below
                continue
            if names & UNPICKLERS:
                yield node.lineno, "unpickles"
        elif isinstance(node, ast.Call):
            options = {option.arg: ast.unparse(option.value) for option in node.keywords}
            name = ast.unparse(node.func)  # as it is written, such as torch.load
            if name in ("eval", "exec", "os.system", "os.popen") or options.get("shell") == "True":
                yield node.lineno, "runs what it is told"
            if name.endswith("torch.load") and options.get("weights_only") != "True":
                yield node.lineno, "unpickles weights"
            if options.get("allow_pickle") == "True" or options.get("trust_remote_code") == "True":
                yield node.lineno, "trusts a file"
            if name == "yaml.load" and "_Yaml" not in ast.unparse(node):  # a SafeLoader
                yield node.lineno, "makes objects of YAML"


@pytest.mark.parametrize(
    "source",
    """
import numpy, dill
from pickle import loads
torch.load(path)
torch.load(path, weights_only=False)
np.load(path, allow_pickle=True)
yaml.load(text, yaml.Loader)
subprocess.run(command, shell=True)
""".strip().splitlines(),
)
def test_the_search_finds_what_it_searches(source):
    assert list(_objections(source))


def test_nothing_is_ever_unpickled():
    assert len(SOURCES) > 150
    found = [
        f"{path}:{line} {what}"
        for path in SOURCES
        for line, what in _objections(path.read_text("utf-8"))
    ]
    assert not found


@pytest.mark.parametrize(
    ("package", "last_bad", "why"),
    [
        ("python-multipart", "0.0.26", "quadratic time over some uploads"),
        ("starlette", "0.49.0", "quadratic time over a Range header"),
    ],
)
def test_versions_that_are_known_to_be_bad_are_not_taken(package, last_bad, why):
    wanted = map(Requirement, requires("storycore-tts"))
    (ours,) = (w for w in wanted if w.name == package and w.marker.evaluate({"extra": "server"}))
    assert not ours.specifier.contains(last_bad), why
