"""A training in a process of its own, to be killed: ``child.py request.json models stop``.

``stop`` is "step 6", where it says so and waits for its end, or "writing epoch 2", where the
kernel ends it when a file of that epoch's grows beyond 64 KiB.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path

from storycore_tts.domain.progress import Progress
from storycore_tts.domain.requests import TrainingRequest
from storycore_tts.testing.tiny_models import TinyModels


def main(request: str, models: str, stop: str) -> None:
    import torch

    torch.set_num_threads(1)
    from storycore_tts.adapters.direct.training import train

    def listen(progress: Progress) -> None:
        if stop == f"step {progress.step}":
            sys.stdout.write("waiting\n")
            sys.stdout.flush()
            sys.stdin.read()
        if stop == progress.message.replace("saving", "writing"):
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it; now it kills
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))

    train(
        TrainingRequest(**json.loads(Path(request).read_text())),
        base_model=TinyModels(Path(models)).path("base"),
        tokenizer=None,
        device="cpu",
        dtype=torch.float32,
        on_progress=listen,
        cancelled=lambda: False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
