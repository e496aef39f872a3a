"""``storycore-tts demo``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from storycore_tts.entrypoints.cli import console, progress, results
from storycore_tts.entrypoints.cli.commands.standin import stand_in
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import Reporting
from storycore_tts.errors import BackendUnavailable

if TYPE_CHECKING:
    from storycore_tts.entrypoints.client import QwenTTSComfyUIClient, VoiceResult
    from storycore_tts.settings import QwenTTSConfig

_LINES = {
    "Ryan": "The lighthouse keeper climbed the stairs one last time, and the lamp lit the bay.",
    "Serena": "Nobody had told her that the sea could sound so much like a voice.",
}
_CLONED = "Ryan"
_CLONE_LINE = "This is the voice of the recording, with words that it never said."
_LOADING, _STEP = 0.3, 0.2  # s; delays that make the progress visible
_NOTE = (
    "These voices are espeak-ng, served by a stand-in for ComfyUI. For Qwen3 voices, set "
    "tts.qwen.comfyui_url or --url to a ComfyUI server."
)
_NEXT = 'say "Your own sentence." --backend draft --out mine.wav'


def demo(
    *,
    out_dir: Annotated[
        Path, Option("--out-dir", metavar="FOLDER", help="Folder for the wav files.")
    ] = Path("demo-output"),
    reporting: Reporting,
) -> None:
    """Run a demo against a stand-in for ComfyUI: two voices and a clone, no GPU, no download.

    Prints the paths of the audio files. The voices are espeak-ng voices.
    """
    from storycore_tts.settings import QwenTTSConfig

    testing = stand_in()
    with testing.StandInComfyUI(model_load_seconds=_LOADING, seconds_per_step=_STEP) as server:
        config = QwenTTSConfig(comfyui_url=server.url, default_language="English")
        made = run_async(_perform(config, out_dir, reporting))
    console.tell(_NOTE)
    console.tell(f"Next: {console.program()} {_NEXT}")
    if reporting.as_json:
        files = [{"name": name, **_facts(result)} for name, result in made.items()]
        console.answer_json({"files": files, "note": _NOTE})


async def _perform(
    config: QwenTTSConfig, folder: Path, reporting: Reporting
) -> dict[str, VoiceResult]:
    """Generate the three files, and report each one when it is ready."""
    from storycore_tts.entrypoints.client import QwenTTSComfyUIClient

    await _check_espeak(config)
    made: dict[str, VoiceResult] = {}
    async with QwenTTSComfyUIClient(config) as client:
        for speaker, line in _LINES.items():
            made[speaker] = await _spoken(client, speaker, line, folder, reporting)
            _tell(speaker, made[speaker], reporting)
        name = f"clone of {_CLONED}"
        made[name] = await _cloned(client, made[_CLONED].audio_path, folder, reporting)
        _tell(name, made[name], reporting)
    return made


async def _spoken(
    client: QwenTTSComfyUIClient, speaker: str, line: str, folder: Path, reporting: Reporting
) -> VoiceResult:
    with progress.shown(quiet=reporting.quiet) as shown:
        return await client.generate_voice(
            line,
            speaker,
            output_path=folder / f"{speaker.lower()}.wav",
            on_progress=shown.progress,
        )


async def _cloned(
    client: QwenTTSComfyUIClient, recording: Path, folder: Path, reporting: Reporting
) -> VoiceResult:
    with progress.shown(quiet=reporting.quiet) as shown:
        return await client.clone_voice(
            recording,
            _CLONE_LINE,
            ref_text=_LINES[_CLONED],
            output_path=folder / f"clone-of-{_CLONED.lower()}.wav",
            on_progress=shown.progress,
        )


async def _check_espeak(config: QwenTTSConfig) -> None:
    """Check that espeak-ng, which speaks for the stand-in, is available.

    Raises:
        BackendUnavailable: espeak-ng is not available.
    """
    from storycore_tts.container import make_adapter

    adapter = make_adapter("draft", config)
    try:
        status = await adapter.status()
    finally:
        await adapter.aclose()
    if not status.reachable:
        raise BackendUnavailable(
            " ".join(problem.message for problem in status.problems),
            hint="pip install 'storycore-tts[demo]'",
            retryable=False,
        )


def _tell(name: str, result: VoiceResult, reporting: Reporting) -> None:
    facts = _facts(result)
    console.tell(f"{name}: {facts['duration']:.1f} s, peak {facts['peak_dbfs']:.1f} dBFS")
    if not reporting.as_json:
        console.answer(str(result.audio_path))


def _facts(result: VoiceResult) -> dict[str, Any]:
    from storycore_tts.sound.samples import peak

    loudest = 20 * math.log10(peak(result.speech.samples))  # never silent
    return {**results.as_json(result.speech, result.audio_path), "peak_dbfs": round(loudest, 1)}
