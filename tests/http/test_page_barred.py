"""The page before a service that is away, lacks a backend, wants a key, or has a prefix."""

import hashlib
import socket

import pytest
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.routing import Mount

from storycore_tts.entrypoints.http.app import create_app
from storycore_tts.entrypoints.http.service import lifespan_of
from storycore_tts.testing.comfyui import StandInComfyUI

from .browser import LINE, alert, heard, speak, visiting
from .serving import config, listening, serving

pytestmark = pytest.mark.once

KEY = "sesame"


def test_a_key_is_asked_for_used_everywhere_and_forgotten(browser, tmp_path):
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    with (
        serving(config(tmp_path, server={"api_keys": {"me": digest}})) as url,
        visiting(browser, url, refusals=[401]) as page,
    ):
        dialog = page.get_by_role("dialog", name="API key")
        dialog.get_by_role("button", name="Cancel").click()
        expect(alert(page)).to_contain_text("Unauthorized")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(dialog).to_be_hidden()  # until there is something to do
        speak(page)
        dialog.get_by_label("Key").fill("wrong")
        dialog.get_by_label("Key").press("Enter")
        expect(dialog).to_contain_text("rejected the API key")
        dialog.get_by_label("Key").fill(KEY)
        dialog.get_by_role("button", name="Use this key").click()
        expect(page.get_by_role("radio").first).to_be_attached()
        heard(page, speak(page))
        assert page.evaluate("JSON.stringify([localStorage, document.cookie])") == '[{},""]'

        page.reload()
        expect(page.get_by_role("listitem").filter(has_text=LINE).first).to_be_visible()
        page.get_by_role("button", name="Forget key").click()
        expect(dialog).to_be_visible()
        assert page.evaluate("sessionStorage.length") == 0
        expect(page.get_by_role("listitem").filter(has_text=LINE)).to_have_count(0)


def test_a_service_that_goes_away_is_said_once_and_found_again(browser, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = config(tmp_path, server={"port": port})
    with serving(settings) as url:
        visitor = visiting(browser, url, refusals=[0])
        page = visitor.__enter__()
        expect(page.get_by_role("radio").first).to_be_attached()
    speak(page)
    expect(alert(page)).to_contain_text("The service is not responding")
    with serving(settings):
        # Nobody has to reload it; a tab that comes to the front asks at once.
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        heard(page, speak(page))
        expect(alert(page)).to_be_empty()
        visitor.__exit__(None, None, None)


def test_a_backend_that_is_down_is_shown_with_what_to_do_until_it_comes_back(browser, tmp_path):
    comfyui = StandInComfyUI()
    comfyui.start()
    comfyui.stop()  # its port is kept
    settings = config(tmp_path, comfyui_url=comfyui.url, server={"backends": ["comfyui"]})
    with serving(settings) as url, visiting(browser, url, refusals=[503]) as page:
        backends = page.get_by_role("list", name="Backends")
        expect(backends).to_contain_text("comfyui unreachable")
        troubles = page.get_by_role("region", name="Backend problems")
        expect(troubles).to_contain_text("Start ComfyUI")
        page.get_by_label("Backend", exact=True).select_option("comfyui")
        expect(page.get_by_text("The voices could not be loaded.")).to_be_visible()
        page.get_by_label("Backend", exact=True).select_option("draft")
        heard(page, speak(page))
        page.get_by_label("Backend", exact=True).select_option("comfyui")
        expect(page.get_by_text("The voices could not be loaded.")).to_be_visible()
        with comfyui:
            page.evaluate(  # not every ten seconds
                "setInterval(() => document.dispatchEvent(new Event('visibilitychange')), 500)"
            )
            expect(backends).to_contain_text("comfyui ready")
            expect(page.get_by_role("radio").first).to_be_attached()
            expect(troubles).to_be_hidden()


def test_it_works_below_a_prefix_and_offers_only_what_the_backend_can_do(browser, tmp_path):
    settings, prefix = config(tmp_path), "/studio/voices"
    app = Starlette(routes=[Mount(prefix, create_app(settings))], lifespan=lifespan_of(settings))
    with listening(app) as url, visiting(browser, f"{url}{prefix}/") as page:
        heard(page, speak(page))
        expect(page.get_by_text("Clone a recording")).to_be_hidden()  # draft clones nothing
