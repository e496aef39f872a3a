"""The page in a real browser, clicked as a person would, over the real service."""

import io
import json
import re
import subprocess
import tarfile
from base64 import b64encode
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import expect

from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.comfyui.faults import out_of_memory

from .browser import LINE, alert, heard, speak, visiting
from .serving import config, serving

pytestmark = pytest.mark.once

DARK = re.compile(r"rgb\((1\d|2\d), ")  # of a background
AXE = "axe-core@4.14.1"


@dataclass(frozen=True)
class Site:
    """A running service, and the ComfyUI behind it."""

    url: str
    comfyui: StandInComfyUI

    def ask(self, path):
        return httpx.get(f"{self.url}/ai/tts/qwen/{path}", timeout=20).raise_for_status().json()

    def spoken(self, text, **how):
        body = {"text": text, **how}
        return httpx.post(f"{self.url}/ai/tts/qwen/generate", json=body, timeout=30)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with StandInComfyUI() as comfyui:
        settings = config(
            tmp_path_factory.mktemp("service"),
            comfyui_url=comfyui.url,
            server={"backends": ["comfyui"], "concurrency": {"comfyui": 1}},
        )
        with serving(settings) as url:
            yield Site(url, comfyui)


@pytest.fixture
def visit(browser, site):
    """Opens the page."""
    yield lambda **how: visiting(browser, site.url, **how)
    site.comfyui.faults.clear()
    site.comfyui.faults.release_all()


@pytest.fixture(scope="module")
def recording(site):
    """Some seconds of speech, and its words."""
    words = "My voice is a gift, and I lend it to this little machine for a while."
    sound = site.spoken(words).content
    return {"name": "me.wav", "mimeType": "audio/wav", "buffer": sound}, words


BYTES = "const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));"


def measured(page, data):
    """Decode a file in the browser."""
    return page.evaluate(
        """async (text) => {
          BYTES
          const sound = await new OfflineAudioContext(1, 1, 24000).decodeAudioData(bytes.buffer);
          const peak = (most, sample) => Math.max(most, Math.abs(sample));
          return [sound.duration, sound.getChannelData(0).reduce(peak, 0)];
        }""".replace("BYTES", BYTES),
        b64encode(data).decode(),
    )


def another(page, text):
    """Have another line spoken; until it is on the stage, the one before is."""
    stage = speak(page, text)
    expect(stage).to_contain_text(text)
    return stage


def plays(player):
    """Wait until it is heard."""
    audio = player.locator("audio")
    player.page.wait_for_function("(audio) => audio.currentTime > 0", arg=audio.element_handle())
    return audio


