from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from storycore_tts import BackendUnavailable, QwenTTSConfig
from storycore_tts.adapters.direct.devices import Gpu, Hardware, place

H200 = Gpu("NVIDIA H200", bf16=True, flash=True)
GPU = Hardware((H200,), flash_attention=True)
OLD_GPU = Hardware((Gpu("NVIDIA T4"),), flash_attention=True)
APPLE = Hardware(mps=True)
NOTHING = Hardware()


def placed(hardware, **settings):
    return place(QwenTTSConfig(**{"device": "auto", **settings}), hardware)


@pytest.mark.parametrize(
    ("hardware", "device"), [(GPU, "cuda:0"), (APPLE, "mps"), (NOTHING, "cpu")]
)
def test_auto_takes_the_best_there_is(hardware, device):
    assert placed(hardware).device == device


@pytest.mark.parametrize(
    ("device", "hardware", "told"),
    [
        ("cuda", APPLE, "torch does not find such a device"),
        ("mps", GPU, "torch does not find such a device"),
        ("cuda:1", GPU, r"there is only cuda:0 \(NVIDIA H200\)"),
        ("xpu", GPU, "supports cuda, mps and cpu"),
    ],
)
def test_a_device_that_is_not_there_is_refused(device, hardware, told):
    with pytest.raises(BackendUnavailable, match=f"{told}.*tts.qwen.device to auto"):
        placed(hardware, device=device)


def test_a_gpu_is_chosen_by_its_number():
    both = Hardware((Gpu("NVIDIA T4"), H200), flash_attention=True)
    assert (placed(both).title, placed(both, device="cuda").device) == ("NVIDIA T4", "cuda:0")
    second = placed(both, device="cuda:1")
    assert (second.device, second.title, second.dtype) == ("cuda:1", "NVIDIA H200", "bfloat16")


def machine(*gpus):
    """A torch on a machine with these GPUs: name, capability, bf16 in hardware."""
    return SimpleNamespace(
        cuda=SimpleNamespace(
            is_available=lambda: bool(gpus),
            device_count=lambda: len(gpus),
            get_device_name=lambda number: gpus[number][0],
            get_device_capability=lambda number: gpus[number][1],
            device=lambda number: nullcontext(),
            is_bf16_supported=lambda including_emulation: including_emulation or gpus[0][2],
        ),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False)),
    )


@pytest.mark.parametrize(
    ("gpu", "bf16"),
    [
        (("NVIDIA V100", (7, 0), False), False),
        (("NVIDIA T4", (7, 5), False), False),
        (("a T4 that claims it", (7, 5), True), False),
        (("NVIDIA A100", (8, 0), True), True),
        (("NVIDIA H200", (9, 0), True), True),
    ],
)
def test_emulated_bf16_is_none(gpu, bf16):
    assert Hardware.of(machine(gpu)).gpus == (Gpu(gpu[0], bf16=bf16, flash=bf16),)


def test_a_machine_without_a_gpu():
    assert Hardware.of(machine()) == Hardware()


def test_what_the_hardware_has_is_taken_without_a_word():
    placement = placed(GPU)
    assert (placement.dtype, placement.attention) == ("bfloat16", "flash_attention_2")
    assert placement.title == "NVIDIA H200"
    assert placement.warnings == ()
    assert placed(NOTHING, precision="fp32").warnings == ()


@pytest.mark.parametrize("hardware", [OLD_GPU, APPLE, NOTHING])
def test_what_cannot_be_had_is_replaced_and_told(hardware):
    placement = placed(hardware, precision="bf16", attention="flash_attn")
    assert (placement.dtype, placement.attention) == ("float32", "sdpa")
    precision, attention = sorted(placement.warnings, key=lambda text: "flash_attn" in text)
    assert "fp32" in precision
    assert "flash_attn" in attention
    assert "sage_attn" in placed(hardware, attention="sage_attn", precision="fp32").warnings[0]


def test_plain_attention_is_taken_as_it_is():
    assert placed(GPU, attention="eager").attention == "eager"
