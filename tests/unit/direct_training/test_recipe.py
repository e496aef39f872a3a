"""The model is trained on what it meets when it speaks."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="fine-tuning needs storycore-tts[direct]")

TEXT = "Good day."


@pytest.fixture(scope="module", params=["1.7B", "0.6B"])
def spoken(tiny_models, request):
    """A line of the package's own, always its likeliest guess, and the model that said it."""
    from qwen_tts import Qwen3TTSModel

    from storycore_tts.adapters.direct.training import features, voice

    tts = Qwen3TTSModel.from_pretrained(
        str(tiny_models.path("base", request.param)), device_map="cpu", dtype=torch.float32
    )
    size = tts.model.config.talker_config.hidden_size
    embedding = torch.randn(size, generator=torch.Generator().manual_seed(0))
    embedding[:3] = 0  # the tiny models count there when to end
    voice.give(tts.model, "hero", embedding)
    ids = features.text_ids(tts.processor, TEXT)
    prompt = f"<|im_start|>assistant\n{TEXT}<|im_end|>\n<|im_start|>assistant\n"
    with torch.inference_mode():
        codes, _ = tts.model.generate(
            input_ids=[tts.processor(text=prompt, return_tensors="pt")["input_ids"]],
            instruct_ids=[None],
            languages=["Auto"],
            speakers=["hero"],
            non_streaming_mode=True,
            do_sample=False,
            subtalker_dosample=False,
            repetition_penalty=1.0,
            max_new_tokens=256,
        )
    example = features.Example(ids, codes[0].clone())
    assert len(example.codes) > 5
    return SimpleNamespace(model=tts.model, example=example, embedding=embedding)


def guesses(spoken, *examples):
    from storycore_tts.adapters.direct.training import recipe

    batch = recipe.lay_out(examples, spoken.model.config)
    with torch.no_grad():
        frames, codebooks = recipe.predict(spoken.model, batch, spoken.embedding)
    allowed = frames.clone()
    end = spoken.model.config.talker_config.codec_eos_token_id
    allowed[..., 2048:] = -torch.inf  # what generate forbids
    allowed[..., end] = frames[..., end]
    return batch, allowed.argmax(-1), codebooks.argmax(-1)


def test_it_guesses_what_it_said(spoken):
    """The layout, the positions of both losses and the projection are those of ``generate``."""
    batch, frames, codebooks = guesses(spoken, spoken.example)
    said = batch.frames[:, 1:]
    assert torch.equal(frames[said], spoken.example.codes[:, 0])
    assert torch.equal(codebooks, spoken.example.codes[:, 1:])
    assert frames[0, -1] == spoken.model.config.talker_config.codec_eos_token_id
    assert batch.targets[0, -1] == frames[0, -1]


def test_padding_changes_no_guess(spoken):
    from storycore_tts.adapters.direct.training.features import Example

    short = Example(spoken.example.text_ids, spoken.example.codes[:3])
    batch, frames, codebooks = guesses(spoken, short, spoken.example)
    assert torch.equal(frames[1][batch.frames[1, 1:]], spoken.example.codes[:, 0])
    assert torch.equal(codebooks[3:], spoken.example.codes[:, 1:])
    assert torch.equal(codebooks[:3], spoken.example.codes[:3, 1:])


def test_the_loss_is_that_of_each_guess_for_its_own_frame(spoken):
    from storycore_tts.adapters.direct.training import recipe

    codes, config = spoken.example.codes, spoken.model.config
    batch = recipe.lay_out([spoken.example], config)
    with torch.no_grad():
        frames, codebooks = recipe.predict(spoken.model, batch, spoken.embedding)
        told = recipe.loss(spoken.model, batch, spoken.embedding)
    said = [*codes[:, 0].tolist(), config.talker_config.codec_eos_token_id]
    talker = [
        -guess.log_softmax(-1)[code]
        for guess, code in zip(frames[0, -len(said) :], said, strict=True)
    ]
    sub_talker = [
        -guess.log_softmax(-1)[code]
        for guess, code in zip(codebooks.flatten(0, 1), codes[:, 1:].flatten(), strict=True)
    ]
    expected = sum(talker) / len(talker) + 0.3 * sum(sub_talker) / len(sub_talker)
    assert told == pytest.approx(float(expected), rel=1e-4)
