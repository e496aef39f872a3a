"""A real Chromium, and pages that tell of everything that a page of ours must not do."""

import os
import re
import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

expect.set_options(timeout=20_000)  # ms; busy machines are slow now and then

LINE = "The lighthouse keeper climbed the stairs one last time."

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a beep each second
    "--use-fake-ui-for-media-stream",
    # What Playwright disables, and two pages that each new window loads for its address bar.
    "--disable-features=AimEnabled,AvoidUnnecessaryBeforeUnloadCheckSync,"
    "DestroyProfileOnBrowserClose,HttpsFirstBalancedModeAutoEnable,HttpsUpgrades,LensOverlay,"
    "MediaRouter,NetworkTimeServiceQuerying,OptimizationHints,PaintHolding,PreconnectToSearch,"
    "ThirdPartyStoragePartitioning,WebUIOmniboxAimPopup,WebUIOmniboxPopup",
]
_TELL_OF_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`forbidden by the policy: ${event.violatedDirective} ${event.blockedURI}`));
"""
_OF_THE_BROWSER = "Failed to load resource"  # of an answer that is no success; see `refusals`


@contextmanager
def chromium():
    """Yield a browser without a window; skip where there is none, which a gate must not do."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("The page is tested in Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(browser, url, *, refusals=(), **how):
    """Yield the page at that address, and look afterwards at what it did.

    `refusals` are the statuses of answers that may be no success; 0 is no answer at all.
    """
    # Without animations: drawing sixty pictures a second takes most of a test's processor time.
    context = browser.new_context(**{"reduced_motion": "reduce", **how})
    context.set_default_timeout(20_000)
    context.add_init_script(_TELL_OF_VIOLATIONS)
    page = context.new_page()
    complaints, refused, asked = [], set(), []
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda answer: answer.ok or refused.add(answer.status))
    try:
        page.goto(url)
        yield page
    finally:
        context.close()
    assert [said for said in complaints if _OF_THE_BROWSER not in said] == []
    assert refused <= set(refusals)
    if not refusals:
        assert complaints == []
    ours = urlsplit(url).netloc
    web = [address for address in asked if not address.startswith(("blob:", "data:"))]
    assert {urlsplit(address).netloc for address in web} <= {ours}


def speak(page, text=LINE, *, backend=None):
    """Type a line and have it spoken; returns where it is shown."""
    if backend is not None:
        page.get_by_label("Backend", exact=True).select_option(backend)
        page.wait_for_load_state("networkidle")
    page.get_by_label("Text to speak").fill(text)
    page.get_by_role("button", name="Speak").click()
    return page.get_by_role("group", name="Current line")


def heard(page, place):
    """Wait until a sound is there; returns its player and its file."""
    player = place.locator(".player")
    expect(player.locator("audio")).to_have_attribute("src", re.compile("blob:"))
    with page.expect_download() as download:
        player.get_by_role("link").click()
    return player, download.value


def alert(page):
    return page.locator("#notices")
