"""How a stand-in server is set up."""

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
    """Everything that can be set; the defaults are a ComfyUI 0.3.64 on this machine."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: a free one, kept over restarts."""
    version: str | None = None
    """What /system_stats says; None: 0.3.64, or 0.36.0 when `modern`."""
    modern: bool = False
    """Behave as ComfyUI of 2026 does: UUID prompt ids, /api/jobs, throttled progress."""
    instant: bool = False
    """No speech synthesis and no files: a one-second tone from memory, about 1 ms a job."""
    seconds_per_step: float = 0.0
    """Seconds that a generation takes, or each step of a training, beyond the real work."""
    real_time_factor: float = 0.0
    """Extra seconds that a generation takes for each second that is spoken."""
    model_load_seconds: float = 0.0
    """Seconds that loading a model takes."""
    node_pack: bool = True
    """Whether the Qwen-TTS nodes are installed."""
    pack: str = "1.0.6"
    """Version of the Qwen-TTS nodes: "1.0.6"; "1.0.7", with device xpu; or "next", whose clones
    take instruct."""
    other_nodes: Sequence[str] = ()
    """Classes of other packs that the server has too; they take nothing and do nothing."""
    models: Sequence[str] = MODELS
    """Folders of models below models/qwen-tts. The server has no internet: loading any other model
    fails after `model_load_seconds`."""
    checkpoints: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Server paths of fine-tuned checkpoints and their speakers; no speakers: a base model."""
    server_paths: Mapping[str, Path] = field(default_factory=dict)
    """Folders that the server knows under another path: "/data/voices" -> where they really lie."""
    token: str | None = None
    """If set, every request needs `Authorization: Bearer <token>`, else it gets 401."""
    path_prefix: str = ""
    """As behind a reverse proxy: "/comfy" serves everything below /comfy."""
    data_dir: Path | None = None
    """Where input, output and temp lie; None: a temporary folder."""
    has_cuda: bool = True
    """Without it device "cuda" and training raise, as on a CPU build of torch."""
    other_device: str = "cpu"
    """What it computes on without CUDA: "cpu", "mps" or "xpu"."""
    max_upload_size: int = 104_857_600
    """Bytes; larger requests get 413."""
    history_limit: int = 10_000
    """Entries; the oldest are forgotten."""
    log_file: Path | None = None
    """Write the log there too, as JSON lines, flushed."""

    @property
    def comfyui_version(self) -> str:
        """The version that the server reports."""
        return self.version or (MODERN_VERSION if self.modern else OLD_VERSION)

    @property
    def prefix(self) -> str:
        """The path prefix as "/comfy", or ""."""
        trimmed = self.path_prefix.strip("/")
        return f"/{trimmed}" if trimmed else ""

    def on_disk(self, path: str) -> Path:
        """Where a path of the server's really lies."""
        for known, real in self.server_paths.items():
            if path == known or path.startswith((f"{known}/", f"{known}\\")):
                return real.joinpath(*path[len(known) + 1 :].replace("\\", "/").split("/"))
        return Path(path)
