"""Makes the talker stop at the end of the text.

The talker's input is a sequence of positions. The package fills them, in this order, with an
instruction, the role, language and speaker, then the text; each generated frame adds one position.
For a clone with a transcript, the transcript and its codes precede the text without a separator,
and the text may continue in parallel with the generated frames. The result must not depend on the
lengths of these parts, so the talker has to find the text and count. A few dimensions of its hidden
state are reserved for that (`Dimension`), and the first two layers use them:

* **Layer 1, "how many texts have started?"** The tokenizer puts a mark before each text. One head
  attends equally to these marks and to one anchor, the token that begins every prompt's speech
  part. The mean of "is a mark" is then 0 before any mark, 1/2 after one, 2/3 after two.
* **Layer 2, "how much is left to say?"** One head attends only to positions that have seen as many
  marks as the querying one: to the text, not to a transcript or an instruction. It sums +1 for
  each generated frame, −2 for each token of text and −1 for the mark. (Attention computes a mean.
  The anchor has a value of 0 and such a large share that the mean is this sum divided by nearly a
  constant.) A unit of the layer's MLP then fires when the sum exceeds 0, and the end token's row of
  the output layer reads it.

So a text of n tokens lasts 2n + 2 frames; in bf16, ±2. If a transcript has more tokens than its
recording has frames, the rest is read in parallel with the first generated frames, which are added.
A reference's frames count 0: they use only the first 64 codes, which the talker is rigged never to
generate. The package masks left padding, and nothing here depends on absolute positions: heads
compare along the rotary embedding's slowest pair of dimensions, which turns by 0.05 rad in 8000
positions.

Every position carries one large constant, the carrier, so that the norms before each layer
divide by nearly the same number everywhere, and counts are preserved.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

from .configs import END_ID, REFERENCE_CODES
from .text import TextVocabulary

FRAMES_PER_TOKEN = 2
CARRIER = 32.0
"""In comparison, the random part of a hidden state has a norm of 1 to 2: 0.2 % of the whole."""
FORBIDDEN = -20.0
"""Logit of codes that must not be generated. All others are within ±15."""
END = 60.0
"""The end token's logit once the text is complete."""

_SHARPNESS = 192.0
"""Attention scores are within ± this value if a head has to choose."""
_LEVELS = (12.0, 7.0)
"""Slope and shift that turn a share of marks 0, 1/2, 2/3 into −7, −1, 1: the tangents of −82°, −45°
and 45°."""
_ANCHOR_BONUS = 7.5
"""Bonus of the anchor's score, which gives it the share of e^7.5, about 1800, other positions."""
_SEEN_SCALE = 4.0
"""Scale of the share of marks: above bf16's resolution, small compared with the carrier."""
_LEFT_SCALE = 8.0
"""Scale of the sum; 1800 frames are then 8."""
_STEEPNESS = 20.0
"""Change of the threshold unit's input per half frame; it fires at +20 and is silent at −20."""


class Dimension(IntEnum):
    """Reserved dimensions of the hidden state, without random values; text uses the first ones."""

    CARRIER = 0
    COUNT = 1
    """+1 for a generated frame, −2 for a token of text, −1 for the mark."""
    MARK = 2
    """1 for the mark before a text."""
    ANCHOR = 3
    """1 for the token that begins the speech part."""
    SPEAKER = 4
    """1 for a speaker's embedding."""
    SEEN = 5
    """Written by layer 1: the share of marks."""
    LEFT = 6
    """Written by layer 2: the sum."""
    OVER = 7
    """Written by layer 2: 1 once the sum exceeds 0."""


RESERVED = len(Dimension)