class TestSpeaking:
    def test_a_line_is_spoken_played_and_downloaded_in_every_format(self, site, visit):
        with visit(accept_downloads=True) as page:
            player, download = heard(page, speak(page))
            job = site.ask("jobs")["jobs"][0]
            duration, peak = measured(page, download.path().read_bytes())
            assert job["text"] == LINE
            assert duration == pytest.approx(job["result"]["duration"], abs=0.01)
            assert peak > 0.1
            audio = plays(player)
            assert audio.evaluate("(audio) => audio.duration") == pytest.approx(duration, abs=0.01)
            assert download.suggested_filename == "The-lighthouse-keeper-climbed-the-stairs.wav"
            for kind in ("flac", "mp3", "opus", "aac", "m4a", "pcm"):
                page.get_by_label("File format").select_option(kind)
                player, download = heard(page, another(page, f"Now as {kind}."))
                assert download.suggested_filename == f"Now-as-{kind}.{kind}"
                plays(player)
                bars = "(canvas) => canvas.toDataURL().length"
                assert player.locator("canvas").evaluate(bars) > 500  # not an empty picture

    def test_what_is_chosen_stays_chosen_and_reaches_the_backend(self, site, visit):
        with visit() as page:
            serena = page.get_by_role("radio", name=re.compile("^Serena"))
            serena.wait_for(state="attached")
            seed = page.get_by_label("Seed")
            page.get_by_text("More settings").click()
            expect(seed).to_be_hidden()  # draft has none
            sample = page.get_by_role("button", name="Listen to a sample of Serena")
            with page.expect_response("**/ai/tts/qwen/generate") as answer:
                sample.click()
            assert answer.value.headers["content-type"] == "audio/wav"
            expect(sample.locator("use")).to_have_attribute("href", "#icon-stop")
            sample.click()
            expect(sample.locator("use")).to_have_attribute("href", "#icon-play")
            page.route("**/ai/tts/qwen/generate", lambda route: route.abort())
            sample.click()  # it is kept
            expect(sample.locator("use")).to_have_attribute("href", "#icon-stop")
            page.unroute("**/ai/tts/qwen/generate")
            expect(page.get_by_role("listitem").filter(has_text="sound like")).to_have_count(0)
            held = []
            page.route("**/ai/tts/qwen/speakers?*", lambda route: held.append(route))
            with page.expect_request("**/ai/tts/qwen/speakers?*"):
                page.get_by_label("Backend", exact=True).select_option("comfyui")
            serena.check(force=True)  # while the voices are listed anew
            before = serena.element_handle()
            held[0].continue_()
            page.wait_for_function("radio => !radio.isConnected", arg=before)
            expect(serena).to_be_checked()

            page.get_by_label("Language").select_option("German")
            page.get_by_label("Instructions").fill("softly")
            seed.fill("1234")
            page.get_by_label("Temperature", exact=True).fill("0.7")
            page.get_by_label(re.compile("Strip markup")).check()
            heard(page, speak(page, "**Guten Abend.**"))

            page.unroute("**/ai/tts/qwen/speakers?*")
            page.reload()
            text = page.get_by_label("Text to speak")
            expect(text).to_have_value("**Guten Abend.**")
            expect(serena).to_be_checked()
            text.fill("Something else.")
            page.get_by_role("radio", name=re.compile("^Ryan")).check(force=True)
            item = page.get_by_role("listitem").filter(has_text="Guten Abend.")
            item.get_by_role("button", name="Use again").click()
            expect(text).to_have_value("**Guten Abend.**")
            expect(serena).to_be_checked()
            expect(seed).to_have_value("1234")
            expect(page.get_by_label("Instructions")).to_have_value("softly")
        job = site.ask("jobs")["jobs"][0]
        result = job["result"]
        assert job["text"] == "Guten Abend."
        assert (result["speaker"], result["language"], result["seed"]) == ("Serena", "German", 1234)

    def test_progress_is_shown_and_a_running_job_is_cancelled(self, site, visit):
        gate = site.comfyui.faults.hold("running")
        with visit() as page:
            expect(page.get_by_text("No jobs running")).to_be_visible()
            held = []
            page.route("**/ai/tts/qwen/generate", lambda route: held.append(route))
            first = speak(page, "This one is not wanted.", backend="comfyui")
            expect(first).to_contain_text("Sending…")
            page.route(
                "**/ai/tts/qwen/status", lambda route: held.append(route)
            )  # nobody is asked how many there are
            held[0].continue_()
            page.unroute("**/ai/tts/qwen/generate")
            expect(first.get_by_role("progressbar")).to_be_visible()
            expect(first).to_have_attribute("aria-busy", "true")
            expect(page.locator("#announcer")).to_have_text(re.compile("Generating|Loading"))
            expect(page.get_by_role("list", name="Backends")).to_contain_text("Jobs: 1 running")
            for route in held[1:]:
                route.continue_()
            page.unroute("**/ai/tts/qwen/status")
            jobs = page.get_by_role("listitem").filter(has_text="This one is not wanted.")
            expect(jobs.locator(".badge", has_text="Running")).to_be_visible()
            second = speak(page, "This one is.")
            expect(second.get_by_text("Waiting, 1 of yours ahead")).to_be_visible()
            jobs.get_by_role("button", name="Cancel").click()
            expect(jobs.get_by_text("Cancelled", exact=True)).to_be_visible()
            gate.release()
            expect(second.locator("audio")).to_have_count(1)
            expect(second.get_by_role("progressbar")).to_be_hidden()
            expect(page.locator("#announcer")).to_have_text("Done")
        states = [job["state"] for job in site.ask("jobs")["jobs"][:2]]
        assert states == ["succeeded", "cancelled"]

    def test_an_older_job_is_found_played_and_deleted_and_its_text_is_no_markup(self, site, visit):
        line = "<img src=x onerror=alert(1)> says <b>hello</b>."
        with visit() as page:
            heard(page, speak(page, line))
            assert page.locator("main img, main b").count() == 0
            item = page.get_by_role("listitem").filter(has_text=line)
            item.get_by_role("button", name=f"Play “{line}”").click()
            expect(item.locator("audio")).to_have_attribute("src", re.compile("blob:"))
            expect(item.get_by_role("button", name="Pause")).to_be_visible()
            shown = page.locator("#jobs > li:visible")
            search = page.get_by_role("searchbox", name="Search the history")
            search.fill("HELLO ryan onerror")
            expect(shown).to_have_count(1)
            search.fill("no such words")
            expect(page.get_by_text("Nothing matches your search.")).to_be_visible()
            expect(shown).to_have_count(0)
            search.fill("")
            item.get_by_role("button", name="Delete").click()
            expect(item).to_have_count(0)
            expect(page.get_by_label("Current line")).to_be_hidden()
        assert line not in [job["text"] for job in site.ask("jobs")["jobs"]]


