import numpy as np
import pytest

from storycore_tts.adapters.direct.streaming import LEFT_CONTEXT, SAMPLES_PER_FRAME, ChunkDecoder


def decode(frames):
    """Each frame sounds like its number."""
    return np.repeat(np.array(frames, np.float32), SAMPLES_PER_FRAME)


def heard(pieces):
    return [list(map(int, piece[::SAMPLES_PER_FRAME])) for piece in pieces]


@pytest.mark.parametrize("before", [0, 5, 200])
def test_each_frame_sounds_once_and_in_order(before):
    pieces = []
    decoder = ChunkDecoder(decode, pieces.append, first=2, then=5, before=[-1] * before)
    for frame in range(14):
        decoder.add(frame)
    assert heard(pieces) == [[0, 1], [2, 3, 4, 5, 6], [7, 8, 9, 10, 11]]
    for _ in range(2):  # nothing comes of nothing
        decoder.finish()
        assert heard(pieces[3:]) == [[12, 13]]


def test_no_more_than_the_context_is_decoded_again():
    lengths = []

    def watched(frames):
        lengths.append(len(frames))
        return decode(frames)

    decoder = ChunkDecoder(watched, lambda _: None, first=4, then=12, before=range(500))
    for frame in range(500):
        decoder.add(frame)
    assert max(lengths) == LEFT_CONTEXT + 12
