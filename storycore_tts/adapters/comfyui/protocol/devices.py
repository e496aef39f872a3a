"""The device that a node is sent: the one that was asked for, if the server has it."""

from __future__ import annotations

from collections.abc import Sequence


def device_to_send(
    wanted: str, *, offered: Sequence[str], there: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """Return the device for the node, and what to warn of.

    A server that has no such device would fail every job; with "auto" the node takes what it has.

    Args:
        wanted: As it is configured, such as "cuda" or "cuda:1".
        offered: What the node takes; () for anything.
        there: What the server has, such as "cpu"; () where it does not tell.
    """
    kind = wanted.partition(":")[0]
    device = wanted if wanted in offered else kind
    if kind not in ("auto", "cpu", *there) and there and "auto" in offered:
        has = ", ".join(sorted(set(there)))
        return "auto", (
            f"the ComfyUI server has no {kind}, only {has}: it was sent device auto instead of "
            f"{wanted}",
        )
    if device != wanted:
        return device, (
            f"the ComfyUI node takes no device number: it was sent {device} instead of {wanted}; "
            "ComfyUI's own --cuda-device chooses the GPU",
        )
    return device, ()
