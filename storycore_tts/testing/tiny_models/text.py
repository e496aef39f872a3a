"""The text tokenizer: a small byte-level BPE that marks the start of each text.

The files are `tokenizer.json` and `tokenizer_config.json`, which the processor's fast tokenizer
reads. (The real checkpoints have `vocab.json` and `merges.txt`, which cannot represent the mark.)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIALS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<tts_pad>",
    "<tts_text_bos>",
    "<tts_text_eod>",
)
ROLES = ("assistant", "user")
"""Each must be one token; otherwise the package would cut its prompts in the wrong places."""
START_MARK = "\ue000"
"""Inserted before all assistant text, so that the talker can distinguish the text from a
reference's transcript, which the package joins without a separator. A private-use character."""

# Letter pairs that become one token, in order of frequency in English. With them, a token is about
# two letters long, so two frames per token give a natural 10 to 15 letters per second.
PAIRS = """
th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me
de hi ri ro ic ne ea ra ce li ch ll be ma si om ur ca el ta la ns di fo ho pe ec pr no ct us ac ot
il tr ly nc et ut ss so rs un lo wa ge ie wh ee wi em ad ol rt po we na ul ni ts mo ow pa im mi ai
sh ir su id os iv ia am fi ci vi pl ig tu ev ld ry mp fe bl ab gh ty op wo sa ay ex ke fr oo av ag
"""
LEAD_BYTES = (0xC3, 0xD0, 0xD1, *range(0xE3, 0xEE))
"""First bytes of accented Latin, Cyrillic, Japanese, Chinese and Korean: each joins the next byte,
so a two-byte letter is one token and a three-byte letter is two."""
# Like Qwen2's: words with their leading space, single digits, punctuation, line ends.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class TextVocabulary:
    """The tokenizer's data that the talker needs.

    Args:
        size: Number of tokens.
        specials: Ids of `SPECIALS`.
        start_mark: Id of `START_MARK`.
    """

    size: int
    specials: dict[str, int]
    start_mark: int


def write_text_tokenizer(folder: Path) -> TextVocabulary:
    """Write the tokenizer's files into `folder` and check how it cuts the package's prompts."""
    vocabulary, merges = _vocabulary()
    tokenizer = _tokenizer(vocabulary, merges)
    specials = {name: tokenizer.token_to_id(name) for name in SPECIALS}
    text = TextVocabulary(
        size=tokenizer.get_vocab_size(),
        specials=specials,
        start_mark=vocabulary[_as_byte_letters(START_MARK.encode())],
    )
    _check(tokenizer.encode("<|im_start|>assistant\n").ids, 3)
    _check(tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n").ids, 5)
    _check(tokenizer.encode("<|im_start|>assistant\nA").ids, 3 + 2)

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    content = json.dumps(_config(specials), indent=1)
    (folder / "tokenizer_config.json").write_text(content, encoding="utf-8")
    return text


def _tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
    from tokenizers import pre_tokenizers as pre

    tokenizer = Tokenizer(
        # ignore_merges: words in the vocabulary (the roles and the mark) become one token without a
        # chain of merges.
        models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            # A normalizer sees the text between two special tokens. The role is followed by text in
            # the text and transcript parts, but not in the last part, the generation prompt. An
            # instruction's role is "user".
            normalizers.Replace(Regex(r"\Aassistant\n(?=[\s\S])"), f"assistant\n{START_MARK}"),
        ]
    )
    tokenizer.pre_tokenizer = pre.Sequence(
        [
            pre.Split(START_MARK, "isolated"),
            pre.Split(Regex(WORDS), "isolated"),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in SPECIALS])
    return tokenizer


def _config(specials: dict[str, int]) -> dict[str, Any]:
    return {
        "tokenizer_class": _tokenizer_class(),
        "processor_class": "Qwen3TTSProcessor",
        "added_tokens_decoder": {
            str(token_id): {
                "content": name,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": True,
            }
            for name, token_id in specials.items()
        },
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131_072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "unk_token": None,
    }


def _tokenizer_class() -> str:
    """Return the class that reads tokenizer.json unchanged; the processor expects the first one.

    transformers 5 splits the texts of a Qwen2Tokenizer differently.
    """
    import transformers

    old = transformers.__version__.startswith("4.")
    return "Qwen2Tokenizer" if old else "PreTrainedTokenizerFast"


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return the tokens' ids, and the merges in order of priority."""
    space = _as_byte_letters(b" ")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    merges = [(pair[0], pair[1]) for pair in PAIRS.split()]
    merges += [(space, letter) for letter in letters + [letter.upper() for letter in letters]]
    merges += [
        (_as_byte_letters(bytes([lead])), _as_byte_letters(bytes([second])))
        for lead in LEAD_BYTES
        for second in range(0x80, 0xC0)
    ]
    tokens = chain(
        (_as_byte_letters(bytes([value])) for value in range(256)),
        (first + second for first, second in merges),
        (_as_byte_letters(word.encode()) for word in (*ROLES, START_MARK)),
    )
    unique = dict.fromkeys(tokens)
    return {token: token_id for token_id, token in enumerate(unique)}, merges


def _as_byte_letters(data: bytes) -> str:
    """Map bytes to byte-level BPE's alphabet: printable ones stay, others move to U+0100 and up."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [value for value in range(256) if value not in visible]
    return "".join(
        chr(value) if value in visible else chr(0x100 + hidden.index(value)) for value in data
    )


def _check(ids: list[int], expected: int) -> None:
    if len(ids) != expected:
        raise AssertionError(f"the tokenizer makes {len(ids)} tokens, not {expected}")
