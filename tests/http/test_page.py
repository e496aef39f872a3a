"""The page in a real browser, clicked as a person would, over the real service."""

import io
import json
import re
import subprocess
import tarfile
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import expect

from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.comfyui.faults import out_of_memory

from .browser import LINE, alert, chromium, heard, speak, visiting
from .serving import config, serving

# A browser on a busy machine takes its time; the summary counts what ran again.
pytestmark = pytest.mark.once

DARK = re.compile(r"rgb\((1\d|2\d), ")  # of a background
AXE = "axe-core@4.14.1"


@dataclass(frozen=True)
class Site:
    """A running service, and the ComfyUI behind it."""

    url: str
    comfyui: StandInComfyUI

    def ask(self, path, **how):
        answer = httpx.get(f"{self.url}/ai/tts/qwen/{path}", timeout=20, **how)
        return answer.raise_for_status().json()


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


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
    answer = httpx.post(f"{site.url}/ai/tts/qwen/generate", json={"text": words}, timeout=30)
    return {"name": "me.wav", "mimeType": "audio/wav", "buffer": answer.content}, words


def measured(page, data):
    """Decode a file in the browser."""
    return page.evaluate(
        """async (numbers) => {
          const bytes = Uint8Array.from(numbers).buffer;
          const sound = await new OfflineAudioContext(1, 1, 24000).decodeAudioData(bytes);
          const peak = (most, sample) => Math.max(most, Math.abs(sample));
          return [sound.duration, sound.getChannelData(0).reduce(peak, 0)];
        }""",
        list(data),
    )


class TestSpeaking:
    def test_a_line_is_spoken_and_played_and_can_be_downloaded(self, site, visit):
        with visit(accept_downloads=True) as page:
            player, download = heard(page, speak(page))
            job = site.ask("jobs")["jobs"][0]
            duration, peak = measured(page, download.path().read_bytes())
            assert job["text"] == LINE
            assert duration == pytest.approx(job["result"]["duration"], abs=0.01)
            assert peak > 0.1
            audio = player.locator("audio")
            page.wait_for_function("(audio) => audio.currentTime > 0", arg=audio.element_handle())
            assert audio.evaluate("(audio) => audio.duration") == pytest.approx(duration, abs=0.01)
            assert download.suggested_filename == "The-lighthouse-keeper-climbed-the-stairs.wav"

    @pytest.mark.parametrize("kind", ["flac", "mp3", "ogg", "opus", "aac", "pcm"])
    def test_every_format_plays(self, visit, kind):
        with visit(accept_downloads=True) as page:
            page.get_by_label("Format").select_option(kind)
            player, download = heard(page, speak(page))
            audio = player.locator("audio").element_handle()
            page.wait_for_function("(audio) => audio.currentTime > 0", arg=audio)
            assert download.suggested_filename.endswith(f".{kind}")
            bars = "(canvas) => canvas.toDataURL().length"
            assert player.locator("canvas").evaluate(bars) > 500  # not an empty picture

    def test_a_voice_that_is_chosen_while_voices_are_listed_stays_chosen(self, site, visit):
        with visit() as page:
            serena = page.get_by_role("radio", name=re.compile("^Serena"))
            serena.wait_for(state="attached")
            held = []
            page.route("**/ai/tts/qwen/speakers?*", lambda route: held.append(route))
            with page.expect_request("**/ai/tts/qwen/speakers?*"):
                page.get_by_label("Backend", exact=True).select_option("draft")
            serena.check(force=True)
            before = serena.element_handle()
            held[0].continue_()
            page.wait_for_function("radio => !radio.isConnected", arg=before)
            expect(serena).to_be_checked()

    def test_settings_reach_the_backend(self, site, visit):
        with visit() as page:
            page.get_by_label("Backend", exact=True).select_option("comfyui")
            page.get_by_role("radio", name=re.compile("^Serena")).check(force=True)
            page.get_by_label("Language").select_option("German")
            page.get_by_text("More", exact=True).click()
            page.get_by_label("How to say it").fill("softly")
            page.get_by_label("Seed").fill("1234")
            page.get_by_label("Temperature").fill("0.7")
            heard(page, speak(page, "Guten Abend."))
        result = site.ask("jobs")["jobs"][0]["result"]
        assert (result["speaker"], result["language"], result["seed"]) == ("Serena", "German", 1234)

    def test_progress_is_shown_while_it_lasts(self, site, visit):
        gate = site.comfyui.faults.hold("running")
        with visit() as page:
            first = speak(page, "The first one.", backend="comfyui")
            expect(first.get_by_role("progressbar")).to_be_visible()
            expect(first).to_have_attribute("aria-busy", "true")
            expect(page.locator("#announcer")).to_have_text(re.compile("Speaking|Loading"))
            expect(page.get_by_role("list", name="Backends")).to_contain_text("Jobs: 1 running")
            gate.release()
            expect(first.locator("audio")).to_have_count(1)
            expect(first.get_by_role("progressbar")).to_be_hidden()
            expect(page.locator("#announcer")).to_have_text("Done")

    def test_a_running_job_is_cancelled_and_the_next_one_goes_on(self, site, visit):
        gate = site.comfyui.faults.hold("running")
        with visit() as page:
            speak(page, "This one is not wanted.", backend="comfyui")
            jobs = page.get_by_role("listitem").filter(has_text="This one is not wanted.")
            expect(jobs.locator(".badge", has_text="Running")).to_be_visible()
            second = speak(page, "This one is.")
            expect(second.get_by_text("Waiting, 1 of yours before it")).to_be_visible()
            jobs.get_by_role("button", name="Cancel").click()
            expect(jobs.get_by_text("Cancelled", exact=True)).to_be_visible()
            gate.release()
            expect(second.locator("audio")).to_have_count(1)
        states = [job["state"] for job in site.ask("jobs")["jobs"][:2]]
        assert states == ["succeeded", "cancelled"]

    def test_an_older_job_is_played_from_the_list(self, visit):
        with visit() as page:
            heard(page, speak(page, "Play me again."))
            item = page.get_by_role("listitem").filter(has_text="Play me again.").first
            item.get_by_role("button", name="Play “Play me again.”").click()
            expect(item.locator("audio")).to_have_attribute("src", re.compile("blob:"))
            expect(item.get_by_role("button", name="Pause")).to_be_visible()

    def test_text_is_never_markup(self, visit):
        line = "<img src=x onerror=alert(1)> says <b>hello</b>."
        with visit() as page:
            heard(page, speak(page, line))
            expect(page.get_by_role("listitem").filter(has_text=line)).to_have_count(1)
            assert page.locator("main img, main b").count() == 0


