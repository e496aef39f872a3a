"""Bindings for espeak-ng, through ctypes and the ``espeakng-loader`` wheel.

The C library uses global variables and is not thread-safe, so calls are serialized by a lock. Some
state, such as the position of its pitch flutter, survives ``espeak_Terminate`` and would make the
audio depend on earlier calls. The library is therefore loaded anew for each call, in about 3 ms, so
that the same text always gives the same samples.

Its initialization also sets the LC_CTYPE of the process to UTF-8.
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
_DONT_EXIT = 0x8000  # otherwise, a missing data folder would end the process
_UTF8 = 1  # no espeakSSML, no espeakPHONEMES: "<b>" and "[[x]]" are plain text
_RATE, _PITCH, _RANGE = 1, 3, 4
_END_OF_EVENTS = 0

_BUFFER = 60  # ms of audio per callback, and so the granularity of cancellation
_LOCK_POLL = 0.02  # s between calls of ``cancelled`` while waiting for the lock
_LONGEST_WORD = 40  # espeak-ng drops text after about 200 phonemes without a space
_LONG_WORD = re.compile(rf"\w{{{_LONGEST_WORD}}}(?=\w)")

_lock = threading.Lock()
_versions: dict[str, str] = {}  # by the path of the library


class EspeakError(Exception):
    """The library failed, or the voice does not exist."""


class EspeakUnavailable(EspeakError):
    """The library is not installed, or cannot be loaded."""


class SpeakCancelled(Exception):
    """``cancelled`` returned True."""


@dataclass(frozen=True)
class EspeakVoice:
    """A voice and its parameters.

    Args:
        name: Language and variant in espeak-ng's spelling: "en-us+f3", "cmn+m2".
        pitch: Base pitch, 0..99; 50 is the variant's default.
        pitch_range: Pitch variation, 0..99; 50 is the variant's default.
        words_per_minute: Speed, 80..450.
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
)  # int16 samples or NULL, their number, events up to _END_OF_EVENTS; 1 stops the synthesis


class _Listener:
    """Collects the audio and events of the library's callback."""

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
        """Process a buffer of audio; returns 1 to stop the synthesis."""
        if self.cancelled():
            self.stopped = True
            return 1
        if samples and count > 0:
            self.chunks.append(ctypes.string_at(samples, count * 2))  # a copy: the buffer is reused
        if self.on_fraction:
            for position in _positions(events):
                self.on_fraction(min(position / self.characters, 1.0))
        return 0


def _positions(events: ctypes._Pointer[_Event]) -> Iterator[int]:
    """Yield the text positions of the events, in characters."""
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
    """Generate speech; blocks, and may be called from any thread.

    Control characters except newlines count as spaces, and markup is not interpreted. The samples
    depend only on the arguments, unless other code in this process keeps the library loaded.

    Args:
        text: The text to speak, of any length.
        voice: The voice.
        cancelled: Called every few milliseconds in this thread; returns whether to stop; must not
            raise.
        on_fraction: Called in this thread with the completed share of the text, 0..1; must not
            raise.

    Returns:
        Mono samples, float32 of shape (n,), −1..1, and the sample rate in Hz. There are few or no
        samples if espeak-ng cannot pronounce the text.

    Raises:
        SpeakCancelled: ``cancelled`` returned True.
        EspeakUnavailable: The library is not installed, or cannot be loaded.
        EspeakError: The library failed, or the voice does not exist.
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
        raise EspeakError(f"espeak-ng failed with status {status}.")
    samples = np.frombuffer(b"".join(listener.chunks), dtype=np.int16)
    return samples.astype(np.float32) / np.float32(32768), rate


def version() -> str:
    """Return the version of espeak-ng, such as "1.52.0"; cached.

    Raises:
        EspeakUnavailable: The library is not installed, or cannot be loaded.
    """
    path, _ = _paths()
    if path not in _versions:
        with _lock:
            if path not in _versions:  # not set by another thread meanwhile
                with _library() as (library, _):
                    _versions[path] = library.espeak_Info(None).decode("ascii", "replace")
    return _versions[path]


def _plain(text: str) -> str:
    """Return the text in a form that espeak-ng can handle.

    Control characters could end the text (NUL) or start a command (U+0001); lone surrogates cannot
    be encoded as UTF-8; very long words would be truncated. Newlines are kept, since an empty line
    is a pause.
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
    """Load and initialize the library, and unload it afterwards. Requires the lock."""
    path, data = _paths()
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise EspeakUnavailable(f"Cannot load {path}: {error}.") from error
    try:
        _declare(library)
        rate = library.espeak_Initialize(_SYNCHRONOUS, _BUFFER, data, _DONT_EXIT)
        if rate <= 0:
            raise EspeakUnavailable("espeak-ng cannot be initialized: its data cannot be read.")
        try:
            yield library, rate
        finally:
            library.espeak_Terminate()
    finally:
        _unload(library)


def _paths() -> tuple[str, bytes]:
    """Return the paths of the library, for ctypes, and of its data, for the C library."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise EspeakUnavailable("The package espeakng-loader is not installed.") from error
    try:
        data = str(espeakng_loader.get_data_path())
        # The Windows build expects file names in the ANSI code page.
        encoded = data.encode("mbcs") if sys.platform == "win32" else os.fsencode(data)
    except (RuntimeError, UnicodeError) as error:
        raise EspeakUnavailable(f"The data of espeak-ng was not found: {error}.") from error
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
    library.espeak_ng_SetRandSeed(1)  # for breath noise; otherwise seeded by the clock
