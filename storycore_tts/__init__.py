"""Qwen3-TTS voices: through ComfyUI, in this process, or as a draft.

>>> import asyncio
>>> from storycore_tts import QwenTTSConfig, open_tts
>>> async def main() -> float:
...     async with open_tts(QwenTTSConfig(backend="draft")) as tts:
...         speech = await tts.say("Once upon a time.", speaker="Serena")
...         return speech.duration
>>> asyncio.run(main()) > 0.5
True

The public names stand in ``__init__.pyi``; each is loaded when it is first used, so that
``import storycore_tts`` itself loads nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
