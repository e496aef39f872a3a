"""The inputs that a node accepts, read from the server's ``/object_info``.

The nodes differ between versions of the pack, and ComfyUI has changed how it declares types. So
values are validated against the connected server, never against a fixed list.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.messages import first, mapping
from storycore_tts.errors import (
    GenerationFailed,
    InvalidRequest,
    NodePackMissing,
    UnsupportedLanguage,
    did_you_mean,
)

NODE_PACK = "ComfyUI-Qwen-TTS"
# One node of each other pack for the same model.
OTHER_PACKS = {
    "Qwen3TTSEngineNode": "TTS-Audio-Suite",
    "Qwen3Loader": "ComfyUI-Qwen3-TTS (by DarioFT)",
    "AILab_Qwen3TTSCustomVoice": "ComfyUI-QwenTTS (by 1038lab)",
}


@dataclass(frozen=True)
class InputSpec:
    """One input of a node.

    Args:
        name: Name of the input in the graph.
        required: Whether the server rejects a graph without it.
        choices: Allowed values of an input with a fixed list; None for all other types.
        low: Minimum of a number.
        high: Maximum of a number.
        default: Default value; None if there is none.
    """

    name: str
    required: bool
    choices: tuple[str, ...] | None
    low: float
    high: float
    default: Any

    @classmethod
    def read(cls, name: str, declared: Any, *, required: bool) -> InputSpec:
        """Parse a declaration: ``[type or list of choices, options]``."""
        kind = first(declared)
        options = mapping(declared[1] if isinstance(declared, list) and len(declared) > 1 else {})
        # Since 2026, choices may be declared as ["COMBO", {"options": [...]}].
        listed = kind if isinstance(kind, list) else options.get("options")
        choices = tuple(str(choice) for choice in listed) if isinstance(listed, list) else None
        return cls(
            name=name,
            required=required,
            choices=choices,
            low=_number(options.get("min"), -math.inf),
            high=_number(options.get("max"), math.inf),
            default=options.get("default", choices[0] if choices else None),
        )


@dataclass(frozen=True)
class NodeSpec:
    """The inputs of a node class on one server."""

    class_type: str
    module: str
    inputs: Mapping[str, InputSpec]

    @classmethod
    def read(cls, class_type: str, info: Mapping[str, Any]) -> NodeSpec:
        """Parse a class's entry in ``/object_info``."""
        sections = mapping(info.get("input"))
        inputs = {
            name: InputSpec.read(name, declaration, required=section == "required")
            for section in ("required", "optional")
            for name, declaration in mapping(sections.get(section)).items()
        }
        return cls(class_type, str(info.get("python_module") or ""), inputs)

    def choices(self, name: str) -> tuple[str, ...]:
        """Return the allowed values of an input; () if any value is allowed."""
        spec = self.inputs.get(name)
        return spec.choices or () if spec else ()

    def fit(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Adapt inputs to this node: its spelling of choices, its limits and its extra inputs.

        Required inputs that are missing from ``values`` get the server's default. Inputs that the
        node does not have are omitted.

        Raises:
            InvalidRequest: The node does not accept a value.
            UnsupportedLanguage: The node does not support the language.
            GenerationFailed: The node requires an unknown input that has no default.
        """
        fitted = {n: self._checked(n, v) for n, v in values.items() if n in self.inputs}
        for name, spec in self.inputs.items():
            if spec.required and name not in fitted:
                if spec.default is None:
                    raise GenerationFailed(
                        f"The node {self.class_type} on this server needs an input {name!r} that "
                        "this version of storycore-tts does not know.",
                        hint="Update storycore-tts, or go back to the node pack 1.0.6.",
                        node_type=self.class_type,
                        backend=BACKEND,
                    )
                fitted[name] = spec.default
        return fitted

    def _checked(self, name: str, value: Any) -> Any:
        spec = self.inputs[name]
        if spec.choices and isinstance(value, str):
            return self._choice(spec, value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and not spec.low <= value <= spec.high:
            raise InvalidRequest(
                f"{name} is {value}; the node {self.class_type} takes {spec.low:g} to "
                f"{spec.high:g}.",
                backend=BACKEND,
            )
        return value

    def _choice(self, spec: InputSpec, value: str) -> str:
        choices = spec.choices or ()
        for choice in choices:  # ComfyUI's comparison is case-sensitive
            if choice.casefold() == value.casefold():
                return choice
        kind = UnsupportedLanguage if spec.name == "language" else InvalidRequest
        raise kind(
            f"{spec.name} {value!r} is not known to the node {self.class_type}."
            f"{did_you_mean(value, choices)}",
            hint=f"It takes: {', '.join(choices)}.",
            backend=BACKEND,
        )


def missing_node_error(class_type: str, other_packs: Sequence[str]) -> NodePackMissing:
    """Return the error for a missing node; it names similar packs that the server does have."""
    others = f" It has {', '.join(other_packs)}, which have different nodes." if other_packs else ""
    return NodePackMissing(
        f"The ComfyUI server has no node {class_type}.{others}",
        hint=f"Install the node pack {NODE_PACK} (by flybirdxx) there, with ComfyUI-Manager or "
        "into custom_nodes/, and restart ComfyUI; its log tells why a pack did not load.",
        backend=BACKEND,
    )


def _number(value: Any, otherwise: float) -> float:
    return value if isinstance(value, int | float) else otherwise
