"""pytest plugin with fixtures for a stand-in ComfyUI and a faulty network.

pytest imports this module in every run, so heavy imports are deferred to the fixtures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .comfyui import StandInComfyUI
    from .proxy import FaultyProxy


@pytest.fixture
def standin_comfyui_factory() -> Iterator[Callable[..., StandInComfyUI]]:
    """Starts stand-ins: `standin_comfyui_factory(modern=True)`; stopped after the test."""
    from .comfyui import StandInComfyUI

    servers: list[StandInComfyUI] = []

    def make(**settings: Any) -> StandInComfyUI:
        server = StandInComfyUI(**settings)
        server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def standin_comfyui(
    standin_comfyui_factory: Callable[..., StandInComfyUI],
) -> StandInComfyUI:
    """A running stand-in ComfyUI with default options, new for each test."""
    return standin_comfyui_factory()


@pytest.fixture
def faulty_proxy_factory() -> Iterator[Callable[[str], FaultyProxy]]:
    """Starts proxies: `faulty_proxy_factory(standin_comfyui.url)`; stopped after the test.

    The argument is the URL of the server behind the proxy.
    """
    from .proxy import FaultyProxy

    with ExitStack() as stack:
        yield lambda upstream: stack.enter_context(FaultyProxy(upstream))
