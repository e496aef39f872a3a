"""``storycore-tts standin``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from storycore_tts.errors import BackendUnavailable, InvalidRequest

if TYPE_CHECKING:
    from types import ModuleType


def standin(
    port: Annotated[
        int, Option("--port", metavar="N", min=0, max=65535, help="TCP port; 0 chooses a free one.")
    ] = 0,
    host: Annotated[
        str,
        Option(
            "--host", metavar="ADDRESS", help="Address to listen on; there is no access control."
        ),
    ] = "127.0.0.1",
    modern: Annotated[
        bool, Option("--modern", help="Behave like ComfyUI 0.36 instead of 0.3.64.")
    ] = False,
    instant: Annotated[
        bool, Option("--instant", help="Return a fixed tone instead of speech; no files.")
    ] = False,
    seconds_per_step: Annotated[
        float, Option("--seconds-per-step", metavar="SECONDS", min=0, help="Slow generation down.")
    ] = 0.0,
    model_load_seconds: Annotated[
        float, Option("--model-load-seconds", metavar="SECONDS", min=0, help="Slow loading down.")
    ] = 0.0,
    no_node_pack: Annotated[
        bool, Option("--no-node-pack", help="Behave as if the Qwen-TTS nodes were not installed.")
    ] = False,
    no_cuda: Annotated[
        bool, Option("--no-cuda", help="Behave like a machine without a GPU.")
    ] = False,
    checkpoint: Annotated[
        list[str] | None,
        Option(
            "--checkpoint",
            metavar="PATH=SPEAKER[,SPEAKER]",
            help="A fine-tuned checkpoint; may be repeated.",
        ),
    ] = None,
    token: Annotated[
        str | None, Option("--token", metavar="TOKEN", help="Require this bearer token.")
    ] = None,
    path_prefix: Annotated[
        str, Option("--path-prefix", metavar="PATH", help="Serve below this path.")
    ] = "",
    data_dir: Annotated[
        Path | None,
        Option(
            "--data-dir", metavar="FOLDER", help="Folder for its files.  [default: a temporary one]"
        ),
    ] = None,
    log: Annotated[
        Path | None, Option("--log", metavar="FILE", help="Write a log of events, as JSON lines.")
    ] = None,
    debug: Annotated[bool, Option("--debug", help="Show the traceback of an error.")] = False,
) -> int:
    """Serve a stand-in for ComfyUI with the Qwen-TTS nodes, until interrupted.

    It uses espeak-ng and needs no GPU. The first line on stdout is its address.
    """
    testing = stand_in()
    options = testing.Options(
        host=host,
        port=port,
        modern=modern,
        instant=instant,
        seconds_per_step=seconds_per_step,
        model_load_seconds=model_load_seconds,
        node_pack=not no_node_pack,
        has_cuda=not no_cuda,
        checkpoints=dict(map(_checkpoint, checkpoint or ())),
        token=token,
        path_prefix=path_prefix,
        data_dir=data_dir,
        log_file=log,
    )
    try:
        return int(testing.serve(options))
    except OSError as error:
        raise InvalidRequest(f"The stand-in cannot start on {host}:{port}: {error}.") from error


def stand_in() -> ModuleType:
    """Import the stand-in.

    Raises:
        BackendUnavailable: A package that it needs is not installed.
    """
    try:
        from storycore_tts.testing import comfyui
    except ImportError as error:
        raise BackendUnavailable(
            f"The stand-in needs a package that is not installed: {error}.",
            hint="pip install 'storycore-tts[demo]'",
            retryable=False,
        ) from error
    return comfyui


def _checkpoint(text: str) -> tuple[str, list[str]]:
    path, equals, speakers = text.rpartition("=")
    if not equals:
        raise InvalidRequest(f"--checkpoint takes PATH=SPEAKER[,SPEAKER], not {text!r}.")
    return path, [name for name in speakers.split(",") if name]
