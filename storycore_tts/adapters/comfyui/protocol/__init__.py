"""What ComfyUI and the node pack expect and mean, without any I/O.

Nothing below this package imports asyncio or an HTTP library: every rule takes values and returns
values, and the state machine in ``job`` is told what time it is.
"""

from __future__ import annotations

BACKEND = "comfyui"
"""The name that this adapter's errors and results carry."""
