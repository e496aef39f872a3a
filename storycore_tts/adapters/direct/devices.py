"""Chooses device, precision and attention for a model."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from storycore_tts.adapters.direct.failures import BACKEND
from storycore_tts.errors import BackendUnavailable
from storycore_tts.settings import QwenTTSModelConfig

_NOT_FOUND = "torch does not find such a device"


@dataclass(frozen=True)
class Placement:
    """Device, precision and attention of a model.

    Args:
        device: torch's name: "cuda:1", "mps" or "cpu".
        title: Name for display.
        dtype: Attribute of torch: "bfloat16" or "float32".
        attention: transformers' name.
        warnings: Configured values that are not available.
    """

    device: str
    title: str
    dtype: str
    attention: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gpu:
    """A CUDA device.

    Args:
        name: Product name.
        bf16: Whether it supports bfloat16 natively; T4 and V100 only emulate it.
        flash: Whether it supports flash attention (Ampere or later).
    """

    name: str
    bf16: bool = False
    flash: bool = False


@dataclass(frozen=True)
class Hardware:
    """The hardware of this machine.

    Args:
        gpus: CUDA devices, in torch's order.
        mps: Whether there is an Apple GPU.
        flash_attention: Whether the package flash_attn is installed.
    """

    gpus: tuple[Gpu, ...] = ()
    mps: bool = False
    flash_attention: bool = False

    @classmethod
    def here(cls) -> Hardware:
        """Detect the hardware; imports torch.

        Raises:
            ImportError: torch is not installed.
        """
        import torch

        return cls.of(torch)

    @classmethod
    def of(cls, torch: Any) -> Hardware:
        """Detect the hardware with a given torch module."""
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return cls(
            gpus=tuple(_gpu(torch.cuda, number) for number in range(count)),
            mps=bool(torch.backends.mps.is_available()),
            flash_attention=count > 0 and find_spec("flash_attn") is not None,
        )


def _gpu(cuda: Any, number: int) -> Gpu:
    ampere = cuda.get_device_capability(number) >= (8, 0)
    with cuda.device(number):
        bf16 = bool(cuda.is_bf16_supported(including_emulation=False))
    return Gpu(str(cuda.get_device_name(number)), bf16=ampere and bf16, flash=ampere)


def place(config: QwenTTSModelConfig, hardware: Hardware) -> Placement:
    """Choose the placement of a model, as close to the settings as the hardware allows.

    Raises:
        BackendUnavailable: The configured device does not exist on this machine or is not
            supported.
    """
    kind, _, number = config.device.partition(":")
    if kind == "auto":
        kind = "cuda" if hardware.gpus else "mps" if hardware.mps else "cpu"
    if kind == "cuda":
        gpu = _numbered(hardware.gpus, int(number or 0))
        device, title = f"cuda:{number or 0}", gpu.name
    else:
        gpu, device, title = None, kind, kind
        if kind == "xpu" or (kind == "mps" and not hardware.mps):
            runs = "the direct backend supports cuda, mps and cpu only"
            raise _no_device(f"{kind!r}, but {runs if kind == 'xpu' else _NOT_FOUND}")
    warnings = []
    dtype = "bfloat16" if config.precision == "bf16" else "float32"
    if dtype == "bfloat16" and not (gpu and gpu.bf16):
        dtype = "float32"
        warnings.append(f"{title} uses fp32 instead of bf16, which needs twice the memory")
    can_flash = hardware.flash_attention and dtype == "bfloat16" and bool(gpu and gpu.flash)
    attention, change = _attention(config.attention, can_flash=can_flash)
    warnings += [change] if change else []
    return Placement(device, title, dtype, attention, tuple(warnings))


def _numbered(gpus: tuple[Gpu, ...], number: int) -> Gpu:
    if number < len(gpus):
        return gpus[number]
    if not gpus:
        raise _no_device(f"'cuda', but {_NOT_FOUND}")
    there = ", ".join(f"cuda:{index} ({gpu.name})" for index, gpu in enumerate(gpus))
    raise _no_device(f"'cuda:{number}', but there is only {there}")


def _no_device(problem: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"tts.qwen.device is {problem}.",
        hint="Set tts.qwen.device to auto or cpu, or install a build of torch for your GPU.",
        backend=BACKEND,
        retryable=False,
    )


def _attention(wanted: str, *, can_flash: bool) -> tuple[str, str]:
    """Return transformers' name of an attention, and a warning if it is not the configured one."""
    if wanted == "auto":
        return ("flash_attention_2" if can_flash else "sdpa"), ""
    if wanted == "flash_attn" and can_flash:
        return "flash_attention_2", ""
    if wanted in ("flash_attn", "sage_attn"):
        needs = "requires an Ampere GPU or later, bf16 and the package flash_attn"
        why = "is supported by ComfyUI only" if wanted == "sage_attn" else needs
        return "sdpa", f"attention sdpa was used instead: {wanted} {why}"
    return wanted, ""
