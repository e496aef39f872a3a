"""The protocol of ComfyUI and the node pack, without I/O.

No module here imports asyncio or an HTTP library: functions map values to values, and the state
machine in ``job`` receives the time as an argument.
"""

from __future__ import annotations

BACKEND = "comfyui"
"""Name of this adapter in errors and results."""
