"""How ``qwen_tts`` is imported, in processes of their own; and what is said where it cannot be."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from storycore_tts.adapters.direct.installed import Installed

needs_package = pytest.mark.skipif(
    not (find_spec("torch") and find_spec("qwen_tts")),
    reason="needs pip install 'storycore-tts[direct]'",
)

# What it takes to import the package, without the packages themselves.
FAKES = {
    "torch.py": "",
    "accelerate.py": "",
    "transformers/__init__.py": "",
    "transformers/modeling_rope_utils.py": "ROPE_INIT_FUNCTIONS = {}",
    "qwen_tts.py": "",
}
PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
from storycore_tts import BackendUnavailable
from storycore_tts.adapters.direct.package import load_package
try:
    load_package()
except BackendUnavailable as error:
    print(error)
"""


def run(program, *arguments, cwd=None):
    path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


@pytest.fixture
def told(tmp_path):
    """Returns what is said where these files are what is installed."""

    def tell(cwd=None, **files):
        folder = tmp_path / "installed"
        for name, content in {**FAKES, **files}.items():
            if content is not None:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        return run(PROGRAM, folder, cwd=cwd).stdout

    return tell


def test_what_is_imported_and_not_needed_need_not_load(told):
    unused = (
        "import sox, onnxruntime\nimport torchaudio.compliance.kaldi\nfrom einops import repeat"
    )
    broken = "raise OSError('libtorch_cuda.so: cannot open shared object file')"
    assert told(**{"qwen_tts.py": unused, "torchaudio.py": broken}) == ""


def test_what_is_printed_at_the_import_is_not_printed(told):
    assert told(**{"qwen_tts.py": "print('**** flash-attn is not installed ****')"}) == ""


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"accelerate.py": "import accelerate_core"}, "cannot import accelerate_core"),
        ({"qwen_tts.py": "import librosa_core"}, "librosa_core, which qwen_tts needs"),
        ({"torch.py": "raise OSError('libc10.so')"}, "cannot import torch: OSError: libc10.so"),
        (
            {"qwen_tts.py": "def check_model_inputs(f): ...\ncheck_model_inputs()"},
            "cannot import qwen_tts: TypeError: check_model_inputs() missing",
        ),
        (
            {"qwen_tts.py": "import numba9", "numba9.py": "import json\njson.no_such_name"},
            "cannot import json, which qwen_tts needs: AttributeError",
        ),
    ],
)
def test_the_package_that_fails_is_named(told, files, expected):
    assert expected in (said := told(**files))
    assert "download" not in said
    assert "pip install" in said


def test_a_folder_that_hides_a_package_is_named(told, tmp_path):
    here = tmp_path / "project"
    (here / "coverage9").mkdir(parents=True)
    uses = "import coverage9\ncoverage9.types"
    said = told(cwd=here, **{"qwen_tts.py": "import numba9", "numba9.py": uses})
    assert f"{here / 'coverage9'} shadows the package coverage9" in said


@needs_package
def test_the_real_package_is_imported_without_a_word_and_leaves_no_stand_in():
    program = (
        "import logging, sys\n"
        "logging.basicConfig(level=logging.WARNING)\n"
        "from storycore_tts.adapters.direct.package import load_package\n"
        "load_package()\n"
        "import json\n"
        "names = 'torchaudio', 'sox', 'onnxruntime', 'einops'\n"
        "print(json.dumps([name for name in names if name in sys.modules]))\n"
    )
    done = run(program)
    assert (json.loads(done.stdout), done.stderr) == ([], "")


@pytest.mark.parametrize(
    ("holder", "versions", "advice"),
    [
        ("qwen-tts", {"transformers": "4.57.6", "torch": "2.13.0+cpu"}, None),
        ("qwen-tts", {"transformers": "5.24.0"}, "pip install 'transformers>=4.57.3,<4.58'"),
        ("qwen-tts", {"huggingface-hub": "2.0.1"}, "pip install 'huggingface-hub>=0.34,<1'"),
        ("qwen-tts-hf", {"transformers": "5.20.2"}, None),
        ("qwen-tts-hf", {"transformers": "5.9.0"}, "pip install 'transformers>=5.15.1,<5.21'"),
        ("qwen-tts-compat", {"transformers": "5.15.1"}, "storycore-tts[direct]"),
    ],
)
def test_versions_that_do_not_work_together_are_known(holder, versions, advice):
    installed = Installed(holder, {holder: "0.1.1", **versions})
    misfit = installed.misfit()
    assert (misfit is None) if advice is None else (advice in misfit.advice)


def test_each_package_is_told_with_what_works():
    details = Installed("qwen-tts", {"qwen-tts": "0.1.1", "transformers": "5.24.0"}).details()
    assert details["qwen_tts"] == "qwen-tts 0.1.1"
    assert details["transformers"] == "5.24.0 (compatible: >=4.57.3,<4.58)"
    assert details["accelerate"] == "not installed (compatible: >=1.12,<2)"
    assert details["torchaudio"] == "not installed (not required)"
