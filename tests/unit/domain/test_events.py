from __future__ import annotations

import logging

import pytest

from storycore_tts import Event, GenerationFailed, Listeners, Reloaded

EVENT = Reloaded("", "draft")


@pytest.fixture
def listeners():
    return Listeners()


def deaf(event: Event) -> None:
    raise ValueError("I cannot hear.")


def test_everybody_hears_in_order(listeners):
    heard = []
    listeners.add(lambda event: heard.append(("first", event)))
    listeners.add(lambda event: heard.append(("second", event)))
    listeners.tell(EVENT)
    assert heard == [("first", EVENT), ("second", EVENT)]


def test_who_is_removed_hears_no_more(listeners):
    heard = []
    listener = heard.append
    remove = listeners.add(listener)
    listeners.add(listener)  # a second place, which stays
    remove()
    remove()
    listeners.tell(EVENT)
    assert heard == [EVENT]


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


def test_a_listener_that_fails_is_logged_and_the_others_hear(listeners, caplog):
    heard = []
    listeners.add(deaf)
    listeners.add(heard.append)
    listeners.tell(EVENT)
    assert heard == [EVENT]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "a listener failed at Reloaded"
    assert "I cannot hear." in caplog.text


def test_the_log_of_a_failed_listener_does_not_quote_the_error_that_is_told(listeners, caplog):
    """An event is told while its error is handled, and Python would chain the two."""
    listeners.add(deaf)
    try:
        raise GenerationFailed("It choked on 'My diary'.")
    except GenerationFailed:
        listeners.tell(EVENT)
    assert "I cannot hear." in caplog.text
    assert "My diary" not in caplog.text


def test_what_is_no_exception_goes_through(listeners):
    def interrupted(event: Event) -> None:
        raise KeyboardInterrupt

    listeners.add(interrupted)
    with pytest.raises(KeyboardInterrupt):
        listeners.tell(EVENT)