class TestCloning:
    def test_a_file_is_cloned(self, site, visit, recording):
        file, words = recording
        with visit() as page:
            page.get_by_role("tab", name="Clone a recording").click()
            page.get_by_role("button", name="Use comfyui").click()
            page.locator("#file").set_input_files(file)
            expect(
                page.get_by_text(re.compile(r"me\.wav: \d\.\d s\. A good length"))
            ).to_be_visible()
            page.get_by_label("Transcript", exact=True).fill(words)
            speak(page)
            expect(alert(page)).to_contain_text("Nobody has agreed yet")
            page.get_by_label(re.compile("agreed that I use it")).check()
            heard(page, speak(page))
            heard(page, speak(page, "Once more, with the recording that is there already."))
        kinds = [(job["kind"], job["state"]) for job in site.ask("jobs")["jobs"][:2]]
        assert kinds == [("clone", "succeeded")] * 2

    def test_a_file_that_only_the_browser_reads_is_sent_as_wav(self, site, visit):
        line = {"text": LINE, "format": "aac"}
        aac = httpx.post(f"{site.url}/ai/tts/qwen/generate", json=line, timeout=30).content
        with visit() as page:
            page.get_by_role("tab", name="Clone a recording").click()
            page.get_by_role("button", name="Use comfyui").click()
            file = {"name": "phone.aac", "mimeType": "audio/aac", "buffer": aac}
            page.locator("#file").set_input_files(file)
            expect(page.get_by_text(re.compile("phone.aac: "))).to_be_visible()
            page.get_by_label(re.compile("Timbre only")).check()
            page.get_by_label(re.compile("agreed that I use it")).check()
            heard(page, speak(page))

    def test_a_file_that_is_no_sound_is_refused(self, visit):
        with visit() as page:
            page.get_by_role("tab", name="Clone a recording").click()
            page.locator("#file").set_input_files(
                {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no sound at all"}
            )
            expect(alert(page)).to_contain_text("notes.txt is a sound file neither")

    def test_a_dropped_file_is_taken(self, visit, recording):
        file, _ = recording
        with visit() as page:
            page.get_by_role("tab", name="Clone a recording").click()
            data = page.evaluate_handle(
                """(numbers) => {
                  const data = new DataTransfer();
                  data.items.add(new File([Uint8Array.from(numbers)], "dropped.wav"));
                  return data;
                }""",
                list(file["buffer"]),
            )
            page.locator("#drop").dispatch_event("drop", {"dataTransfer": data})
            expect(page.get_by_text(re.compile("dropped.wav: "))).to_be_visible()

    def test_a_voice_is_recorded_kept_used_and_deleted(self, site, visit):
        with visit(permissions=["microphone"]) as page:
            page.get_by_role("tab", name="Clone a recording").click()
            page.get_by_role("button", name="Record", exact=True).click()
            elapsed = page.locator("#elapsed").element_handle()
            page.wait_for_function("(shown) => parseFloat(shown.value) >= 3.2", arg=elapsed)
            page.get_by_role("button", name="Stop").click()
            expect(page.get_by_text("A good length")).to_be_visible()
            expect(
                page.get_by_role("slider", name="Position in Your recording.wav")
            ).to_be_visible()
            page.get_by_label(re.compile("Timbre only")).check()
            page.get_by_label(re.compile("agreed that I use it")).check()
            page.get_by_text("Keep this voice").click()
            page.get_by_label("Name", exact=True).fill("Old Mia")
            page.get_by_role("button", name="Keep voice").click()
            expect(alert(page)).to_contain_text("The consent is missing")
            page.get_by_label("Who agreed, and when").fill("A machine that beeps, just now")
            page.get_by_role("button", name="Keep voice").click()

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
    def test_an_empty_line_is_not_sent(self, visit):
        with visit() as page:
            speak(page, "  ")
            expect(alert(page)).to_contain_text("There is nothing to say")
            expect(page.get_by_label("What to say")).to_be_focused()
            alert(page).get_by_role("button", name="Dismiss").click()
            expect(alert(page)).to_be_empty()

    def test_what_the_service_refuses_is_said_with_its_advice(self, site, visit):
        with visit(refusals=[422]) as page:
            speak(page, "word " * 3000)
            said = httpx.post(f"{site.url}/ai/tts/qwen/generate", json={"text": "word " * 3000})
            expect(alert(page)).to_contain_text(said.json()["detail"])
            expect(alert(page)).to_contain_text(said.json()["hint"])

    def test_a_number_out_of_its_range_is_pointed_at_where_it_is_folded_away(self, visit):
        with visit() as page:
            page.get_by_text("More", exact=True).click()
            page.get_by_label("Temperature").fill("99")
            page.get_by_text("More", exact=True).click()
            speak(page)
            expect(alert(page)).to_contain_text("Temperature cannot be that")
            expect(page.get_by_label("Temperature")).to_be_focused()

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
            expect(page.get_by_role("link", name="Skip to the line")).to_be_focused()
            page.keyboard.press("Enter")
            expect(page.get_by_label("What to say")).to_be_focused()
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
            stage = page.get_by_role("group", name="The line you asked for")
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

    def test_tabs_are_one_stop_and_arrows_change_them(self, visit):
        with visit() as page:
            page.get_by_role("tab", name="Choose one").focus()
            page.keyboard.press("ArrowRight")
            expect(page.get_by_role("tab", name="Clone a recording")).to_be_focused()
            expect(page.get_by_role("tabpanel", name="Clone a recording")).to_be_visible()
            page.keyboard.press("Home")
            expect(page.get_by_role("tabpanel", name="Choose one")).to_be_visible()

    def test_everything_that_can_be_operated_has_a_name(self, visit, recording):
        with visit() as page:
            everything_open(page, recording)
            tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
            roles = {"button", "link", "textbox", "radio", "checkbox", "slider", "combobox", "tab"}
            roles |= {"spinbutton", "progressbar", "switch", "image", "img", "region", "dialog"}
            nameless = [
                node
                for node in tree["nodes"]
                if not node["ignored"]
                and node["role"]["value"] in roles
                and not node.get("name", {}).get("value", "").strip()
            ]
            assert nameless == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_axe_finds_nothing(self, visit, recording, tmp_path, scheme):
        script = axe(tmp_path)
        with visit(color_scheme=scheme, reduced_motion="reduce") as page:
            everything_open(page, recording)
            page.evaluate(script)
            found = page.evaluate("axe.run()")["violations"]
            told = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
            assert told == []

    def test_a_theme_that_was_chosen_is_remembered(self, visit):
        with visit(color_scheme="light") as page:
            background = "getComputedStyle(document.body).backgroundColor"
            switch = page.get_by_role("switch", name="Dark theme")
            expect(switch).not_to_be_checked()
            switch.click()
            assert DARK.match(page.evaluate(background))
            page.reload()
            expect(switch).to_be_checked()
            assert DARK.match(page.evaluate(background))

    @pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
    def test_nothing_sticks_out(self, visit, recording, width):
        with visit(viewport={"width": width, "height": 800}) as page:
            everything_open(page, recording)
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def everything_open(page, recording):
    """Bring the page to a state in which most of it can be seen."""
    heard(page, speak(page))
    page.get_by_text("More", exact=True).click()
    page.get_by_role("tab", name="Clone a recording").click()
    page.locator("#file").set_input_files(recording[0])
    expect(page.get_by_text("A good length")).to_be_visible()
    page.get_by_text("Keep this voice").click()
    page.get_by_role("button", name="Keep voice").click()
    expect(alert(page)).to_contain_text("The transcript is missing")


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
