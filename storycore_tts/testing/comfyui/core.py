"""The state of a server from start to stop or crash: queue, history, sockets and worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checkpoints import Checkpoints
from .executor import Executor
from .faults import Faults
from .installation import ServerLog
from .log import ModelLoaded, StandInLog
from .object_info import NodeCatalogue
from .options import Options
from .prompt_jobs import History, JobQueue
from .sockets import Sockets
from .storage import Storage

GIB = 1024**3


class Core:
    """The state that a restart resets, unlike the log, the faults and the files."""

    def __init__(self, options: Options, log: StandInLog, faults: Faults, storage: Storage) -> None:
        self.options = options
        self.log = log
        self.faults = faults
        self.storage = storage
        self.checkpoints = Checkpoints(options.checkpoints, options.on_disk)
        self.catalogue = NodeCatalogue(faults, options)
        self.printed = ServerLog()
        self.history = History(options.history_limit)
        self.queue = JobQueue(log, faults)
        self.sockets = Sockets(log, faults, self.queue_info, self.features)
        self.queue.changed = self.sockets.send_status
        self.executor = Executor(self, log, self.queue, self.history, self.sockets, self.catalogue)

    def stock_speakers(self) -> list[str]:
        """Return the speakers of the stock model, in lower case."""
        node = self.catalogue.nodes()["FB_Qwen3TTSCustomVoice"]
        return [name.lower() for name in node["input"]["required"]["speaker"][0]]

    def broadcast(self, event: str, data: Mapping[str, Any]) -> None:
        """Send a frame to all clients."""
        self.sockets.send(event, data)

    def model_loaded(self, name: str) -> None:
        """Log that a model was loaded."""
        self.log.add(ModelLoaded(model=name))

    def queue_info(self) -> dict[str, Any]:
        """Return the number of jobs."""
        return {"exec_info": {"queue_remaining": self.queue.remaining}}

    def features(self) -> dict[str, Any]:
        """Return the content of /features and the feature_flags frame."""
        limit = self.options.max_upload_size
        return {"supports_preview_metadata": True, "max_upload_size": limit}

    def system_stats(self) -> dict[str, Any]:
        """Return the content of /system_stats."""
        kind = "cuda" if self.options.has_cuda else self.options.other_device
        name = "cuda:0 NVIDIA Stand-in : cudaMallocAsync" if self.options.has_cuda else kind
        memory = {
            "vram_total": 24 * GIB,
            "vram_free": 22 * GIB,
            "torch_vram_total": 24 * GIB,
            "torch_vram_free": 22 * GIB,
        }
        return {
            "system": {
                "os": "posix",
                "ram_total": 24 * GIB,
                "ram_free": 22 * GIB,
                "comfyui_version": self.options.comfyui_version,
                "required_frontend_version": "1.27.10",
                "installed_templates_version": None,
                "required_templates_version": "0.1.95",
                "python_version": "3.11.7 (main)",
                "pytorch_version": "2.13.0+cu130" if self.options.has_cuda else "2.13.0+cpu",
                "embedded_python": False,
                "argv": ["main.py"],
            },
            "devices": [
                {
                    "name": name,
                    "type": kind,
                    "index": 0 if kind in ("cuda", "xpu") else None,
                    **memory,
                }
            ],
        }
