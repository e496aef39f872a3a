r"""Random Qwen3-TTS checkpoints of a few megabytes that the real ``qwen_tts`` loads and runs.

They generate noise, but with the real package: the same loading, prompts, sampling and codec. So
tests of the code around the model need neither its weights nor a GPU::

    models = build_tiny_models(folder)
    model = Qwen3TTSModel.from_pretrained(str(models.path("custom_voice")), device_map="cpu")

Building requires ``torch`` and ``storycore-tts[direct]``; importing this package requires neither.

**Identical to the real checkpoints, because the package relies on it:**

* The prompt is cut by position: the package takes the first 3 tokens of a text as the role and
  drops the last 5. So ``<|im_start|>assistant\n`` must be 3 tokens and
  ``<|im_end|>\n<|im_start|>assistant\n`` 5 (`text`).
* The ids of speakers, languages and control tokens, and a talker vocabulary of 3072: generation
  forbids its last 1024 ids but the end token, and fine-tuning writes a new speaker to row 3000.
* Codebook 0 can be any id up to 2047, so the codec decodes 2048 codes per codebook. The codes
  of a recording are fed back into the talker, so the codec's encoder has no more codes than the
  code predictor. 16 codebooks everywhere.
* Rates: 24 kHz, 12.5 frames per second, 1920 samples per frame (`codec`).
* A speaker embedding is one more row of the talker's input, so the speaker encoder's output is
  as wide as the talker (Base only).
* The ComfyUI node's fine-tuning adds text embeddings to codec embeddings without a projection,
  so in the 1.7B kind both are equally wide; in the 0.6B kind, as in the real one, they are not.
* The 0.6B kind calls itself ``0b6``, on which the package drops instructions.

**Not random:** when the talker stops. Random weights never choose the end token and would exhaust
every token budget. Here the audio lasts two frames per token of text, plus two, independent of the
voice, the instruction, the reference and the batch; `rigging` explains how.
"""

from .build import Kind, Size, TinyModels, build_tiny_models

__all__ = ["Kind", "Size", "TinyModels", "build_tiny_models"]
