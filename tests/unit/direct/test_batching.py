import itertools

from storycore_tts import Sampling
from storycore_tts.adapters.direct.batching import is_full, next_batch
from storycore_tts.adapters.direct.speech_jobs import SpeechJob
from storycore_tts.testing.contract import tone_reference

from .conftest import line


def jobs(*texts, **settings):
    return [SpeechJob(line(text, **settings)) for text in texts]


def texts(batch):
    return [job.line.text for job in batch]


async def test_a_batch_is_sorted_by_length():
    assert texts(next_batch(jobs("aa", "a", "aaaa", "aaa"), most=9)) == ["aaaa", "aaa", "aa", "a"]


async def test_lines_of_similar_length_go_with_the_one_that_waited_longest():
    waiting, spoken = jobs("a" * 10, *("a" * n for n in range(1, 30))), []
    lengths = [len(text) for text in texts(next_batch(waiting, most=4))]
    assert max(lengths) - min(lengths) <= 3
    while waiting:
        batch = next_batch(waiting, most=4)
        assert waiting[0] in batch
        spoken += batch
        waiting = [job for job in waiting if job not in batch]
    assert len(spoken) == len(set(spoken)) == 30


async def test_a_seeded_line_and_a_stream_are_alone():
    plain, (seeded,) = jobs("a", "b"), jobs("c", sampling=Sampling(seed=1))
    stream = SpeechJob(line("d"), streamed=True)
    assert next_batch([seeded, *plain], most=9) == [seeded]
    assert next_batch([stream, *plain], most=9) == [stream]
    assert next_batch([plain[0], seeded, stream, plain[1]], most=9) == plain


async def test_only_lines_that_are_drawn_alike_share_a_batch():
    reference = tone_reference(220.0)
    kinds = [
        [*jobs("a", sampling=Sampling(max_new_tokens=100)), *jobs("b")],  # budgets part no lines
        jobs("a", "b", sampling=Sampling(temperature=0.5)),
        jobs("a", "b", reference=reference, x_vector_only=True),
        jobs("a", "b", reference=reference),
    ]
    mixed = list(itertools.chain(*zip(*kinds, strict=True)))
    for kind in kinds:
        waiting = [kind[0], *(job for job in mixed if job is not kind[0])]
        assert set(next_batch(waiting, most=9)) == set(kind)


async def test_a_batch_is_full_when_waiting_would_not_change_it():
    assert is_full(jobs("a", sampling=Sampling(seed=1)), most=2)
    assert is_full(jobs("a", "b"), most=2)
    assert not is_full(jobs("a"), most=2)
