"""What a model runs on: device, precision, attention as configured, or the nearest there is."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from storycore_tts.adapters.direct.failures import BACKEND
from storycore_tts.domain.errors import BackendUnavailable
from storycore_tts.settings import QwenTTSModelConfig


@dataclass(frozen=True)
class Placement:
    """Where and how a model runs.

    Args:
        device: As torch names it: "cuda:0", "mps" or "cpu".
        title: The same for people.
        dtype: Attribute of torch: "bfloat16" or "float32".
        attention: As transformers names it.
        warnings: What was asked for and is not to be had.
    """

    device: str
    title: str
    dtype: str
    attention: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hardware:
    """What this machine has.

    Args:
        cuda: Name of the first CUDA device; "" without one.
        cuda_bf16: It computes in bfloat16.
        mps: There is an Apple GPU.
        flash_attention: The package flash_attn is installed.
    """

    cuda: str = ""
    cuda_bf16: bool = False
    mps: bool = False
    flash_attention: bool = False

    @classmethod
    def here(cls) -> Hardware:
        """Ask torch; imports it.

        Raises:
            ImportError: There is no torch.
        """
        import torch

        cuda = bool(torch.cuda.is_available())
        return cls(
            cuda=str(torch.cuda.get_device_name(0)) if cuda else "",
            cuda_bf16=cuda and bool(torch.cuda.is_bf16_supported()),
            mps=bool(torch.backends.mps.is_available()),
            flash_attention=cuda and find_spec("flash_attn") is not None,
        )


def place(config: QwenTTSModelConfig, hardware: Hardware) -> Placement:
    """Choose where a model runs, as near to the settings as the hardware allows.

    Raises:
        BackendUnavailable: The settings name a device that this machine does not have.
    """
    kind = config.device
    if kind == "auto":
        kind = "cuda" if hardware.cuda else "mps" if hardware.mps else "cpu"
    if not {"cuda": bool(hardware.cuda), "mps": hardware.mps, "cpu": True}.get(kind, False):
        raise BackendUnavailable(
            f"tts.qwen.device is {kind!r}, and torch finds no such device here.",
            hint="Set tts.qwen.device: auto (or cpu), or install the build of torch for your GPU.",
            backend=BACKEND,
            retryable=False,
        )
    warnings = []
    dtype = "bfloat16" if config.precision == "bf16" else "float32"
    if dtype == "bfloat16" and not (kind == "cuda" and hardware.cuda_bf16):
        dtype = "float32"
        warnings.append(f"{kind} computes in fp32 here, not in bf16: it needs twice the memory")
    attention, change = _attention(config.attention, hardware, on_gpu=kind == "cuda", dtype=dtype)
    warnings += [change] if change else []
    device = "cuda:0" if kind == "cuda" else kind
    title = hardware.cuda if kind == "cuda" else kind
    return Placement(device, title, dtype, attention, tuple(warnings))


def _attention(wanted: str, hardware: Hardware, *, on_gpu: bool, dtype: str) -> tuple[str, str]:
    """Return transformers' name of an attention, and a warning if it is not the one wanted."""
    can_flash = on_gpu and hardware.flash_attention and dtype == "bfloat16"
    if wanted == "auto":
        return ("flash_attention_2" if can_flash else "sdpa"), ""
    if wanted == "flash_attn" and can_flash:
        return "flash_attention_2", ""
    if wanted in ("flash_attn", "sage_attn"):
        why = "is for ComfyUI" if wanted == "sage_attn" else "needs CUDA, bf16 and its package"
        return "sdpa", f"attention is sdpa: {wanted} {why}"
    return wanted, ""
