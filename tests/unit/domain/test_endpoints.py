"""Where a job goes on: the same URL is not the same server on every machine."""

from __future__ import annotations

import platform

from storycore_tts.domain.endpoints import BackendEndpoint, is_loopback


def test_a_loopback_address_is_of_one_machine_and_any_other_one_of_all():
    for url in ("http://127.0.0.1:8188", "http://127.1.2.3", "http://[::1]:8", "https://LOCALHOST"):
        assert BackendEndpoint.at(url) == BackendEndpoint(url, platform.node())
        assert BackendEndpoint.at(url).in_reach
        assert not BackendEndpoint(url, "another machine").in_reach
    for url in ("http://gpu.example:8188", "http://10.0.0.7", "http://[fd00::1]:8188", "http://"):
        assert BackendEndpoint.at(url) == BackendEndpoint(url)
        assert BackendEndpoint.at(url).in_reach
    assert not is_loopback("127.0.0.1.example")
    assert not is_loopback("")
