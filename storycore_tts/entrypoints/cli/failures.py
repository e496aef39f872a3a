"""Errors as exit statuses, messages on stderr and JSON."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from storycore_tts.entrypoints.cli import console, interrupts
from storycore_tts.errors import (
    AuthenticationFailed,
    BackendUnavailable,
    ConfigurationError,
    ConsentRefused,
    InvalidRequest,
    TTSError,
)

BUG = 1
WRONG_INPUT = 2
UNAVAILABLE = 3
FAILED = 4
CONTRADICTED = 5  # what a file says of itself does not hold
INTERRUPTED = interrupts.INTERRUPTED


def exit_status(error: TTSError) -> int:
    """Return the exit status for an error."""
    if isinstance(error, InvalidRequest | ConfigurationError | ConsentRefused):
        return WRONG_INPUT
    if isinstance(error, BackendUnavailable | AuthenticationFailed):
        return UNAVAILABLE
    return FAILED


def guarded(work: Callable[[], int | None], *, as_json: bool, debug: bool) -> int:
    """Run a command; exceptions become a message and an exit status.

    Args:
        work: The command; returns the exit status, None for 0.
        as_json: Also print the error as a JSON object on stdout.
        debug: Also print the traceback on stderr.
    """
    try:
        return work() or 0
    except KeyboardInterrupt:
        return _interrupted(as_json)
    except Exception as error:  # noqa: BLE001 - the outermost edge: unexpected errors are bugs,
        # reported by a message instead of a traceback
        if debug:
            console.tell(traceback.format_exc().rstrip())
        if interrupts.came():  # an import, for instance, may have replaced the KeyboardInterrupt
            return _interrupted(as_json)
        return _failed(*_understood(error), as_json)
    finally:
        interrupts.heed_again()


def wrong_use(message: str) -> dict[str, Any]:
    """Return the JSON object for a usage error."""
    return {"error": _described("UsageError", message, hint="See storycore-tts --help.")}


def _interrupted(as_json: bool) -> int:
    interrupts.mark_reported()
    return _failed(INTERRUPTED, _described("Interrupted", "Interrupted."), as_json)


def _failed(status: int, described: dict[str, Any], as_json: bool) -> int:
    console.tell(f"error: {described['message']}")
    if described["hint"]:
        console.tell(f"hint: {described['hint']}")
    if as_json:
        with suppress(OSError):  # the message was already printed
            console.answer_json({"error": described})
    return status


def _understood(error: Exception) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the JSON object for an error."""
    kind = type(error).__name__
    if isinstance(error, TTSError):
        return exit_status(error), _described(
            kind, error.message, hint=error.hint, backend=error.backend, retryable=error.retryable
        )
    if isinstance(error, OSError):
        return FAILED, _described(kind, _os_message(error))
    return BUG, _described(
        kind,
        f"This is a bug in storycore-tts: {kind}: {error}",
        hint="Please report it. Run again with --debug for the traceback.",
    )


def _described(
    kind: str,
    message: str,
    *,
    hint: str | None = None,
    backend: str | None = None,
    retryable: bool = False,
) -> dict[str, Any]:
    return {
        "type": kind,
        "message": message,
        "hint": hint,
        "backend": backend,
        "retryable": retryable,
    }


def _os_message(error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.filename:
        return f"Cannot write {error.filename}: {reason}."
    return f"Operating system error: {reason}."
