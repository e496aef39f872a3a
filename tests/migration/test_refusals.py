"""What cannot be done safely is refused, with the reason, and nothing is touched."""

import pytest

from storycore_tts.entrypoints.checkout import FOLDER, open_checkout, put_right
from storycore_tts.services.migration import (
    AnchorNotFound,
    LocalChanges,
    MigrationRefused,
    NotACheckout,
    UnfitFile,
    plan,
)

AI_SERVICE = "backend/video_editor_ai_service.py"
MAIN_API = "backend/main_api.py"
SETTINGS = "config/default.yaml"
MARK = b"# >>> storycore-tts migrate: phase-2-service >>>"


def replaced(root, path, old, new):
    file = root / path
    data = file.read_bytes()
    assert old in data
    file.write_bytes(data.replace(old, new))


UNKNOWN_LAYOUTS = {
    "another class": (AI_SERVICE, b"AIVideoEditorService", b"Editor"),
    "no tts": (AI_SERVICE, b"self.tts = TTSService(", b"self.speech = TTSService("),
    "no config": (AI_SERVICE, b"self.config =", b"self.settings ="),
    "not on its own line": (AI_SERVICE, b"        self.tts = TTSS", b"        1; self.tts = TTSS"),
    "no router": (MAIN_API, b"VIDEO_EDITOR_ROUTER,", b"ROUTER,"),
    "a requirement that goes on": ("requirements.txt", b"   # arrays", b" \\"),
    "settings in braces": (SETTINGS, b"server:", b"tts: {}\nserver:"),
    "settings of a scalar": (SETTINGS, b"server:", b"tts: null\nserver:"),
    "settings of an alias": (SETTINGS, b"greeting:", b"x: &a {b: 1}\ntts: *a\ngreeting:"),
    "a text up to the end": (
        SETTINGS,
        '"Grüß Gott"\n'.encode(),
        b"|+\n  Hello",
    ),
    "a document that ended": (SETTINGS, b"greeting:", b"...\n# greeting:"),
}


UNFIT = {
    "not Python": (AI_SERVICE, b"class ", b"klass "),
    "not UTF-8": (MAIN_API, b"small", b"small\xff"),
    "an unknown encoding": (AI_SERVICE, b'"""Services', b'# coding: martian\n"""Services'),
    "lone carriage returns": (MAIN_API, b"\n\n\n", b"\r\r\r"),
    "not YAML": (SETTINGS, b"server:", b"server: ["),
    "a list of settings": (SETTINGS, b"server:", b"- server:"),
    "two documents": (SETTINGS, b"greeting:", b"---\ngreeting:"),
}


@pytest.mark.parametrize(
    ("refusal", "path", "old", "new"),
    [
        pytest.param(refusal, *change, id=name)
        for refusal, changes in ((AnchorNotFound, UNKNOWN_LAYOUTS), (UnfitFile, UNFIT))
        for name, change in changes.items()
    ],
)
def test_an_unknown_layout_and_a_file_that_cannot_be_read_safely(
    small_engine, contents, go, refusal, path, old, new
):
    replaced(small_engine, path, old, new)
    before = contents(small_engine)
    with pytest.raises(refusal) as refused:
        go(small_engine, 2)
    assert path in refused.value.message
    assert contents(small_engine) == before


@pytest.mark.parametrize("missing", ["requirements.txt", AI_SERVICE, MAIN_API])
def test_a_folder_that_is_no_checkout(small_engine, go, missing):
    (small_engine / missing).unlink()
    with pytest.raises(NotACheckout, match=missing):
        go(small_engine, 1)


def test_paths_and_phases_that_there_are_not(small_engine):
    for name in ("nowhere", "engine/requirements.txt", "a\0b"):
        for ask in (put_right, open_checkout):
            with pytest.raises(NotACheckout):
                ask(small_engine.parent / name)
    with pytest.raises(MigrationRefused, match="0 to 4"):
        plan(open_checkout(small_engine).checkout, 5)


@pytest.mark.parametrize("path", [AI_SERVICE, "backend", SETTINGS, FOLDER])
def test_links_are_not_followed(small_engine, tmp_path, go, path):
    place = small_engine / path
    elsewhere = tmp_path / "elsewhere"
    if place.exists():
        place.rename(elsewhere)
    else:
        elsewhere.mkdir()
    place.symlink_to(elsewhere)
    with pytest.raises(UnfitFile, match="is a link"):
        go(small_engine, 2)


CHANGES = {
    "a line": (b"install(self)", b"install(self, None)"),
    "a mark": (MARK, b""),
    "two marks": (MARK, MARK + b"\n        " + MARK),
}


@pytest.mark.parametrize(("old", "new"), CHANGES.values(), ids=CHANGES)
def test_local_changes_in_our_lines(small_engine, contents, go, old, new):
    go(small_engine, 3)
    replaced(small_engine, AI_SERVICE, old, new)
    before = contents(small_engine)
    with pytest.raises(LocalChanges, match=AI_SERVICE):
        go(small_engine, 1)
    assert contents(small_engine) == before
    go(small_engine, 4)  # what does not touch these lines is still possible


def test_marks_without_what_belongs_between_them(small_engine, contents, go):
    go(small_engine, 2)
    replaced(small_engine, AI_SERVICE, b"from storycore_tts import", b"from somewhere import")
    before = contents(small_engine)
    with pytest.raises(LocalChanges, match="phase-2-service"):
        go(small_engine, 2)
    assert contents(small_engine) == before


def test_a_damaged_record(small_engine, go):
    go(small_engine, 1)
    replaced(small_engine, f"{FOLDER}/manifest.json", b'"version":', b'"edition":')
    with pytest.raises(LocalChanges, match=r"manifest\.json is damaged"):
        go(small_engine, 2)
