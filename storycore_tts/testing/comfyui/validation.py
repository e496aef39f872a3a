"""Validation of graphs in POST /prompt.

The order of the checks and the messages are those of ComfyUI, since clients parse them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .object_info import NodeInfo

Errors = list[dict[str, Any]]
Graph = dict[str, Any]

LONGEST_LIST = 20
"""Longer lists of allowed values are omitted from errors."""


@dataclass
class Verdict:
    """Valid outputs; an error if there are none; errors of nodes in either case."""

    outputs: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    node_errors: dict[str, Any] = field(default_factory=dict)


def problem(kind: str, message: str, details: str = "", **extra: Any) -> dict[str, Any]:
    """Return an error object in ComfyUI's format."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


class Validator:
    """Validates a graph, and converts its values in place, as ComfyUI does."""

    def __init__(
        self,
        graph: Graph,
        nodes: Mapping[str, NodeInfo],
        *,
        file_exists: Callable[[str], bool],
        modern: bool = False,
    ) -> None:
        self._graph = graph
        self._nodes = nodes
        self._file_exists = file_exists
        self._modern = modern
        self._checked: dict[str, tuple[bool, Errors]] = {}

    def verdict(self) -> Verdict:
        """Validate the whole graph."""
        for node_id, node in self._graph.items():
            if error := self._unknown(node_id, node):
                return Verdict(error=error)
        outputs = [i for i, node in self._graph.items() if self._info(node)["output_node"]]
        if not outputs:
            return Verdict(error=problem("prompt_no_outputs", "Prompt has no outputs"))
        verdict = Verdict()
        complaints: list[str] = []
        for output in outputs:
            valid, errors = self._check_output(output)
            if valid:
                verdict.outputs.append(output)
                continue
            complaints += [f"{error['message']}: {error['details']}" for error in errors]
            self._collect(verdict.node_errors, output)
        if not verdict.outputs:
            verdict.error = problem(
                "prompt_outputs_failed_validation",
                "Prompt outputs failed validation",
                "\n".join(complaints),
            )
        return verdict

    def _info(self, node: Mapping[str, Any]) -> NodeInfo:
        return self._nodes[node["class_type"]]

    def _unknown(self, node_id: str, node: Mapping[str, Any]) -> dict[str, Any] | None:
        where = f"Node ID '#{node_id}'"
        name = node.get("class_type")
        if name is None:
            message = "Cannot execute because a node is missing the class_type property."
            kind = "missing_node_type" if self._modern else "invalid_prompt"
        elif name not in self._nodes:
            if not self._modern:
                message = f"Cannot execute because node {name} does not exist."
                return problem("invalid_prompt", message, where)
            kind = "missing_node_type"
            message = f"Node '{name}' not found. The custom node may not be installed."
        else:
            return None
        if not self._modern:
            return problem(kind, message, where)
        title = node.get("_meta", {}).get("title", name)
        return problem(kind, message, where, node_id=node_id, class_type=name, node_title=title)

    def _check_output(self, node_id: str) -> tuple[bool, Errors]:
        try:
            return self._check(node_id)
        except (KeyError, IndexError, TypeError) as exc:
            errors = [
                problem(
                    "exception_during_validation", "Exception when validating node", _words(exc),
                    exception_type=type(exc).__name__, traceback=[],
                )
            ]  # fmt: skip
            self._checked[node_id] = (False, errors)
            return False, errors

    def _collect(self, node_errors: dict[str, Any], output: str) -> None:
        # Nodes downstream of an invalid one are invalid, too, but have no own errors.
        for node_id, (valid, errors) in self._checked.items():
            if valid or not errors:
                continue
            entry = node_errors.setdefault(
                node_id,
                {
                    "errors": errors,
                    "dependent_outputs": [],
                    "class_type": self._graph[node_id]["class_type"],
                },
            )
            entry["dependent_outputs"].append(output)

    def _check(self, node_id: str) -> tuple[bool, Errors]:
        if node_id in self._checked:
            return self._checked[node_id]
        node = self._graph[node_id]
        info = self._info(node)
        inputs = node["inputs"]
        errors: Errors = []
        valid = True
        for group in ("required", "optional"):
            for name, spec in info["input"].get(group, {}).items():
                if name not in inputs:
                    if group == "required":
                        errors.append(_missing(name))
                elif isinstance(inputs[name], list):
                    valid &= self._check_link(name, spec, inputs[name], errors)
                elif error := self._check_value(node["class_type"], name, spec, inputs):
                    errors.append(error)
        result = (valid and not errors, errors)
        self._checked[node_id] = result
        return result

    def _check_link(self, name: str, spec: list[Any], link: list[Any], errors: Errors) -> bool:
        config = _config(spec)
        if len(link) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            errors.append(
                problem(
                    "bad_linked_input", message, name,
                    input_name=name, input_config=config, received_value=link,
                )
            )  # fmt: skip
            return True
        source, slot = link
        received = _slot(self._info(self._graph[source])["output"], slot)
        if not _fits(received, spec[0]):
            details = f"{name}, received_type({received}) mismatch input_type({spec[0]})"
            errors.append(
                problem(
                    "return_type_mismatch", "Return type mismatch between linked nodes", details,
                    input_name=name, input_config=config, received_type=received, linked_node=link,
                )
            )  # fmt: skip
            return True
        try:
            return self._check(source)[0]
        except (KeyError, IndexError, TypeError) as exc:
            inner = problem(
                "exception_during_inner_validation", "Exception when validating inner node",
                _words(exc), input_name=name, input_config=config, exception_message=_words(exc),
                exception_type=type(exc).__name__, traceback=[], linked_node=link,
            )  # fmt: skip
            self._checked[source] = (False, [inner])
            return False

    def _check_value(
        self, class_type: str, name: str, spec: list[Any], inputs: dict[str, Any]
    ) -> dict[str, Any] | None:
        kind, config = spec[0], _config(spec)
        try:
            value = inputs[name] = _converted(kind, inputs[name])
        except (TypeError, ValueError) as exc:
            return problem(
                "invalid_input_type", f"Failed to convert an input value to a {kind} value",
                f"{name}, {inputs[name]}, {exc}",
                input_name=name, input_config=config, received_value=inputs[name],
                exception_message=str(exc),
            )  # fmt: skip
        if class_type == "LoadAudio" and name == "audio":
            # This node validates its file itself; the list of choices is ignored.
            return None if self._file_exists(value) else _invalid_file(name, value)
        received = {"input_name": name, "input_config": config, "received_value": value}
        if "min" in config[1] and value < config[1]["min"]:
            message = f"Value {value} smaller than min of {config[1]['min']}"
            return problem("value_smaller_than_min", message, name, **received)
        if "max" in config[1] and value > config[1]["max"]:
            message = f"Value {value} bigger than max of {config[1]['max']}"
            return problem("value_bigger_than_max", message, name, **received)
        if isinstance(kind, list) and value not in kind:
            allowed = str(kind)
            if len(kind) > LONGEST_LIST:
                allowed, received["input_config"] = f"(list of length {len(kind)})", None
            details = f"{name}: '{value}' not in {allowed}"
            return problem("value_not_in_list", "Value not in list", details, **received)
        return None


def _missing(name: str) -> dict[str, Any]:
    return problem("required_input_missing", "Required input is missing", name, input_name=name)


def _invalid_file(name: str, value: str) -> dict[str, Any]:
    details = f"{name} - Invalid audio file: {value}"
    message = "Custom validation failed for node"
    return problem("custom_validation_failed", message, details, input_name=name)


def _config(spec: list[Any]) -> list[Any]:
    return [spec[0], spec[1] if len(spec) > 1 else {}]


def _words(exc: Exception) -> str:
    return str(exc)


def _slot(outputs: list[str], slot: int) -> str:
    try:
        return outputs[slot]
    except IndexError:
        # In ComfyUI the return types are a tuple, and the message is sent to the client.
        raise IndexError("tuple index out of range") from None


def _fits(received: str, wanted: str | list[str]) -> bool:
    if isinstance(wanted, list):
        return received == "COMBO"
    return "*" in (received, wanted) or received in wanted.split(",")


def _converted(kind: object, value: Any) -> Any:
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    match kind:
        case "INT":
            return int(value)
        case "FLOAT":
            return float(value)
        case "STRING":
            return str(value)
        case "BOOLEAN":
            return bool(value)
    return value
