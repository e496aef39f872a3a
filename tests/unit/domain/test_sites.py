"""Where a job goes on: the same URL is not the same server on every machine."""

from __future__ import annotations

import platform

import pytest

from storycore_tts.domain.sites import Site, is_loopback


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8188", "http://127.1.2.3", "http://[::1]:8188", "https://LOCALHOST/x"]
)
def test_a_loopback_address_is_of_one_machine(url):
    assert Site.at(url) == Site(url, platform.node())
    assert Site.at(url).in_reach
    assert not Site(url, "another machine").in_reach


@pytest.mark.parametrize(
    "url", ["http://gpu-one.example:8188", "http://10.0.0.7", "http://[fd00::1]:8188", "http://"]
)
def test_any_other_one_is_of_all(url):
    assert Site.at(url) == Site(url)
    assert Site.at(url).in_reach


def test_only_a_whole_address_is_loopback():
    assert not is_loopback("127.0.0.1.example")
    assert not is_loopback("")
