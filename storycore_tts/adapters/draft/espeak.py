"""espeak-ng in this process, through ctypes and the ``espeakng-loader`` wheel.

The C library keeps everything in process-wide variables and is not thread-safe, so one lock
stands before it. Some of that state (the place in its pitch flutter, for one) survives even its
own ``espeak_Terminate``, and would make the audio of a call depend on the calls before it. So the
library is loaded afresh for each call, about 3 ms, and the same text gives the same samples.

Its start also sets the process's LC_CTYPE to UTF-8, which matters only under an older locale.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: audio to the callback, before espeak_Synth returns
_DONT_EXIT = 0x8000  # without it a missing data folder ends the process
_UTF8 = 1  # no espeakSSML, no espeakPHONEMES: "<b>" and "[[x]]" are text like any other
_RATE, _PITCH, _RANGE = 1, 3, 4
_END_OF_EVENTS = 0

_BUFFER = 60  # ms of audio a callback, and so the grain of cancelling
_LOCK_POLL = 0.02  # s between looks at ``cancelled`` while another thread speaks
_LONGEST_WORD = 40  # espeak-ng drops what comes after some 200 phonemes without a space
_LONG_WORD = re.compile(rf"\w{{{_LONGEST_WORD}}}(?=\w)")

_lock = threading.Lock()
_versions: dict[str, str] = {}  # by the path of the library


class EspeakError(Exception):
    """The library refused, or has no such voice."""


class EspeakUnavailable(EspeakError):
    """The library is not installed, or cannot be loaded."""


class SpeakCancelled(Exception):
    """``cancelled`` said so."""


@dataclass(frozen=True)
class EspeakVoice:
    """A voice, and how it is set.

    Args:
        name: Language and variant in espeak-ng's spelling: "en-us+f3", "cmn+m2".
        pitch: Base pitch, 0..99; 50 is the variant's own.
        pitch_range: How lively the melody is, 0..99; 50 is the variant's own.
        words_per_minute: Pace, 80..450.
    """

    name: str
    pitch: int = 50
    pitch_range: int = 50
    words_per_minute: int = 175


class _EventId(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event)
)  # int16 samples or NULL, how many, events up to _END_OF_EVENTS; 1 stops the synthesis


class _Listener:
    """Collects what the library says through its callback."""

    def __init__(
        self,
        characters: int,
        cancelled: Callable[[], bool],
        on_fraction: Callable[[float], None] | None,
    ) -> None:
        self.characters = characters
        self.cancelled = cancelled
        self.on_fraction = on_fraction
        self.chunks: list[bytes] = []
        self.stopped = False

    def receive(self, samples: int | None, count: int, events: ctypes._Pointer[_Event]) -> int:
        """Take a buffer of audio; 1 stops the synthesis."""
        if self.cancelled():
            self.stopped = True
            return 1
        if samples and count > 0:
            self.chunks.append(ctypes.string_at(samples, count * 2))  # a copy: theirs is reused
        if self.on_fraction:
            for position in _positions(events):
                self.on_fraction(min(position / self.characters, 1.0))
        return 0


def _positions(events: ctypes._Pointer[_Event]) -> Iterator[int]:
    """Yield the places in the text, in characters, that the events tell of."""
    index = 0
    while events and events[index].type != _END_OF_EVENTS:
        if events[index].text_position > 0:
            yield events[index].text_position
        index += 1


def _never() -> bool:
    return False


def speak(
    text: str,
    voice: EspeakVoice,
    *,
    cancelled: Callable[[], bool] | None = None,
    on_fraction: Callable[[float], None] | None = None,
) -> tuple[NDArray[np.float32], int]:
    """Speak a text; blocks, and may be called from any thread.

    Control characters but the newline count as spaces, and no markup is interpreted. The samples
    depend on the arguments alone, as long as nobody else in this process holds the wheel's
    library open.

    Args:
        text: What to say, of any length.
        voice: In which voice.
        cancelled: Asked every few milliseconds from this thread; must not raise.
        on_fraction: Told from this thread how much of the text is spoken, 0..1; must not raise.

    Returns:
        Mono samples, float32 of shape (n,), −1..1, and their rate in Hz. Samples are few or none
        when espeak-ng knows no way to say the text.

    Raises:
        SpeakCancelled: ``cancelled`` said so.
        EspeakUnavailable: The library is not installed, or cannot be loaded.
        EspeakError: The library refused, or has no such voice.
    """
    import numpy as np

    plain = _plain(text)
    listener = _Listener(max(len(plain), 1), cancelled or _never, on_fraction)
    callback = _Callback(listener.receive)  # referenced until the library is unloaded
    with _waiting_for_lock(listener.cancelled), _library() as (library, rate):
        library.espeak_SetSynthCallback(callback)
        _set_voice(library, voice)
        encoded = plain.encode()
        status = library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, _UTF8, None, None)
    if listener.stopped:
        raise SpeakCancelled
    if status != 0:
        raise EspeakError(f"espeak-ng could not speak: its status is {status}.")
    samples = np.frombuffer(b"".join(listener.chunks), dtype=np.int16)
    return samples.astype(np.float32) / np.float32(32768), rate


def version() -> str:
    """Return the version of espeak-ng, such as "1.52.0"; the library is asked once.

    Raises:
        EspeakUnavailable: The library is not installed, or cannot be loaded.
    """
    path, _ = _paths()
    if path not in _versions:
        with _lock:
            if path not in _versions:  # by another thread, meanwhile
                with _library() as (library, _):
                    _versions[path] = library.espeak_Info(None).decode("ascii", "replace")
    return _versions[path]


def _plain(text: str) -> str:
    """Return the text without what espeak-ng would trip over.

    A control character could end the text (NUL) or begin a command (U+0001); half a surrogate
    pair has no UTF-8; very long words lose their end. A newline stays: an empty line is a pause.
    """
    clean = "".join(
        " " if unicodedata.category(c) in ("Cc", "Cs") and c != "\n" else c for c in text
    )
    return _LONG_WORD.sub(r"\g<0> ", clean)


@contextmanager
def _waiting_for_lock(cancelled: Callable[[], bool]) -> Iterator[None]:
    while not _lock.acquire(timeout=_LOCK_POLL):
        if cancelled():
            raise SpeakCancelled
    try:
        yield
    finally:
        _lock.release()


@contextmanager
def _library() -> Iterator[tuple[ctypes.CDLL, int]]:
    """Load and initialise the library; unload it at the end. The caller holds the lock."""
    path, data = _paths()
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise EspeakUnavailable(f"Cannot load {path}: {error}.") from error
    try:
        _declare(library)
        rate = library.espeak_Initialize(_SYNCHRONOUS, _BUFFER, data, _DONT_EXIT)
        if rate <= 0:
            raise EspeakUnavailable("espeak-ng does not start: its data cannot be read.")
        try:
            yield library, rate
        finally:
            library.espeak_Terminate()
    finally:
        _unload(library)


def _paths() -> tuple[str, bytes]:
    """Return where the library and its data are, as ctypes and as the C library want them."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise EspeakUnavailable("The package espeakng-loader is not installed.") from error
    try:
        data = str(espeakng_loader.get_data_path())
        # The Windows build opens files by names in the ANSI code page.
        encoded = data.encode("mbcs") if sys.platform == "win32" else os.fsencode(data)
    except (RuntimeError, UnicodeError) as error:
        raise EspeakUnavailable(f"espeak-ng cannot reach its data: {error}.") from error
    return str(espeakng_loader.get_library_path()), encoded


