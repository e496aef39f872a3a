"""The notebook runs from its first cell to its last, and is stored without what it printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .extra import need

pytestmark = pytest.mark.once

NOTEBOOK = Path(__file__).parents[2] / "documentation" / "examples.ipynb"


def cells(notebook, kind):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_it_is_stored_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in cells(notebook, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


# What ipykernel and its parts warn of is theirs; what our code warns of fails in its own tests.
@pytest.mark.filterwarnings("default")
def test_it_runs(standin_comfyui, monkeypatch, tmp_path):
    need("ipykernel", "matplotlib", "nbclient", "nbformat")
    import nbclient
    import nbformat

    monkeypatch.setenv("STORYCORE_TTS_COMFYUI_URL", standin_comfyui.url)
    monkeypatch.setenv("STORYCORE_TTS_VOICES_DIR", str(tmp_path / "voices"))
    for name in ("MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    nbclient.NotebookClient(
        notebook, timeout=100, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    shown = [output["data"] for output in outputs(notebook, "display_data")]
    assert sum("image/png" in data for data in shown) == 5
    assert sum("<audio" in data.get("text/html", "") for data in shown) == 5
    assert "Did you mean 'Serena'?" in printed(notebook)
    assert {o["data"]["text/plain"] for o in outputs(notebook, "execute_result")} == {"True"}


def outputs(notebook, kind):
    return [o for c in cells(notebook, "code") for o in c["outputs"] if o["output_type"] == kind]


def printed(notebook):
    assert not [o for o in outputs(notebook, "stream") if o["name"] == "stderr"]
    return "".join(o["text"] for o in outputs(notebook, "stream"))
