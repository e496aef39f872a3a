"""Whatever the files look like: an edit does what it should or is refused, and can be undone."""

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from storycore_tts.services.migration import SETTINGS_STEP, Checkout
from storycore_tts.services.migration.errors import MigrationRefused
from storycore_tts.services.migration.regions import Put, put_in, regions_in, take_out
from storycore_tts.services.migration.steps import STEPS

LINES = {SETTINGS_STEP: ["tts:", "  qwen:", "    backend: draft"]}
NEWLINES = st.sampled_from(["\n", "\r\n"])
LINES_OF_TEXT = st.lists(st.text("a #>\t\f\x0b\x85\u2028ü"))
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
    starts = [None, 0, *(i + 1 for i, c in enumerate(text) if c == "\n")]
    start = data.draw(st.sampled_from(starts))
    put = Put("file", ours, start, data.draw(st.sampled_from(["", "  ", "\t"])))
    result = put_in(text, put, "phase-1-x")
    (region,) = regions_in("file", result)
    assert take_out(result, region) == text
    end = len(text) if start is None else start
    assert result.startswith(text[:end])
    assert result.endswith(text[end:])


def files_that_are_new_or_replaced_go_and_come_back(lines, newline, last, ours, data):
    text = text_of(lines, newline, last)
    made = put_in(None, Put("file", ours), "phase-1-x")
    (region,) = regions_in("file", made)
    assert take_out(made, region) is None
    (region,) = regions_in("file", made + text)
    assert take_out(made + text, region) == (text or None)
    replaced = put_in(text, Put("file", ours, replaces="0123abcd"), "phase-3-x")
    (region,) = regions_in("file", replaced)
    assert take_out(replaced, region, text) == text


def settings_that_come_change_no_others(document, style, last):
    text = dumped(document, style, last)
    checkout = Checkout({"file": text.encode().decode("latin-1")}, "file", LINES)
    step = next(step for step in STEPS if step.name == SETTINGS_STEP)
    try:
        assume(not step.look(checkout).done)
        after = step.taken(checkout)
    except MigrationRefused:
        return
    loaded = yaml.safe_load(after.texts["file"].encode("latin-1"))
    assert loaded.pop("tts") == {"qwen": {"backend": "draft"}}
    assert loaded == (yaml.safe_load(text) or {})
    assert after.back_to(0) == checkout


def dumped(document, style, last):
    text = yaml.safe_dump(document, **style)
    return text if last else text.removesuffix("\n").removesuffix("\r")


OURS = st.lists(st.text("ab #:", min_size=1))
PROPERTIES = [
    given(LINES_OF_TEXT, NEWLINES, LAST, OURS, st.data())(lines_that_come_go_again),
    given(LINES_OF_TEXT, NEWLINES, LAST, OURS, st.data())(
        files_that_are_new_or_replaced_go_and_come_back
    ),
    given(DOCUMENTS, STYLES, LAST)(settings_that_come_change_no_others),
]


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda holds: holds.__name__)
@pytest.mark.parametrize("examples", [20, pytest.param(1000, marks=pytest.mark.soak)])
def test_it_holds_for_any_file(holds, examples):
    settings(max_examples=examples, deadline=None)(holds)()
