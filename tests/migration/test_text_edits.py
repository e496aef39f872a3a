"""Whatever the files look like: an edit does what it should or is refused, and can be undone."""

import ast

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from storycore_tts.services.migration import Checkout, MigrationRefused, evidence, phase_of, plan
from storycore_tts.services.migration.regions import Put, put_in, take_out
from storycore_tts.services.migration.yaml_source import block_put, setting, value_put

NEWLINES = st.sampled_from(["\n", "\r\n"])
LINES = st.lists(st.text("a #>\t\f\x0b\x85\u2028ü"))
LAST = st.booleans()

SCALARS = st.one_of(
    st.integers(), st.booleans(), st.none(), st.text("aü #:-'\"{[&*|>~?!%@,\t\n\x85", max_size=6)
)
KEYS = st.sampled_from(["server", "paths", "tts", "qwen", "a b", "ü", "backend", "rollout", "x"])
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
STYLES = st.fixed_dictionaries(
    {
        "default_flow_style": st.sampled_from([False, None, True]),
        "indent": st.sampled_from([2, 4, 8]),
        "default_style": st.sampled_from([None, "'", '"', "|", ">"]),
        "explicit_start": st.booleans(),
        "explicit_end": st.booleans(),
        "allow_unicode": st.booleans(),
        "width": st.sampled_from([20, 1000]),
        "line_break": NEWLINES,
    }
)


def text_of(lines, newline, last):
    return newline.join(lines) + (newline if last and lines else "")


def lines_that_come_go_again(lines, newline, last, ours, data):
    text = text_of(lines, newline, last)
    starts = [0, *(i + 1 for i, c in enumerate(text) if c == "\n"), len(text)]
    start, end = sorted([data.draw(st.sampled_from(starts)), data.draw(st.sampled_from(starts))])
    put = Put("file", start, end, ours, data.draw(st.sampled_from(["", "  ", "\t"])))
    result, region = put_in(text, put, phase=1, name="phase-1-x")
    assert take_out(result, region) == text
    assert result.startswith(text[:start])
    assert result.endswith(text[end:])
    other = "\n" if newline == "\r\n" else "\r\n"
    turned = take_out(result.replace("\r\n", "\n").replace("\n", other), region)
    assert turned.replace("\r\n", "\n") == text.replace("\r\n", "\n")


def a_block_of_settings_changes_no_other(document, style, last):
    text = dumped(document, style, last)
    had = setting("file", text)
    assume(had is None)
    try:
        put = block_put("file", text, ["backend: direct", "rollout: 0.5"])
    except MigrationRefused:
        return
    result, region = put_in(text, put, phase=1, name="phase-1-x")
    loaded = yaml.safe_load(result)
    assert loaded["tts"].pop("qwen") == {"backend": "direct", "rollout": 0.5}
    expected = yaml.safe_load(text)
    if not loaded["tts"] and not expected.get("tts"):
        del loaded["tts"]
        expected.pop("tts", None)
    assert loaded == expected
    assert take_out(result, region) == text


def one_value_changes_no_other(document, block, style, last, wanted):
    document = {**document, "tts": {"other": 1, "qwen": block}}
    text = dumped(document, style, last)
    key, value = wanted
    try:
        put = value_put("file", text, key, value)
    except MigrationRefused:
        return
    result, region = put_in(text, put, phase=4, name="phase-4-x")
    expected = yaml.safe_load(text)
    expected["tts"]["qwen"][key] = yaml.safe_load(value)
    assert yaml.safe_load(result) == expected
    assert take_out(result, region) == text


def dumped(document, style, last):
    text = yaml.safe_dump(document, **style)
    return text if last else text.removesuffix("\n").removesuffix("\r")


STATEMENTS = st.lists(
    st.sampled_from(
        [
            "self.a = 1",
            "self.tts = A(config)",
            "self.tts = A(\n    config\n)",
            "self.config = config",
            "self.tts = 'é'; self.b = [\n1,\n]",
            "self.tts = '''\nself.tts = 1\n'''",
            "if config:\n    self.tts = B()",
            "# self.tts = 1",
            "",
        ]
    ),
    min_size=1,
)


def a_hook_leaves_python_that_says_the_same_and_more(statements, step, newline, last):
    body = "\n".join(["pass", *statements]).replace("\n", f"\n{step}{step}")
    source = f"class AIVideoEditorService:\n{step}def __init__(self, config):\n{step}{step}{body}"
    source = (source + "\n" * last).replace("\n", newline)
    before = Checkout(
        {
            "requirements.txt": "storycore-tts",
            "config/default.yaml": "tts: {qwen: {rollout: 0.5}}",
            "backend/video_editor_ai_service.py": source,
            "backend/main_api.py": "app.include_router(VIDEO_EDITOR_ROUTER)",
        }
    )
    ast.parse(source)
    try:
        after = plan(before, 2).after
    except MigrationRefused:
        return
    assert phase_of(evidence(after)) >= 2
    assert plan(after, 1).after.texts == before.texts
    result = after.texts["backend/video_editor_ai_service.py"]
    ours = [
        n for n in ast.walk(ast.parse(result)) if isinstance(n, ast.If) and "qwen" in ast.unparse(n)
    ]
    assert len(ours) == 1
    assert plan(after, 2).changes == []


PROPERTIES = {
    lines_that_come_go_again: given(
        LINES, NEWLINES, LAST, st.lists(st.text("ab #:", min_size=1)), st.data()
    ),
    a_block_of_settings_changes_no_other: given(DOCUMENTS, STYLES, LAST),
    one_value_changes_no_other: given(
        DOCUMENTS,
        st.dictionaries(KEYS, SCALARS, min_size=1, max_size=3),
        STYLES,
        LAST,
        st.sampled_from([("backend", "comfyui"), ("rollout", "null"), ("x", "true")]),
    ),
    a_hook_leaves_python_that_says_the_same_and_more: given(
        STATEMENTS, st.sampled_from(["    ", "\t", "  "]), NEWLINES, LAST
    ),
}


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda holds: holds.__name__)
@pytest.mark.parametrize("examples", [20, pytest.param(1000, marks=pytest.mark.soak)])
def test_it_holds_for_any_file(holds, examples):
    settings(max_examples=examples, deadline=None)(PROPERTIES[holds](holds))()
