"""Inputs and outputs of the server's nodes, as returned by GET /object_info."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from .faults import Faults, InputLimits, NodeMissing, NodePackMissing, SpeakerList
from .options import Options

NodeInfo = dict[str, Any]
PACK_PREFIX = "FB_Qwen3TTS"


@lru_cache
def _recorded() -> Mapping[str, NodeInfo]:
    text = files(__package__).joinpath("object_info.json").read_text(encoding="utf-8")
    data: dict[str, NodeInfo] = json.loads(text)
    return data


class NodeCatalogue:
    """The installed nodes, modified by scripted faults."""

    def __init__(self, faults: Faults, options: Options) -> None:
        self._faults = faults
        self._options = options
        self._seen = -1
        self._nodes: dict[str, NodeInfo] = {}

    def nodes(self) -> dict[str, NodeInfo]:
        """Return all nodes by class name. Treat as read-only."""
        if self._seen != self._faults.changes:
            self._seen = self._faults.changes
            self._nodes = self._build()
        return self._nodes

    def with_files(self, names: Sequence[str]) -> dict[str, NodeInfo]:
        """Return all nodes, with these files of the input folder as choices of LoadAudio."""
        nodes = dict(self.nodes())
        if "LoadAudio" in nodes:
            nodes["LoadAudio"] = copy.deepcopy(nodes["LoadAudio"])
            audio = nodes["LoadAudio"]["input"]["required"]["audio"]
            if self._options.modern:
                audio[1]["options"] = list(names)
            else:
                audio[0] = list(names)
        return nodes

    def _build(self) -> dict[str, NodeInfo]:
        nodes = copy.deepcopy(dict(_recorded()))
        missing = {fault.node for fault in self._faults.active(NodeMissing)}
        pack_missing = not self._options.node_pack or self._faults.active(NodePackMissing)
        _update(nodes, self._options.pack)
        nodes |= {name: _foreign(name) for name in self._options.other_nodes}
        if self._options.modern:
            _modernise(nodes)
        for name in list(nodes):
            if name in missing or (pack_missing and name.startswith(PACK_PREFIX)):
                del nodes[name]
        for speakers in self._faults.active(SpeakerList):
            if custom := nodes.get("FB_Qwen3TTSCustomVoice"):
                custom["input"]["required"]["speaker"][0] = list(speakers.speakers)
        for limits in self._faults.active(InputLimits):
            if node := nodes.get(limits.node):
                _limit(node, limits)
        return nodes


def _update(nodes: dict[str, NodeInfo], pack: str) -> None:
    """Change the voice nodes to those of a newer pack."""
    if pack == "1.0.6":
        return
    for name, node in nodes.items():
        required, optional = node["input"].get("required", {}), node["input"].get("optional", {})
        if name.startswith(PACK_PREFIX) and "device" in required:
            required["device"][0].append("xpu")
            if pack == "next":
                optional.pop("config", None)
    if pack == "next":
        words = ["STRING", {"multiline": True, "default": ""}]
        nodes["FB_Qwen3TTSVoiceClone"]["input"]["optional"]["instruct"] = words


def _foreign(name: str) -> NodeInfo:
    return {
        "input": {"required": {}}, "input_order": {"required": []}, "output": [],
        "output_is_list": [], "output_name": [], "name": name, "display_name": name,
        "python_module": f"custom_nodes.{name}", "category": "TTS", "output_node": False,
    }  # fmt: skip


def _modernise(nodes: dict[str, NodeInfo]) -> None:
    """Change all nodes to the format of servers of 2026."""
    for node in nodes.values():
        node |= {"is_input_list": False, "search_aliases": [], "essentials_category": None}
        node.setdefault("description", "")
    audio = nodes["LoadAudio"]["input"]["required"]["audio"]
    options = audio[1] if len(audio) > 1 else {}
    nodes["LoadAudio"]["input"]["required"]["audio"] = ["COMBO", {**options, "options": audio[0]}]


def _limit(node: NodeInfo, limits: InputLimits) -> None:
    for group in node["input"].values():
        if limits.input in group:
            spec = group[limits.input][1]
            if limits.minimum is not None:
                spec["min"] = limits.minimum
            if limits.maximum is not None:
                spec["max"] = limits.maximum
