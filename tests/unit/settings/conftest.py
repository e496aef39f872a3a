import pytest

from storycore_tts.settings import load_config


@pytest.fixture(autouse=True)
def _no_settings_around(tmp_path, monkeypatch):
    """Keep the files and the variables of whoever runs the tests out of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.environ", {})


@pytest.fixture
def load(tmp_path):
    """Loads the text of a file and an environment, each of which may be missing."""
    path = tmp_path / "mine.yaml"

    def load(text=None, **environ):
        if text is not None:
            path.write_text(text, encoding="utf-8")
        return load_config(path if text is not None else None, environ=environ)

    return load
