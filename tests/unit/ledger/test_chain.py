"""The chain of a ledger: whatever is done to it is found."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.adapters.ledger.chain import CHECKPOINT, START, Head, check, head_of, line_of
from storycore_tts.errors import InvalidRequest

pytestmark = pytest.mark.once


def chain(*facts, after=START):
    lines = []
    for one in facts:
        lines.append(line_of(one, head_of(lines[-1]) if lines else after))
    return lines


def numbered(count):
    return chain(*({"file": f"{n}"} for n in range(count)))


LINES = numbered(8)
END = head_of(LINES[-1])


def test_a_chain_holds():
    verdict = check(LINES, end=END)
    assert (verdict.records, verdict.head, verdict.problem) == (8, END, "")


def test_the_first_broken_record_is_named():
    changed = [line.replace(b'"3"', b'"x"').replace(b'"5"', b'"y"') for line in LINES]
    assert "record 4 was changed" in check(changed, end=END).problem
    assert check([*LINES[:3], *LINES[4:]], end=END).problem == "record 4 is missing"
    assert check([*LINES[:3], *LINES[5:]], end=END).problem == "records 4 to 5 are missing"
    assert check([*LINES[:3], b"\xff", *LINES[4:]], end=END).problem == "record 4 cannot be read"


def test_a_missing_beginning_and_a_missing_end_are_named():
    assert check(LINES[2:], end=END).problem == "records 1 to 2 are missing"
    assert check(LINES[:-2], end=END).problem == "records 7 to 8 are missing"
    assert check([], end=END).problem == "records 1 to 8 are missing"


@st.composite
def damaged(draw):
    """Return the lines after an edit, a deletion, a swap, a copy or a forged record."""
    lines = list(LINES)
    place, other = draw(st.permutations(range(len(lines))))[:2]
    kind = draw(st.sampled_from(["edit", "delete", "swap", "copy", "forge"]))
    if kind == "edit":
        at = draw(st.integers(0, len(lines[place]) - 1))
        new = draw(st.integers(0, 255).filter(lambda byte: byte != lines[place][at]))
        lines[place] = lines[place][:at] + bytes([new]) + lines[place][at + 1 :]
    elif kind == "delete":
        del lines[place : place + draw(st.integers(1, 8))]
    elif kind == "swap":
        lines[place], lines[other] = lines[other], lines[place]
    elif kind == "copy":
        lines.insert(other, lines[place])
    else:  # a valid record after any but the last, where it would be one like all others
        place %= len(lines) - 1
        lines.insert(place + 1, line_of({"file": "forged"}, head_of(lines[place])))
    return b"\n".join(lines).split(b"\n")  # an edit may be a line break


@given(damaged())
def test_any_edit_deletion_swap_and_insertion_is_found(lines):
    assert check(lines, end=END).problem


@given(st.integers(1, 8), st.integers(1, 8))
def test_a_chain_that_was_made_anew_is_found_by_a_head_that_was_kept_elsewhere(first, kept):
    forged = [*LINES[: first - 1]]
    for _ in range(first, 9):
        forged.append(line_of({"file": "forged"}, head_of(forged[-1]) if forged else START))
    verdict = check(forged, end=head_of(forged[-1]), known=head_of(LINES[kept - 1]))
    assert bool(verdict.problem) == (kept >= first)


def test_a_checkpoint_stands_for_what_was_pruned():
    lines = [*LINES, line_of({"kind": CHECKPOINT, "through": str(head_of(LINES[2]))}, END)]
    end = head_of(lines[-1])
    verdict = check(lines[3:], end=end)
    assert (verdict.problem, verdict.pruned) == ("", 3)
    assert check(lines[2:], end=end).problem == "records 1 to 2 are missing"
    assert check(lines[4:], end=end).problem == "records 1 to 4 are missing"
    assert check(lines[3:], end=end, known=head_of(LINES[2])).problem == ""
    assert "was pruned" in check(lines[3:], end=end, known=head_of(LINES[1])).problem


def test_a_lost_note_of_the_end_is_a_problem():
    assert "note of its end is missing" in check(LINES, end=None).problem
    assert not check(LINES[:1], end=None).problem  # a crash before it was first written


def test_a_head_is_read_as_it_is_printed():
    assert Head.read(f" {END}\n") == END
    for wrong in ("", "8", END.hash, f"8:{END.hash[1:]}", f"-1:{END.hash}", f"8:{END.hash}:"):
        with pytest.raises(InvalidRequest, match="not the head of a ledger"):
            Head.read(wrong)


def test_a_record_is_a_line_whatever_it_says():
    line = line_of({"voice": "a\nb\u2028c"}, START)
    assert b"\n" not in line
    assert json.loads(line)["voice"] == "a\nb\u2028c"
