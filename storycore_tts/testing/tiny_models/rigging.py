"""How the talker knows when the text is said.

The talker's input is a row of positions. The package fills them, in this order, with an
instruction, the role, language and speaker, then the text; each spoken frame adds one position.
When it clones with a transcript, the transcript and its codes stand before the text, joined
to it, and the text may go on beside the spoken frames. The lengths of all of these must not matter,
so the talker has to find the text and count. A few dimensions of its hidden state are kept free of
random values for that (`Dimension`), and the first two layers work on them:

* **Layer 1, "how many texts have started?"** The tokenizer puts a mark before each text. One head
  looks only at these marks and at one anchor, the token that begins every prompt's spoken part,
  all alike. The mean of "is a mark" is then 0 before any mark, 1/2 after one, 2/3 after two.
* **Layer 2, "how much is left to say?"** One head looks only at positions that have seen as many
  marks as the asking one: at the text, not at a transcript or an instruction. It sums +1 for
  each spoken frame, −2 for each token of text and −1 for the mark. (Attention takes a mean. The
  anchor has a share so large, and a value of 0, that the mean is this sum over nearly a constant.)
  Then a unit of the layer's MLP, silent below its threshold, fires when the sum is above 0, and
  the end token's row of the output layer reads it.

So a text of n tokens lasts 2n + 2 frames; in bf16, give or take 2. A transcript with more tokens
than its recording has frames is read on beside the first spoken frames, and these come on top. A
reference's frames count 0: they are coded with the first 64 codes only, which the talker is rigged
not to say itself. Left padding is masked by the package, and nothing here depends on absolute
positions: heads compare along the rotary embedding's slowest pair of dimensions, which turns by
0.05 rad in 8000 positions.

Every position carries one large constant, the carrier, so that the norms before each layer
divide by nearly the same number everywhere, and counts stay counts.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

from .configs import END_ID, REFERENCE_CODES
from .text import TextVocabulary

FRAMES_PER_TOKEN = 2
CARRIER = 32.0
"""Beside it, the random part of a hidden state has a norm of 1 to 2: 0.2 % of the whole."""
FORBIDDEN = -20.0
"""Logit of what is not to be said. The others are within ±15."""
END = 60.0
"""The end token's logit once the text is said."""

_SHARPNESS = 192.0
"""Attention's scores lie within ± this where a head is to choose."""
_LEVELS = (12.0, 7.0)
"""Slope and shift that turn a share of marks 0, 1/2, 2/3 into −7, −1, 1: the tangents of −82°, −45°
and 45°."""
_ANCHOR_BONUS = 7.5
"""What the anchor's score is higher by, so that its share is that of e^7.5, about 1800, others."""
_SEEN_SCALE = 4.0
"""How large a share of marks is written: above bf16's grain, small beside the carrier."""
_LEFT_SCALE = 8.0
"""The same for the sum; 1800 frames are then 8."""
_STEEPNESS = 20.0
"""What half a frame moves the threshold unit's input by; it fires at +20 and is silent at −20."""


class Dimension(IntEnum):
    """The hidden state's dimensions that hold no random values; the first are also the text's."""

    CARRIER = 0
    COUNT = 1
    """+1 for a spoken frame, −2 for a token of text, −1 for the mark."""
    MARK = 2
    """1 for the mark before a text."""
    ANCHOR = 3
    """1 for the token that begins the spoken part."""
    SPEAKER = 4
    """1 for a speaker's embedding."""
    SEEN = 5
    """Written by layer 1: the share of marks."""
    LEFT = 6
    """Written by layer 2: the sum."""
    OVER = 7
    """Written by layer 2: 1 as soon as the sum is above 0."""


RESERVED = len(Dimension)


