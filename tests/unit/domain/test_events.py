from __future__ import annotations

import logging

import pytest

from storycore_tts import Event, GenerationFailed, Listeners, Reloaded

EVENT = Reloaded("", "draft")


@pytest.fixture
def listeners():
    return Listeners()


def test_all_hear_in_order_and_who_is_removed_hears_no_more(listeners):
    heard = []
    listeners.add(lambda event: heard.append("first"))
    listener = heard.append
    remove = listeners.add(listener)
    listeners.add(listener)  # a second place, which stays
    listeners.tell(EVENT)
    assert heard == ["first", EVENT, EVENT]
    remove()
    remove()
    listeners.tell(EVENT)
    assert heard[3:] == ["first", EVENT]


def test_a_listener_may_remove_itself_and_add_others(listeners):
    heard = []

    def once(event: Event) -> None:
        remove()
        listeners.add(heard.append)

    remove = listeners.add(once)
    listeners.tell(EVENT)
    assert heard == []
    listeners.tell(EVENT)
    assert heard == [EVENT]


def test_a_listener_that_fails_is_logged_without_the_error_that_is_told_and_the_others_hear(
    listeners, caplog
):
    """An event is told while its error is handled, and Python would chain the two."""

    def deaf(event: Event) -> None:
        raise ValueError("I cannot hear.")

    heard = []
    listeners.add(deaf)
    listeners.add(heard.append)
    try:
        raise GenerationFailed("It choked on 'My diary'.")
    except GenerationFailed:
        listeners.tell(EVENT)
    assert heard == [EVENT]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "a listener failed at Reloaded"
    assert "I cannot hear." in caplog.text
    assert "My diary" not in caplog.text


def test_what_is_no_exception_goes_through(listeners):
    def interrupted(event: Event) -> None:
        raise KeyboardInterrupt

    listeners.add(interrupted)
    with pytest.raises(KeyboardInterrupt):
        listeners.tell(EVENT)