def _declare(library: ctypes.CDLL) -> None:
    c_int, c_uint, c_char_p, c_void_p = (
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_char_p,
        ctypes.c_void_p,
    )
    library.espeak_Initialize.argtypes = (c_int, c_int, c_char_p, c_int)
    library.espeak_SetSynthCallback.argtypes = (_Callback,)
    library.espeak_SetSynthCallback.restype = None
    library.espeak_SetVoiceByName.argtypes = (c_char_p,)
    library.espeak_SetParameter.argtypes = (c_int, c_int, c_int)
    library.espeak_ng_SetRandSeed.argtypes = (ctypes.c_long,)
    library.espeak_Synth.argtypes = (
        c_char_p, ctypes.c_size_t, c_uint, c_int, c_uint, c_uint, c_void_p, c_void_p,
    )  # fmt: skip
    library.espeak_Info.argtypes = (c_void_p,)
    library.espeak_Info.restype = c_char_p


def _unload(library: ctypes.CDLL) -> None:
    import _ctypes

    if sys.platform == "win32":
        _ctypes.FreeLibrary(library._handle)
    else:
        _ctypes.dlclose(library._handle)


def _set_voice(library: ctypes.CDLL, voice: EspeakVoice) -> None:
    if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
        raise EspeakError(f"espeak-ng has no voice {voice.name!r}.")
    for parameter, value in (
        (_RATE, voice.words_per_minute),
        (_PITCH, voice.pitch),
        (_RANGE, voice.pitch_range),
    ):
        library.espeak_SetParameter(parameter, value, 0)
    library.espeak_ng_SetRandSeed(1)  # of its breath noise; it starts from the clock otherwise
