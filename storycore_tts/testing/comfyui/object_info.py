"""What the server's nodes take and return, as GET /object_info answers it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from .faults import Faults, InputLimits, NodeMissing, NodePackMissing, SpeakerList

NodeInfo = dict[str, Any]
PACK_PREFIX = "FB_Qwen3TTS"


@lru_cache
def _recorded() -> Mapping[str, NodeInfo]:
    text = files(__package__).joinpath("object_info.json").read_text(encoding="utf-8")
    data: dict[str, NodeInfo] = json.loads(text)
    return data


class NodeCatalogue:
    """The nodes that are installed, changed by what the script says about them."""

    def __init__(self, faults: Faults, *, node_pack: bool) -> None:
        self._faults = faults
        self._node_pack = node_pack
        self._seen = -1
        self._nodes: dict[str, NodeInfo] = {}

    def nodes(self) -> dict[str, NodeInfo]:
        """All nodes by class name. Treat as read-only."""
        if self._seen != self._faults.changes:
            self._seen = self._faults.changes
            self._nodes = self._build()
        return self._nodes

    def with_files(self, names: Sequence[str]) -> dict[str, NodeInfo]:
        """All nodes, LoadAudio offering these files of the input folder."""
        nodes = dict(self.nodes())
        if "LoadAudio" in nodes:
            nodes["LoadAudio"] = copy.deepcopy(nodes["LoadAudio"])
            nodes["LoadAudio"]["input"]["required"]["audio"][0] = list(names)
        return nodes

    def _build(self) -> dict[str, NodeInfo]:
        nodes = copy.deepcopy(dict(_recorded()))
        missing = {fault.node for fault in self._faults.active(NodeMissing)}
        pack_missing = not self._node_pack or self._faults.active(NodePackMissing)
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


def _limit(node: NodeInfo, limits: InputLimits) -> None:
    for group in node["input"].values():
        if limits.input in group:
            spec = group[limits.input][1]
            if limits.minimum is not None:
                spec["min"] = limits.minimum
            if limits.maximum is not None:
                spec["max"] = limits.maximum