class TestInspecting:
    def test_a_file_of_the_service_says_so_and_one_that_was_changed_is_a_warning(
        self, visit, recording
    ):
        pytest.importorskip("c2pa")
        with visit() as page:
            verdict = page.locator("#verdict")
            inspect(page, recording[0])
            expect(verdict).to_contain_text("me.wav: This file says that it is synthetic, and")
            expect(page.locator("#findings")).to_contain_text("intact")
            sound = bytearray(recording[0]["buffer"])
            sound[len(sound) // 2] ^= 1
            inspect(page, {**recording[0], "buffer": bytes(sound)})
            expect(verdict).to_contain_text("WARNING")
            expect(verdict).to_have_attribute("data-verdict", "broken")

    def test_what_is_no_sound_file_is_refused(self, browser, site):
        with visiting(browser, site.url, refusals=(415,)) as page:
            letter = {"name": "a.wav", "mimeType": "text/plain", "buffer": b"Dear Ann"}
            inspect(page, letter)
            expect(alert(page)).to_contain_text("not a sound file")
            expect(page.locator("#verdict")).to_be_empty()


def inspect(page, file):
    """Choose a file to inspect."""
    with page.expect_response("**/ai/tts/qwen/inspect"):
        page.get_by_label("Sound file to inspect").set_input_files(file)


class TestCloning:
    def test_a_file_is_cloned(self, site, visit, recording):
        file, words = recording
        aac = site.spoken(LINE, format="aac").content
        with visit() as page:
            page.get_by_role("tab", name="Clone a recording").click()
            page.get_by_role("button", name="Use comfyui").click()
            choose(page, "notes.txt", b"no sound at all")
            expect(alert(page)).to_contain_text("notes.txt is not a supported audio file")
            page.locator("#drop").dispatch_event("drop", {"dataTransfer": dragged(page, file)})
            expect(page.get_by_text(re.compile(r"dropped\.wav: \d\.\d s\. A good"))).to_be_visible()
            page.get_by_label("Transcript", exact=True).fill(words)
            speak(page)
            expect(alert(page)).to_contain_text("Consent missing")
            page.get_by_label(re.compile("has agreed")).check()
            heard(page, speak(page))
            heard(page, another(page, "Once more, with the same recording."))

            choose(page, "phone.aac", aac)  # only the browser reads it, and sends it as wav
            expect(page.get_by_text(re.compile("phone.aac: "))).to_be_visible()
            page.get_by_label(re.compile("No transcript")).check()
            page.get_by_label(re.compile("has agreed")).check()
            heard(page, another(page, "And with another one."))
        kinds = [(job["kind"], job["state"]) for job in site.ask("jobs")["jobs"][:3]]
        assert kinds == [("clone", "succeeded")] * 3

    def test_a_voice_is_recorded_kept_used_and_deleted(self, site, visit):
        with visit(permissions=["microphone"]) as page:
            page.get_by_role("tab", name="Clone a recording").click()
            page.get_by_role("button", name="Record", exact=True).click()
            elapsed = page.locator("#elapsed").element_handle()
            page.wait_for_function("(shown) => parseFloat(shown.value) >= 3.2", arg=elapsed)
            page.get_by_role("button", name="Stop").click()
            expect(page.get_by_text("A good length")).to_be_visible()
            position = page.get_by_role("slider", name="Position in Your recording.wav")
            expect(position).to_be_visible()
            page.get_by_label(re.compile("No transcript")).check()
            page.get_by_label(re.compile("has agreed")).check()
            page.get_by_text("Save this voice").click()
            page.get_by_label("Name", exact=True).fill("Old Mia")
            page.get_by_role("button", name="Save voice").click()
            expect(alert(page)).to_contain_text("Consent missing")
            page.get_by_label("Who agreed, and when").fill("A machine that beeps, just now")
            page.get_by_role("button", name="Save voice").click()

            page.get_by_label("Backend", exact=True).select_option("comfyui")
            voice = page.get_by_role("radio", name=re.compile("^Old Mia"))
            expect(voice).to_be_enabled()
            voice.check(force=True)
            expect(page.locator("#instruct")).to_be_disabled()
            heard(page, speak(page))
            assert site.ask("jobs")["jobs"][0]["kind"] == "clone"

            page.get_by_role("button", name="Delete the voice Old Mia").click()
            page.get_by_role("dialog").get_by_role("button", name="Delete").click()
            expect(voice).to_have_count(0)
        names = [voice["name"] for voice in site.ask("speakers")["speakers"]]
        assert "Old Mia" not in names


class TestErrors:
    def test_what_is_wrong_is_said_on_original_server_wrong(self, site, visit):
        with visit(refusals=[422]) as page:
            speak(page, " *** … ")
            expect(alert(page)).to_contain_text("Nothing to speak")
            expect(page.get_by_label("Text to speak")).to_be_focused()
            alert(page).get_by_role("button", name="Dismiss").click()
            expect(alert(page)).to_be_empty()

            page.get_by_label("Backend", exact=True).select_option("comfyui")
            page.get_by_text("More settings").click()
            page.get_by_label("Temperature", exact=True).fill("99")
            page.get_by_text("More settings").click()  # folded away
            speak(page)
            expect(alert(page)).to_contain_text("Temperature is not valid")
            expect(page.get_by_label("Temperature", exact=True)).to_be_focused()
            page.get_by_label("Temperature", exact=True).fill("")

            speak(page, "word " * 3000)
            problem = site.spoken("word " * 3000).json()
            expect(alert(page)).to_contain_text(problem["detail"])
            expect(alert(page)).to_contain_text(problem["hint"])

    def test_a_job_that_fails_says_why(self, site, visit):
        site.comfyui.faults.add(out_of_memory())
        with visit() as page:
            stage = speak(page, "Too much for this card.", backend="comfyui")
            expect(stage.get_by_text("Failed", exact=True)).to_be_visible()
            problem = site.ask("jobs")["jobs"][0]["problem"]
            expect(stage).to_contain_text(problem["detail"])
            expect(stage).to_contain_text(problem["hint"])
            expect(page.locator("#announcer")).to_contain_text(problem["detail"])


class TestForEverybody:
    def test_the_keyboard_is_enough(self, visit):
        with visit() as page:
            expect(page.get_by_role("radio").first).to_be_attached()
            page.keyboard.press("Tab")
            expect(page.get_by_role("link", name="Skip to the text")).to_be_focused()
            page.keyboard.press("Enter")
            expect(page.get_by_label("Text to speak")).to_be_focused()
            page.keyboard.type("Nobody touched the mouse.")
            until = page.get_by_role("radio", name=re.compile("^Ryan"))
            for _ in range(6):
                page.keyboard.press("Tab")
                if until.evaluate("(radio) => radio === document.activeElement"):
                    break
            expect(until).to_be_focused()
            page.keyboard.press("ArrowRight")
            expect(page.get_by_role("radio", name=re.compile("^Aiden"))).to_be_checked()
            page.keyboard.press("Control+Enter")
            stage = page.get_by_role("group", name="Current line")
            expect(stage).to_contain_text("Aiden")
            slider = stage.get_by_role("slider")
            expect(slider).to_have_attribute("aria-valuetext", re.compile("seconds"))
            stage.get_by_role("button", name=re.compile("^(Play|Pause)$")).focus()
            page.keyboard.press("Tab")
            expect(slider).to_be_focused()
            page.keyboard.press("End")
            most = float(slider.get_attribute("aria-valuemax"))
            assert float(slider.get_attribute("aria-valuenow")) == pytest.approx(most, abs=0.3)
            page.keyboard.press("Home")
            page.keyboard.press("Space")
            expect(stage.get_by_role("button", name=re.compile("^(Play|Pause)$"))).to_be_visible()

    def test_tabs_are_one_stop_and_a_theme_is_remembered(self, visit):
        with visit(color_scheme="light") as page:
            page.get_by_role("tab", name="Choose a voice").focus()
            page.keyboard.press("ArrowRight")
            expect(page.get_by_role("tab", name="Clone a recording")).to_be_focused()
            expect(page.get_by_role("tabpanel", name="Clone a recording")).to_be_visible()
            page.keyboard.press("Home")
            expect(page.get_by_role("tabpanel", name="Choose a voice")).to_be_visible()

            background = "getComputedStyle(document.body).backgroundColor"
            switch = page.get_by_role("switch", name="Dark theme")
            expect(switch).not_to_be_checked()
            switch.click()
            assert DARK.match(page.evaluate(background))
            page.reload()
            expect(switch).to_be_checked()
            assert DARK.match(page.evaluate(background))

    def test_everything_has_a_name_and_a_place_and_axe_finds_nothing(
        self, visit, recording, tmp_path
    ):
        with visit(reduced_motion="reduce") as page:
            everything_open(page, recording)
            tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
            roles = {"button", "link", "textbox", "radio", "checkbox", "slider", "combobox", "tab"}
            roles |= {"spinbutton", "progressbar", "switch", "image", "img", "region", "dialog"}
            shown = [node for node in tree["nodes"] if not node["ignored"]]
            controls = [node for node in shown if node["role"]["value"] in roles]
            assert [c for c in controls if not c.get("name", {}).get("value", "").strip()] == []
            for width in (320, 390, 768, 1280, 1920):
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            script = axe(tmp_path)
            page.set_viewport_size({"width": 1280, "height": 800})
            page.evaluate(script)
            for scheme, rules in (("light", "{}"), ("dark", "{runOnly: ['color-contrast']}")):
                page.emulate_media(color_scheme=scheme)
                found = page.evaluate(f"axe.run({rules})")["violations"]
                told = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
                assert told == [], scheme


def choose(page, name, data):
    """Choose a file as a recording."""
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    page.locator("#file").set_input_files(file)


def dragged(page, file):
    """Return what is dropped on the page when somebody drags a file there."""
    return page.evaluate_handle(
        """(text) => {
          BYTES
          const data = new DataTransfer();
          data.items.add(new File([bytes], "dropped.wav"));
          return data;
        }""".replace("BYTES", BYTES),
        b64encode(file["buffer"]).decode(),
    )


def everything_open(page, recording):
    """Bring the page to a state in which most of it can be seen."""
    heard(page, speak(page))
    page.get_by_text("More settings").click()
    page.get_by_role("tab", name="Clone a recording").click()
    page.locator("#file").set_input_files(recording[0])
    expect(page.get_by_text("A good length")).to_be_visible()
    page.get_by_text("Save this voice").click()
    page.get_by_role("button", name="Save voice").click()
    expect(alert(page)).to_contain_text("Transcript missing")
    inspect(page, recording[0])
    expect(page.locator("#findings")).to_contain_text("espeak")


def axe(folder):
    """Return the accessibility checker's source; skip where its registry cannot be reached."""
    try:
        fetched = subprocess.run(
            ["npm", "pack", AXE, "--json"], cwd=folder, capture_output=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"{AXE} cannot be had from npm here: {error}")
    name = json.loads(fetched.stdout)[0]["filename"]
    with tarfile.open(fileobj=io.BytesIO((folder / name).read_bytes())) as package:
        return package.extractfile("package/axe.min.js").read().decode()
