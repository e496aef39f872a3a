"""The stand-in as a command: `python -m storycore_tts.testing.comfyui`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path

from .core import Core
from .faults import Faults
from .log import StandInLog
from .options import Options
from .serving import listening
from .storage import Storage


def run(argv: Sequence[str] | None = None) -> int:
    """Parse arguments, serve until SIGINT or SIGTERM, and return the exit status."""
    return serve(parse(argv))


def serve(options: Options) -> int:
    """Serve until SIGINT or SIGTERM. The first line on stdout contains the URL."""
    log = StandInLog(options.log_file)
    storage = Storage(options.data_dir, in_memory=options.instant)
    storage.forget_temp()
    try:
        asyncio.run(_serve(options, log, storage))
    finally:
        storage.close()
        log.close()
    return 0


async def _serve(options: Options, log: StandInLog, storage: Storage) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            # Not supported on Windows, where Ctrl-C ends the process anyway.
            loop.add_signal_handler(number, stop.set)
    core = Core(options, log, Faults(log), storage)
    async with listening(core, options.port) as port:
        print(  # noqa: T201 - the parent process reads the URL from stdout
            f"listening on http://{options.host}:{port}{options.prefix}", flush=True
        )
        await stop.wait()


def parse(argv: Sequence[str] | None = None) -> Options:
    """Return the options for command-line arguments."""
    given = _parser().parse_args(argv)
    return Options(
        host=given.host,
        port=given.port,
        version=given.version,
        modern=given.modern,
        instant=given.instant,
        seconds_per_step=given.seconds_per_step,
        real_time_factor=given.real_time_factor,
        model_load_seconds=given.model_load_seconds,
        node_pack=not given.no_node_pack,
        pack=given.pack,
        models=_words(given.models),
        other_nodes=_words(given.other_nodes),
        checkpoints=dict(given.checkpoint),
        server_paths=dict(given.server_path),
        token=given.token,
        path_prefix=given.path_prefix,
        data_dir=given.data_dir,
        has_cuda=not given.no_cuda,
        other_device=given.other_device,
        max_upload_size=given.max_upload_size,
        history_limit=given.history_limit,
        log_file=given.log,
    )


def _parser() -> argparse.ArgumentParser:
    usual = Options()
    parser = argparse.ArgumentParser(
        prog="python -m storycore_tts.testing.comfyui",
        description="A stand-in for ComfyUI with the Qwen-TTS nodes, with espeak-ng voices.",
    )
    add = parser.add_argument
    add("--host", default=usual.host, help="address to listen on (%(default)s)")
    add("--port", type=int, default=0, help="port; 0: any free port (%(default)s)")
    add("--version", help="ComfyUI version to report")
    add("--modern", action="store_true", help="behave as ComfyUI 0.36 instead of 0.3.64")
    add("--instant", action="store_true", help="a fixed tone instead of speech, no files")
    add("--seconds-per-step", type=float, default=0.0, metavar="S", help="slow generation down")
    add("--real-time-factor", type=float, default=0.0, metavar="F", help="work per s of speech, s")
    add("--model-load-seconds", type=float, default=0.0, metavar="S", help="slow loading down")
    add("--no-node-pack", action="store_true", help="as if the Qwen-TTS nodes were not installed")
    add("--pack", choices=("1.0.6", "1.0.7", "next"), default=usual.pack, help="node pack version")
    add("--models", default=",".join(usual.models), metavar="NAME[,NAME]", help="installed models")
    add("--other-nodes", default="", metavar="CLASS[,CLASS]", help="nodes of other packs")
    add(
        "--checkpoint", type=_checkpoint, action="append", default=[],
        metavar="PATH=SPEAKER[,SPEAKER]", help="a fine-tuned checkpoint; may be repeated",
    )  # fmt: skip
    add(
        "--server-path", type=_server_path, action="append", default=[],
        metavar="PATH=FOLDER", help="a local folder for a path on the server; may be repeated",
    )  # fmt: skip
    add("--token", help="require this bearer token")
    add("--path-prefix", default="", help="serve below this path")
    add("--data-dir", type=Path, help="folder for input, output and temp (default: temporary)")
    add("--no-cuda", action="store_true", help="as on a machine without an NVIDIA GPU")
    add("--other-device", choices=("cpu", "mps", "xpu"), default="cpu", help="without CUDA")
    add("--max-upload-size", type=int, default=usual.max_upload_size, metavar="BYTES")
    add("--history-limit", type=int, default=usual.history_limit, metavar="ENTRIES")
    add("--log", type=Path, metavar="FILE", help="log file, as JSON lines")
    return parser


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _checkpoint(text: str) -> tuple[str, list[str]]:
    path, equals, speakers = text.rpartition("=")
    if not equals:
        raise argparse.ArgumentTypeError("expected PATH=SPEAKER[,SPEAKER]")
    return path, [name for name in speakers.split(",") if name]


def _server_path(text: str) -> tuple[str, Path]:
    path, equals, folder = text.rpartition("=")
    if not equals or not path:
        raise argparse.ArgumentTypeError("expected PATH=FOLDER")
    return path, Path(folder)
