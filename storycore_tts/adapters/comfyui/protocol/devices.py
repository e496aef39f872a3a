"""Chooses the device that is sent to a node."""

from __future__ import annotations

from collections.abc import Sequence


def device_to_send(
    wanted: str, *, offered: Sequence[str], there: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """Return the device for the node, and warnings.

    Every job would fail if the server lacks the device; with "auto", the node uses what it has.

    Args:
        wanted: The configured device, such as "cuda" or "cuda:1".
        offered: Devices that the node accepts; () for any.
        there: Devices that the server has, such as "cpu"; () if unknown.
    """
    kind = wanted.partition(":")[0]
    device = wanted if wanted in offered else kind
    if kind not in ("auto", "cpu", *there) and there and "auto" in offered:
        has = ", ".join(sorted(set(there)))
        return "auto", (
            f"the ComfyUI server has no {kind}, only {has}: using auto instead of {wanted}",
        )
    if device != wanted:
        return device, (
            f"the ComfyUI node does not support device numbers: using {device} instead of "
            f"{wanted}; choose the GPU with ComfyUI's --cuda-device",
        )
    return device, ()
