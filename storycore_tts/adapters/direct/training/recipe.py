"""Upstream's recipe for one speaker: how a recording is laid out, and what is wrong with a guess.

The model is trained on exactly what it sees when it speaks with a built-in voice, language Auto.
Two channels of embeddings are added up, position by position:

======  =================  ====  ============  =====  =====  ==========  ===  ==============  ===
        role (3 tokens)    ·     ·             ·      ·      words, end  ·    frames          ·
======  =================  ====  ============  =====  =====  ==========  ===  ==============  ===
text    its tokens         pad   pad           pad    begin  its tokens  pad  pad             pad
codec   nothing            no    think begins  voice  pad    pad         bos  all codebooks   end
                           think and ends
======  =================  ====  ============  =====  =====  ==========  ===  ==============  ===

The talker's state before a frame has to name its codebook 0, or the end; from that state and
codebook 0 the sub-talker has to name codebooks 1 to 15.

Upstream's script (its last change is of March 2026) gets four things wrong, which its issue
tracker knows, and which show when its losses are held against the package's own ``generate``: it
hands labels that are shifted already to a loss that shifts them again, so that the talker learns
to skip every second frame; the sub-talker's labels are shifted too; the sub-talker is shown the
state after the frame, which holds the answer; and ``text_projection`` is left out, which makes the
0.6B model fail and the 1.7B model learn other inputs than it will meet. Here the losses are
computed from the logits, on the positions that ``generate`` uses. Everything else is upstream's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from storycore_tts.adapters.direct.training.features import ROLE, Example

if TYPE_CHECKING:
    from torch import Tensor

SUB_TALKER_WEIGHT = 0.3  # upstream's; it was 1.0 before its change for stability
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0  # norm over all weights

_VOICE = ROLE + 3  # position of the speaker's embedding
_NOTHING = -100  # no codec embedding here; also what cross_entropy leaves out


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples, padded on the right to the longest.

    Args:
        text: Token ids of the text channel, int64, shape (batch, length).
        codec: Ids of the codec channel, codebook 0 in the frames; ``_NOTHING`` where it is empty.
        codes: All codebooks of the frames, shape (batch, length, codebooks); 0 elsewhere.
        frames: Where frames are, bool, shape (batch, length).
        targets: Like ``codec``, with nothing but frames and the end.
        attention: 1 up to the example's end, then 0; int64.
    """

    text: Tensor
    codec: Tensor
    codes: Tensor
    frames: Tensor
    targets: Tensor
    attention: Tensor

    def to(self, device: str) -> Batch:
        """Return the batch on another device."""
        return Batch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def lay_out(examples: Sequence[Example], config: Any) -> Batch:
    """Lay examples out as in the table above.

    Args:
        examples: At least one.
        config: The whole model's.
    """
    rows = [_row(example, config) for example in examples]

    def padded(name: str, value: int) -> Tensor:
        return pad_sequence([row[name] for row in rows], batch_first=True, padding_value=value)

    return Batch(
        text=padded("text", config.tts_pad_token_id),
        codec=padded("codec", _NOTHING),
        codes=padded("codes", 0),
        frames=padded("frames", 0),
        targets=padded("targets", _NOTHING),
        attention=padded("attention", 0),
    )


def _row(example: Example, config: Any) -> dict[str, Tensor]:
    """Return the fields of ``Batch`` for one example, each of shape (length,) or (length, …)."""
    talker = config.talker_config
    role, words, count = example.text_ids[:ROLE], example.text_ids[ROLE:], len(example.codes)
    pad, pad_codec = config.tts_pad_token_id, talker.codec_pad_id
    thinking = [talker.codec_nothink_id, talker.codec_think_bos_id, talker.codec_think_eos_id]
    lead = [_NOTHING] * ROLE + [*thinking, _NOTHING, pad_codec]  # the voice has no id here
    beside_words = [pad_codec] * (len(words) + 1) + [talker.codec_bos_id]
    prompt = len(lead) + len(beside_words)
    text = [
        role,
        torch.tensor([pad] * 4 + [config.tts_bos_token_id]),
        words,
        torch.tensor([config.tts_eos_token_id] + [pad] * (count + 2)),
    ]
    codec = [
        torch.tensor(lead + beside_words),
        example.codes[:, 0],
        torch.tensor([talker.codec_eos_token_id]),
    ]
    row = {"text": torch.cat(text), "codec": torch.cat(codec)}
    length = prompt + count + 1
    row["codes"] = torch.zeros(length, example.codes.shape[1], dtype=torch.int64)
    row["codes"][prompt : prompt + count] = example.codes
    row["frames"] = torch.zeros(length, dtype=torch.bool)
    row["frames"][prompt : prompt + count] = True
    row["targets"] = row["codec"].clone()
    row["targets"][:prompt] = _NOTHING
    row["attention"] = torch.ones(length, dtype=torch.int64)
    return row


def predict(model: Any, batch: Batch, voice: Tensor) -> tuple[Tensor, Tensor]:
    """Let the model guess every frame from those before it.

    Args:
        model: The package's ``Qwen3TTSForConditionalGeneration``.
        batch: On the model's device.
        voice: The speaker's embedding, shape (hidden,).

    Returns:
        The talker's logits, shape (batch, length − 1, vocabulary), of which number i are for
        position i + 1; the sub-talker's, shape (frames in the batch, codebooks − 1, vocabulary).
    """
    talker = model.talker
    present = batch.codec != _NOTHING
    inputs = talker.get_input_embeddings()(batch.codec.where(present, 0)) * present.unsqueeze(-1)
    inputs[:, _VOICE] = voice
    inputs = inputs + talker.text_projection(talker.get_text_embeddings()(batch.text))
    for book, embedding in enumerate(talker.code_predictor.get_input_embeddings(), start=1):
        inputs = inputs + embedding(batch.codes[..., book]) * batch.frames.unsqueeze(-1)
    output = talker(
        inputs_embeds=inputs[:, :-1],
        attention_mask=batch.attention[:, :-1],
        output_hidden_states=True,
        use_cache=False,
    )
    layers, _ = output.hidden_states
    before_frames = layers[-1][batch.frames[:, 1:]]
    codebooks, _ = talker.forward_sub_talker_finetune(batch.codes[batch.frames], before_frames)
    return output.logits, codebooks


def loss(model: Any, batch: Batch, voice: Tensor) -> Tensor:
    """Return what is wrong with the guesses: mean cross entropies, in nats; a scalar."""
    frames, codebooks = predict(model, batch, voice)
    talker = cross_entropy(
        frames.flatten(0, 1).float(), batch.targets[:, 1:].flatten(), ignore_index=_NOTHING
    )
    sub_talker = cross_entropy(
        codebooks.flatten(0, 1).float(), batch.codes[batch.frames][:, 1:].flatten()
    )
    return talker + SUB_TALKER_WEIGHT * sub_talker