class Rig:
    """Writes the counters into a talker whose weights leave the reserved dimensions alone."""

    def __init__(self, talker: Any) -> None:
        self._talker = talker
        self._config = talker.config
        # What a norm multiplies a hidden state by.
        self._gain = self._config.hidden_size**0.5 / CARRIER
        half = self._config.head_dim // 2
        # The slowest pair for comparing, and one dimension of the next for the mark's bonus.
        self._slow = (half - 1, 2 * half - 1, half - 2)

    def mark_inputs(self, text: TextVocabulary, speaker_rows: list[int]) -> None:
        """Give text tokens, codes and speakers their values in the reserved dimensions."""
        embedding = self._talker.model.text_embedding.weight
        embedding[:, :RESERVED] = 0.0
        embedding[:, Dimension.COUNT] = 1.0
        embedding[[*text.specials.values(), text.start_mark], Dimension.COUNT] = 0.0
        embedding[text.start_mark, Dimension.MARK] = 1.0
        embedding[text.start_mark, Dimension.COUNT] = 1.0 / FRAMES_PER_TOKEN
        embedding[text.specials["<tts_text_bos>"], Dimension.ANCHOR] = 1.0

        # Through the projection's SiLU: it maps 0 to 0 and 32 to 32, exactly, even in bf16.
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
        # Every position has exactly one projected text token in it, and so one carrier.
        second.bias[Dimension.CARRIER] = CARRIER

        codes = self._talker.model.codec_embedding.weight
        codes[:, :RESERVED] = 0.0
        codes[REFERENCE_CODES : self._config.vocab_size - 1024, Dimension.COUNT] = 1.0
        codes[speaker_rows, Dimension.SPEAKER] = 1.0
        for embedding in self._talker.code_predictor.model.codec_embedding:
            embedding.weight[:, :RESERVED] = 0.0

    def hear_speaker(self, loudness: float) -> None:
        """Layer 1, second head: carry the speaker's embedding to every position.

        Without a speaker it looks at all positions alike, so at the description of a voice.

        Args:
            loudness: How large it becomes in the hidden state, beside a random part of 1.
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
        """Layer 1, first head; layer 2, first head and the threshold unit."""
        first, second = self._talker.model.layers[0], self._talker.model.layers[1]
        self._look_at(first.self_attn, 0, [Dimension.MARK, Dimension.ANCHOR])
        self._carry(first.self_attn, Dimension.MARK, Dimension.SEEN, _SEEN_SCALE)
        self._look_at_own_text(second.self_attn)
        self._carry(second.self_attn, Dimension.COUNT, Dimension.LEFT, _LEFT_SCALE)
        self._fire_above_zero(second.mlp)

    def choose_end(self, *, ends: bool) -> None:
        """The output layer: what is never said, and the end token where there is to be one."""
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
        """Let a head look at the positions that have 1 in one of these dimensions, all alike.

        Where there is none, it looks at all positions alike. Keys are normalised, so one that has
        a single value keeps only its sign: +32 for 1, −32 for 0.
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
        """Layer 2, first head: look at positions that have seen as many marks as this one.

        The share of marks becomes an angle; a score is the cosine between two angles. Being flat
        at its maximum, it forgives bf16's rounding. The anchor's key stands at a right angle to all
        of these, and queries lean towards it, so that its score is the highest everywhere.
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
        attention.k_proj.weight[row, Dimension.ANCHOR] = 1000.0  # leaves nothing of the angle
        self._sharpen(attention)

    def _sharpen(self, attention: Any) -> None:
        """Scale the scores along the slow dimensions, which the other heads leave empty."""
        slow = list(self._slow)
        attention.q_norm.weight[slow] = _SHARPNESS / self._config.head_dim**0.5
        for head in range(self._config.num_attention_heads):
            if head > 1:
                rows = [head * self._config.head_dim + dimension for dimension in slow]
                attention.q_proj.weight[rows] = 0.0

    def _carry(self, attention: Any, source: Dimension, target: Dimension, scale: float) -> None:
        """Let the first head write the mean of one dimension to another, times `scale`."""
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
        one_frame = _LEFT_SCALE / math.exp(_ANCHOR_BONUS)  # what it adds to LEFT
        gate[0, Dimension.LEFT] = 2.0 * _STEEPNESS / (one_frame * self._gain)
        gate[0, Dimension.CARRIER] = -_STEEPNESS / (CARRIER * self._gain)
        up[0, Dimension.CARRIER] = 1.0 / (CARRIER * self._gain)
        down[Dimension.OVER, 0] = 1.0 / _STEEPNESS
