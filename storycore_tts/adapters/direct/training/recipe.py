"""Upstream's recipe for one speaker: input layout and loss.

The model is trained on the same input as for generation with a built-in voice and language Auto.
The embeddings of two channels are added at each position:

======  =================  ====  ============  =====  =====  ==========  ===  ==============  ===
        role (3 tokens)    ·     ·             ·      ·      words, end  ·    frames          ·
======  =================  ====  ============  =====  =====  ==========  ===  ==============  ===
text    its tokens         pad   pad           pad    begin  its tokens  pad  pad             pad
codec   nothing            no    think begins  voice  pad    pad         bos  all codebooks   end
                           think and ends
======  =================  ====  ============  =====  =====  ==========  ===  ==============  ===

From its state before a frame, the talker must predict codebook 0 of the frame, or the end. From
that state and codebook 0, the sub-talker must predict codebooks 1 to 15.

Upstream's script (last changed in March 2026) has four bugs, which are known in its issue tracker
and visible if its losses are compared with the package's ``generate``: labels that are already
shifted are passed to a loss that shifts them again, so that the talker learns to skip every second
frame; the labels of the sub-talker are shifted, too; the sub-talker gets the state after the frame,
which contains the answer; and ``text_projection`` is missing, which makes the 0.6B model fail and
trains the 1.7B model on different inputs than those of generation. Here, losses are computed from
the logits at the positions that ``generate`` uses. Everything else follows upstream.
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

SUB_TALKER_WEIGHT = 0.3  # upstream's value; 1.0 before a change for stability
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0  # maximum norm over all weights

_VOICE = ROLE + 3  # position of the speaker's embedding
_NOTHING = -100  # no codec embedding; also the value that cross_entropy ignores


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of examples, padded on the right.

    Args:
        text: Token ids of the text channel, int64, shape (batch, length).
        codec: Ids of the codec channel, codebook 0 in the frames; ``_NOTHING`` where empty.
        codes: All codebooks of the frames, shape (batch, length, codebooks); 0 elsewhere.
        frames: Whether a position is a frame, bool, shape (batch, length).
        targets: Like ``codec``, but only frames and the end.
        attention: 1 up to the end of an example, then 0; int64.
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
    """Return examples in the layout of the table above.

    Args:
        examples: The examples; at least one.
        config: Config of the whole model.
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
    """Return the fields of ``Batch`` for one example, of shape (length,) or (length, …)."""
    talker = config.talker_config
    role, words, count = example.text_ids[:ROLE], example.text_ids[ROLE:], len(example.codes)
    pad, pad_codec = config.tts_pad_token_id, talker.codec_pad_id
    thinking = [talker.codec_nothink_id, talker.codec_think_bos_id, talker.codec_think_eos_id]
    lead = [_NOTHING] * ROLE + [*thinking, _NOTHING, pad_codec]  # the voice has no id
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
    """Predict each frame from the preceding ones.

    Args:
        model: A ``Qwen3TTSForConditionalGeneration`` of the package.
        batch: The batch, on the device of the model.
        voice: Embedding of the speaker, shape (hidden,).

    Returns:
        Logits of the talker, shape (batch, length − 1, vocabulary), where index i is for position
        i + 1; logits of the sub-talker, shape (frames in the batch, codebooks − 1, vocabulary).
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
    """Return the loss: weighted mean cross entropies, in nats; a scalar.

    Args:
        model: A ``Qwen3TTSForConditionalGeneration`` of the package.
        batch: The batch, on the device of the model.
        voice: Embedding of the speaker, shape (hidden,).
    """
    frames, codebooks = predict(model, batch, voice)
    talker = cross_entropy(
        frames.flatten(0, 1).float(), batch.targets[:, 1:].flatten(), ignore_index=_NOTHING
    )
    sub_talker = cross_entropy(
        codebooks.flatten(0, 1).float(), batch.codes[batch.frames][:, 1:].flatten()
    )
    return talker + SUB_TALKER_WEIGHT * sub_talker