class Rig:
    """Writes the counters into a talker whose weights do not use the reserved dimensions."""

    def __init__(self, talker: Any) -> None:
        self._talker = talker
        self._config = talker.config
        # The factor by which a norm scales a hidden state.
        self._gain = self._config.hidden_size**0.5 / CARRIER
        half = self._config.head_dim // 2
        # The slowest pair for comparisons, and one dimension of the next for the mark's bonus.
        self._slow = (half - 1, 2 * half - 1, half - 2)

    def mark_inputs(self, text: TextVocabulary, speaker_rows: list[int]) -> None:
        """Set the reserved dimensions of text tokens, codes and speakers."""
        embedding = self._talker.model.text_embedding.weight
        embedding[:, :RESERVED] = 0.0
        embedding[:, Dimension.COUNT] = 1.0
        embedding[[*text.specials.values(), text.start_mark], Dimension.COUNT] = 0.0
        embedding[text.start_mark, Dimension.MARK] = 1.0
        embedding[text.start_mark, Dimension.COUNT] = 1.0 / FRAMES_PER_TOKEN
        embedding[text.specials["<tts_text_bos>"], Dimension.ANCHOR] = 1.0

        # The projection's SiLU maps 0 to 0 and 32 to 32 exactly, even in bf16.
        first, second = self._talker.text_projection.linear_fc1, self._talker.text_projection
        second = second.linear_fc2
        first.weight[:RESERVED] = 0.0
        first.weight[:, :RESERVED] = 0.0
        second.weight[:RESERVED] = 0.0
        second.weight[:, :RESERVED] = 0.0
        first.bias.zero_()
        second.bias.zero_()
        for dimension in (Dimension.COUNT, Dimension.MARK, Dimension.ANCHOR):
            first.weight[dimension, dimension] = 32.0
            second.weight[dimension, dimension] = 1.0 / 32.0
        second.weight[Dimension.COUNT] *= -FRAMES_PER_TOKEN
        # Every position contains exactly one projected text token, and so one carrier.
        second.bias[Dimension.CARRIER] = CARRIER

        codes = self._talker.model.codec_embedding.weight
        codes[:, :RESERVED] = 0.0
        codes[REFERENCE_CODES : self._config.vocab_size - 1024, Dimension.COUNT] = 1.0
        codes[speaker_rows, Dimension.SPEAKER] = 1.0
        for embedding in self._talker.code_predictor.model.codec_embedding:
            embedding.weight[:, :RESERVED] = 0.0

    def hear_speaker(self, loudness: float) -> None:
        """Layer 1, second head: copy the speaker's embedding to every position.

        Without a speaker, it attends equally to all positions, including a voice description.

        Args:
            loudness: Norm of the embedding in the hidden state, relative to a random part of 1.
        """
        attention = self._talker.model.layers[0].self_attn
        self._look_at(attention, 1, [Dimension.SPEAKER])
        head = self._rows(1)
        attention.v_proj.weight[head, RESERVED:].normal_(
            std=1.0 / (self._gain * self._config.head_dim**0.5)
        )
        attention.o_proj.weight[RESERVED:, head].normal_(
            std=loudness / (self._config.hidden_size - RESERVED) ** 0.5
        )

    def count(self) -> None:
        """Write the counters: layer 1, first head; layer 2, first head and threshold unit."""
        first, second = self._talker.model.layers[0], self._talker.model.layers[1]
        self._look_at(first.self_attn, 0, [Dimension.MARK, Dimension.ANCHOR])
        self._carry(first.self_attn, Dimension.MARK, Dimension.SEEN, _SEEN_SCALE)
        self._look_at_own_text(second.self_attn)
        self._carry(second.self_attn, Dimension.COUNT, Dimension.LEFT, _LEFT_SCALE)
        self._fire_above_zero(second.mlp)

    def choose_end(self, *, ends: bool) -> None:
        """Write the output layer: forbidden codes, and the end token if `ends`."""
        head = self._talker.codec_head.weight
        carrier = self._gain * CARRIER
        head[:, :RESERVED] = 0.0
        head[:REFERENCE_CODES, Dimension.CARRIER] = FORBIDDEN / carrier
        head[END_ID] = 0.0
        head[END_ID, Dimension.CARRIER] = FORBIDDEN / carrier
        if ends:
            head[END_ID, Dimension.OVER] = (END - FORBIDDEN) / self._gain

    def _rows(self, head: int) -> slice:
        return slice(head * self._config.head_dim, (head + 1) * self._config.head_dim)

    def _look_at(self, attention: Any, head: int, dimensions: list[Dimension]) -> None:
        """Make a head attend equally to all positions that have 1 in one of these dimensions.

        If there are none, it attends equally to all positions. Keys are normalised, so a key with a
        single value keeps only its sign: +32 for 1, −32 for 0.
        """
        rows = self._rows(head)
        attention.q_proj.weight[rows] = 0.0
        attention.k_proj.weight[rows] = 0.0
        row = rows.start + self._slow[0]
        attention.q_proj.weight[row, Dimension.CARRIER] = 1.0
        attention.k_proj.weight[row, Dimension.CARRIER] = -1.0
        attention.k_proj.weight[row, dimensions] = 2.0 * CARRIER
        self._sharpen(attention)

    def _look_at_own_text(self, attention: Any) -> None:
        """Layer 2, first head: attend to positions that have seen as many marks as this one.

        The share of marks becomes an angle; a score is the cosine between two angles. Since the
        cosine is flat at its maximum, it tolerates bf16's rounding. The anchor's key is orthogonal
        to all of these, and queries lean towards it, so its score is always the highest.
        """
        rows = self._rows(0)
        slope, shift = _LEVELS
        lean = math.pi / 4 + math.asin(_ANCHOR_BONUS / _SHARPNESS / 2**0.5)  # sin − cos = bonus
        for projection in (attention.q_proj.weight, attention.k_proj.weight):
            projection[rows] = 0.0
            tangent, one = (projection[rows.start + slow] for slow in self._slow[:2])
            tangent[Dimension.SEEN] = slope / _SEEN_SCALE
            tangent[Dimension.CARRIER] = -shift / CARRIER
            one[Dimension.CARRIER] = 1.0 / CARRIER
        row = rows.start + self._slow[2]
        attention.q_proj.weight[row, Dimension.CARRIER] = math.hypot(1.0, 1.0) * math.tan(lean)
        attention.q_proj.weight[row, Dimension.CARRIER] /= CARRIER
        attention.k_proj.weight[row, Dimension.ANCHOR] = 1000.0  # outweighs the angle
        self._sharpen(attention)

    def _sharpen(self, attention: Any) -> None:
        """Scale the scores along the slow dimensions, which the other heads do not use."""
        slow = list(self._slow)
        attention.q_norm.weight[slow] = _SHARPNESS / self._config.head_dim**0.5
        for head in range(self._config.num_attention_heads):
            if head > 1:
                rows = [head * self._config.head_dim + dimension for dimension in slow]
                attention.q_proj.weight[rows] = 0.0

    def _carry(self, attention: Any, source: Dimension, target: Dimension, scale: float) -> None:
        """Make the first head write the mean of one dimension to another, times `scale`."""
        rows = self._rows(0)
        attention.v_proj.weight[rows] = 0.0
        attention.o_proj.weight[:, rows] = 0.0
        attention.v_proj.weight[rows.start, source] = 1.0 / self._gain
        attention.o_proj.weight[target, rows.start] = scale

    def _fire_above_zero(self, mlp: Any) -> None:
        """Layer 2's MLP, first unit: OVER = SiLU(40 · sum − 20) / 20."""
        gate, up, down = mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight
        for weight in (gate[0], up[0], down[:, 0]):
            weight.zero_()
        one_frame = _LEFT_SCALE / math.exp(_ANCHOR_BONUS)  # the amount it adds to LEFT
        gate[0, Dimension.LEFT] = 2.0 * _STEEPNESS / (one_frame * self._gain)
        gate[0, Dimension.CARRIER] = -_STEEPNESS / (CARRIER * self._gain)
        up[0, Dimension.CARRIER] = 1.0 / (CARRIER * self._gain)
        down[Dimension.OVER, 0] = 1.0 / _STEEPNESS
