"""The device that a node is sent."""

import pytest

from storycore_tts.adapters.comfyui.protocol.devices import device_to_send

OFFERED = ("auto", "cuda", "mps", "cpu")


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ("cuda", ("cuda",)),
        ("cuda", ("cpu", "cuda")),
        ("mps", ("mps",)),
        ("auto", ("cpu",)),
        ("cpu", ("cuda",)),
        ("cuda", ()),  # the server does not tell
    ],
)
def test_what_the_server_has_is_sent_as_it_is(wanted, there):
    assert device_to_send(wanted, offered=OFFERED, there=there) == (wanted, ())


@pytest.mark.parametrize(
    ("wanted", "there"), [("cuda", "cpu"), ("cuda", "mps"), ("mps", "cuda"), ("cuda:1", "cpu")]
)
def test_what_it_has_not_becomes_auto_with_a_warning(wanted, there):
    device, (warning,) = device_to_send(wanted, offered=OFFERED, there=(there,))
    assert device == "auto"
    assert f"has no {wanted.partition(':')[0]}, only {there}" in warning
    assert f"auto instead of {wanted}" in warning


def test_a_number_is_left_out_unless_the_node_takes_it():
    device, (warning,) = device_to_send("cuda:1", offered=OFFERED, there=("cuda",))
    assert device == "cuda"
    assert "cuda instead of cuda:1" in warning
    assert device_to_send("cuda:1", offered=("cuda:1",), there=("cuda",)) == ("cuda:1", ())


def test_a_device_that_only_the_node_lacks_is_left_to_its_refusal():
    assert device_to_send("xpu", offered=OFFERED, there=("xpu",)) == ("xpu", ())
