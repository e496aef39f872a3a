"""The public names: each exists, is documented, and is loaded only when it is used."""

import ast
import importlib
import importlib.metadata
import inspect
import pkgutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType

import pytest

import storycore_tts
from storycore_tts.adapters.direct.package import load_package

HEAVY = {
    "dependency_injector",
    "fastapi",
    "httpx",
    "numpy",
    "opentelemetry",
    "prometheus_client",
    "pydantic",
    "rich",
    "soundfile",
    "sqlalchemy",
    "tenacity",
    "torch",
    "typer",
    "websockets",
    "yaml",
}
STUB = ast.parse(Path(storycore_tts.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))


def imported_by_the_stub():
    return {
        alias.asname or alias.name: statement.module
        for statement in STUB.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


def modules():
    """Return the names of our modules that need nothing but what is installed with us."""
    found = pkgutil.walk_packages(storycore_tts.__path__, "storycore_tts.")
    ours = (info.name for info in found if not info.name.endswith(".__main__"))
    return [name for name in ours if not name.startswith("storycore_tts.testing")]


def public_members(module):
    """Return (dotted name, object) of the public classes, functions and methods of a module."""
    for name, member in vars(module).items():
        if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(member):
            yield f"{module.__name__}.{name}", member
            for inner, function in vars(member).items():
                kinds = FunctionType | property | staticmethod | classmethod
                if not inner.startswith("_") and isinstance(function, kinds):
                    yield f"{module.__name__}.{name}.{inner}", function
        elif inspect.isfunction(member):
            yield f"{module.__name__}.{name}", member


def run(code):
    """Run code in a fresh interpreter and return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()


def test_the_stub_lists_what_it_imports_once_and_in_order():
    assert set(storycore_tts.__all__) == set(imported_by_the_stub())
    (listed,) = (
        ast.literal_eval(statement.value)
        for statement in STUB.body
        if isinstance(statement, ast.Assign)
    )
    assert set(listed) == set(imported_by_the_stub())
    assert listed == sorted(set(listed))


def test_every_public_name_is_that_of_its_module():
    assert set(storycore_tts.__all__) <= set(dir(storycore_tts))
    for name, place in imported_by_the_stub().items():
        module = importlib.import_module(f".{place}", "storycore_tts")
        assert getattr(storycore_tts, name) is getattr(module, name), name


def test_a_name_that_is_none_is_an_attribute_error():
    with pytest.raises(AttributeError, match="NoSuchName"):
        storycore_tts.NoSuchName  # noqa: B018


# Imported lazily, in the worker of the direct backend and where tiny models are built.
NEEDS_TORCH = ("storycore_tts.adapters.direct.training.", "storycore_tts.testing.tiny_models.")


@pytest.mark.filterwarnings("ignore")  # what torch says while it is imported is not our matter
@pytest.mark.parametrize("name", modules())
def test_everything_public_says_what_it_is_for(name):
    if name.startswith(NEEDS_TORCH):
        pytest.importorskip("torch", reason="needs pip install 'storycore-tts[direct]'")
        if find_spec("qwen_tts") is None:
            pytest.skip("needs pip install 'storycore-tts[direct]'")
        load_package()
    module = importlib.import_module(name)
    assert inspect.getdoc(module)
    silent = [
        dotted
        for dotted, member in public_members(module)
        if not (getattr(member, "__doc__", None) or "").strip()
        # A dataclass without a docstring gets its signature for one.
        or (member.__doc__ or "").startswith(f"{getattr(member, '__name__', '')}(")
    ]
    assert silent == []


def test_the_documented_members_are_found_at_all():
    found = dict(public_members(importlib.import_module("storycore_tts.domain.requests")))
    assert "storycore_tts.domain.requests.ReferenceAudio.from_bytes" in found
    assert "storycore_tts.domain.requests.SpeechRequest.token_budget" in found


def test_importing_the_package_loads_nothing_heavy_until_a_name_is_used():
    *names, after = run(
        "import sys, storycore_tts\n"
        "for name in list(sys.modules): print(name)\n"
        "storycore_tts.Speech\n"
        "print('numpy' in sys.modules)"
    )
    loaded = {name.partition(".")[0] for name in names}
    assert "storycore_tts" in loaded
    assert not loaded & HEAVY
    assert after == "True"


def test_the_version_is_that_of_the_installed_package():
    version = importlib.metadata.version("storycore-tts")
    assert storycore_tts.__version__ == version
