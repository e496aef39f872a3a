"""Options of a stand-in server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

OLD_VERSION = "0.3.64"
MODERN_VERSION = "0.36.0"
MODELS = (
    "Qwen3-TTS-12Hz-0.6B-Base",
    "Qwen3-TTS-12Hz-0.6B-CustomVoice",
    "Qwen3-TTS-12Hz-1.7B-Base",
    "Qwen3-TTS-12Hz-1.7B-CustomVoice",
    "Qwen3-TTS-12Hz-1.7B-VoiceDesign",
    "Qwen3-TTS-Tokenizer-12Hz",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """All options; the defaults are those of ComfyUI 0.3.64 on this machine."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any free port, kept across restarts."""
    version: str | None = None
    """Version in /system_stats; None: 0.3.64, or 0.36.0 if `modern`."""
    modern: bool = False
    """Behave like ComfyUI of 2026: UUID prompt ids, /api/jobs, throttled progress."""
    instant: bool = False
    """No speech synthesis and no files: a one-second tone from memory, about 1 ms per job."""
    seconds_per_step: float = 0.0
    """Extra seconds for each generation and each step of a training."""
    real_time_factor: float = 0.0
    """Extra seconds of generation per second of speech."""
    model_load_seconds: float = 0.0
    """Seconds for loading a model."""
    node_pack: bool = True
    """Whether the Qwen-TTS nodes are installed."""
    pack: str = "1.0.6"
    """Version of the Qwen-TTS nodes: "1.0.6"; "1.0.7", with device xpu; or "next", whose clone node
    supports instruct."""
    other_nodes: Sequence[str] = ()
    """Additional node classes of other packs, without inputs or effects."""
    models: Sequence[str] = MODELS
    """Model folders below models/qwen-tts. The server has no network access: loading any other
    model fails after `model_load_seconds`."""
    checkpoints: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Server paths of fine-tuned checkpoints and their speakers; no speakers: a base model."""
    server_paths: Mapping[str, Path] = field(default_factory=dict)
    """Path on the server, such as "/data/voices" -> local folder."""
    token: str | None = None
    """If set, requests without `Authorization: Bearer <token>` get 401."""
    path_prefix: str = ""
    """Path prefix, as behind a reverse proxy, such as "/comfy"."""
    data_dir: Path | None = None
    """Folder for input, output and temp; None: a temporary folder."""
    has_cuda: bool = True
    """If False, device "cuda" and training fail, as with a CPU build of torch."""
    other_device: str = "cpu"
    """Device without CUDA: "cpu", "mps" or "xpu"."""
    max_upload_size: int = 104_857_600
    """Bytes; larger requests get 413."""
    history_limit: int = 10_000
    """Maximum number of history entries; the oldest are dropped."""
    log_file: Path | None = None
    """File to which the log is also written, as JSON lines."""

    @property
    def comfyui_version(self) -> str:
        """The version that the server reports."""
        return self.version or (MODERN_VERSION if self.modern else OLD_VERSION)

    @property
    def prefix(self) -> str:
        """The normalized path prefix, such as "/comfy", or ""."""
        trimmed = self.path_prefix.strip("/")
        return f"/{trimmed}" if trimmed else ""

    def on_disk(self, path: str) -> Path:
        """Return the local path for a path on the server."""
        for known, real in self.server_paths.items():
            if path == known or path.startswith((f"{known}/", f"{known}\\")):
                return real.joinpath(*path[len(known) + 1 :].replace("\\", "/").split("/"))
        return Path(path)
