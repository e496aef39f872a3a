import pytest

from storycore_tts import BackendUnavailable, QwenTTSConfig
from storycore_tts.adapters.direct.devices import Hardware, place

GPU = Hardware(cuda="NVIDIA H200", cuda_bf16=True, flash_attention=True)
OLD_GPU = Hardware(cuda="NVIDIA T4")
APPLE = Hardware(mps=True)
NOTHING = Hardware()


def placed(hardware, **settings):
    return place(QwenTTSConfig(**{"device": "auto", **settings}), hardware)


@pytest.mark.parametrize(
    ("hardware", "device"), [(GPU, "cuda:0"), (APPLE, "mps"), (NOTHING, "cpu")]
)
def test_auto_takes_the_best_there_is(hardware, device):
    assert placed(hardware).device == device


@pytest.mark.parametrize(("device", "hardware"), [("cuda", APPLE), ("mps", GPU), ("xpu", NOTHING)])
def test_a_device_that_is_not_there_is_refused(device, hardware):
    with pytest.raises(BackendUnavailable, match="device: auto"):
        placed(hardware, device=device)


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
