"""Models that were not loaded correctly, as some versions of transformers do it."""

import pytest

from storycore_tts import BackendUnavailable

pytestmark = pytest.mark.filterwarnings("ignore")  # what the packages say while they load


@pytest.fixture
def load(tiny_torch, tiny_models):
    from storycore_tts.adapters.direct.loading import load_model

    def load_one(dtype="float32"):
        folder = tiny_models.path("custom_voice")
        return load_model(folder, device="cpu", dtype=dtype, attention="sdpa").model, folder

    return load_one


def refusal(module, folder):
    from storycore_tts.adapters.direct import guard

    with pytest.raises(BackendUnavailable, match="not loaded correctly") as error:
        guard.check(module, folder)
    assert not error.value.retryable
    return error.value.message


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_weight_that_is_not_the_files_is_found(load, tiny_torch, dtype):
    model, folder = load(dtype)  # checked, and let pass
    tiny_torch.nn.init.normal_(model.talker.codec_head.weight)
    assert "talker.codec_head.weight" in refusal(model, folder)


@pytest.mark.parametrize("left", [0.0, 1e30, float("nan")])
def test_frequencies_that_were_not_initialised_are_found(load, left):
    model, folder = load()
    codec = model.speech_tokenizer.model
    for module, where in ((model, folder), (codec, folder / "speech_tokenizer")):
        next(part for part in module.modules() if hasattr(part, "inv_freq")).inv_freq.fill_(left)
        assert "inv_freq" in refusal(module, where)


def test_a_model_that_was_loaded_wrongly_is_not_returned(load, tiny_torch, monkeypatch):
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    right = ROPE_INIT_FUNCTIONS["default"]

    def wrong(*args, **options):
        frequencies, scaling = right(*args, **options)
        return tiny_torch.zeros_like(frequencies), scaling

    monkeypatch.setitem(ROPE_INIT_FUNCTIONS, "default", wrong)
    with pytest.raises(BackendUnavailable, match="not loaded correctly"):
        load()
