"""The tree of errors and what each of them says."""

import inspect
import re

import pytest

from storycore_tts import errors
from storycore_tts.errors import (
    BackendOverloaded,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    GenerationFailed,
    NodePackMissing,
    RunawayGeneration,
    TTSError,
    shown,
)

EXTRA = {
    "BackendTimeout": {"wait": "connect", "seconds": 5.0},
    "RunawayGeneration": {"partial_duration": 40.96},
}
RETRYABLE = {
    "BackendUnavailable", "BackendTimeout", "BackendOverloaded", "RunawayGeneration",
    "SilentAudio", "JobLost",
}  # fmt: skip
NOT_RETRYABLE = {
    "TTSError", "InvalidRequest", "UnknownSpeaker", "UnsupportedLanguage", "UnsupportedByBackend",
    "InvalidReferenceAudio", "RecordingTooLarge", "UnsupportedRecording", "InvalidDataset",
    "ConsentRefused", "ConfigurationError", "NodePackMissing", "GenerationFailed", "OutOfMemory",
    "AuthenticationFailed", "JobCancelled", "StorageFailed", "MarkingFailed",
}  # fmt: skip


def real_tree():
    """Return (class, parent) of every error in the module, in the order of the source."""
    found = [
        (kind.__name__, kind.__base__.__name__)
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, TTSError) and kind.__module__ == errors.__name__
    ]
    return set(found) - {("TTSError", "Exception")}


def drawn_tree():
    """Return (class, parent) of every line of the tree in the module's docstring."""
    parents, found = {0: "TTSError"}, set()
    for line in errors.__doc__.splitlines():
        drawn = re.match(r"    ((?:│   |    )*)[├└]── (\w+)", line)
        if drawn:
            depth = len(drawn[1]) // 4
            found.add((drawn[2], parents[depth]))
            parents[depth + 1] = drawn[2]
    return found


def test_the_drawn_tree_is_the_real_one():
    assert len(drawn_tree()) > 10
    assert drawn_tree() == real_tree()


def test_every_error_is_judged_here_and_says_whether_it_is_retryable():
    names = {name for name, _ in real_tree()} | {"TTSError"}
    assert names == RETRYABLE | NOT_RETRYABLE
    made = {name: getattr(errors, name)("It broke.", **EXTRA.get(name, {})) for name in names}
    assert {name for name, error in made.items() if error.retryable} == RETRYABLE


@pytest.mark.parametrize("kind", [TTSError, BackendUnavailable, GenerationFailed, NodePackMissing])
@pytest.mark.parametrize("retryable", [True, False])
def test_retryable_can_be_said_otherwise_for_one_error(kind, retryable):
    assert kind("It broke.", retryable=retryable).retryable is retryable


@pytest.mark.parametrize(
    ("message", "hint", "said"),
    [
        ("It broke.", None, "It broke."),
        ("It broke", "", "It broke"),
        ("It broke.", "Ask again.", "It broke. Ask again."),
        ("It broke", "Ask again.", "It broke. Ask again."),
        ("Did it break?", "Ask again.", "Did it break? Ask again."),
    ],
)
def test_the_hint_follows_the_message_as_a_sentence(message, hint, said):
    error = TTSError(message, hint=hint)
    assert str(error) == said
    assert (error.message, error.hint) == (message, hint)


def test_each_error_keeps_what_it_was_told():
    timeout = BackendTimeout("Late.", wait="queue", seconds=1.5, backend="comfyui")
    assert (timeout.wait, timeout.seconds, timeout.backend) == ("queue", 1.5, "comfyui")
    assert BackendOverloaded("Busy.", retry_after=3.0).retry_after == 3.0
    assert RunawayGeneration("On and on.", partial_duration=40.96).partial_duration == 40.96
    failed = GenerationFailed("No.", node_type="N", node_id="1", exception_type="ValueError")
    assert (failed.node_type, failed.node_id, failed.exception_type) == ("N", "1", "ValueError")
    refused = ConfigurationError("No.", source="f.yaml", key="a.b", value=3, allowed="2")
    told = (refused.source, refused.key, refused.value, refused.allowed)
    assert told == ("f.yaml", "a.b", 3, "2")


def test_values_are_shown_as_they_are_and_those_of_any_size_in_short():
    for value in (5, "a", None, [1, 2], 2.5):
        assert shown(value) == repr(value)
    bomb = ["x"] * 10
    for _ in range(50):
        bomb = [bomb] * 10
    endless = {}
    endless["self"] = endless
    for value in (bomb, endless, "x" * 10**6, 10**5000, -(10**100), {"k": bomb}):
        assert 0 < len(shown(value)) < 5000
