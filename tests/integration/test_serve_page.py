"""The page in a real browser, on a running server: everything a visitor can do, and nothing fetched from elsewhere."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from live_server import LiveServer, live_server
from r1omni.infer.predict_files import ASSETS, BUNDLED_MODEL

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CLIPS = ASSETS / "clips"
SAMPLES = [path.name for path in CLIPS.iterdir() if path.suffix in (".mp4", ".m4a")]
SLOW_MS = 60_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; as root, `make chromium` installs it"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server("--model", str(BUNDLED_MODEL), "--models.twin", str(BUNDLED_MODEL)) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as engine:
        flags = [
            "--no-sandbox",
            "--disable-gpu",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
        ]
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, server: LiveServer) -> Iterator:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(SLOW_MS)
    fetched, complaints = [], []
    opened.on("request", lambda request: fetched.append(request.url))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(server.url)
    yield opened
    assert [url for url in fetched if not url.startswith((server.url, "data:", "blob:"))] == []
    assert [text for text in complaints if "status of 400" not in text] == []
    context.close()


def ask(page) -> str:
    """Press Ask, wait for the answer, and return what the newest card says."""
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_selector("#stop", state="visible")
    page.wait_for_selector("#stop", state="hidden")
    assert page.locator("#problem").inner_text() == ""
    return page.locator("#history article").first.inner_text()


def test_the_first_screen_says_what_the_model_is_and_is_not_for(page):
    words = page.locator("header").inner_text()
    assert "knows only drawn people" in words and "AI Act" in words and "is not what a person feels" in words
    assert page.get_by_role("button", name="Ask", exact=True).is_disabled()


def test_an_upload_is_answered_and_sides_subtitle_and_labels_change_it(page):
    page.get_by_label("Choose a file").set_input_files(CLIPS / "fear.mp4")
    whole = ask(page)
    assert "fear.mp4, pictures and sound" in whole and "In the video, " in whole
    assert "4 frames of 2.4 s of pictures, 2.4 of 2.4 s of sound" in whole
    page.get_by_label("sound alone").check()
    heard = ask(page)
    assert "Read: 2.4 of 2.4 s of sound." in heard
    page.get_by_label("pictures and sound").check()
    page.get_by_label("Subtitle").fill("I am so happy")
    page.get_by_label("Labels").fill("fear, joy , joy,")
    subtitled = ask(page)
    assert 'subtitle "I am so happy"' in subtitled
    shown = page.locator("#history article").first.locator("dt").all_inner_texts()
    assert sorted(shown) == ["fear", "joy"]
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as JSON").click()
    history = json.loads(Path(saved.value.path()).read_text())
    assert [entry["modality"] for entry in history] == ["auto", "audio", "auto"]
    assert ("Before: fear. Now: " in heard) == (history[1]["answer"] != "fear")
    assert history[0]["answer"] == "fear" and history[0]["clip"]["modality"] == "video+audio"
    assert sum(history[2]["probabilities"].values()) == pytest.approx(1)
    page.get_by_role("button", name="Forget all").click()
    assert page.locator("#history article").count() == 0


def test_a_sample_is_answered_by_two_models_side_by_side(page):
    page.get_by_role("button", name="neutral").click()
    page.wait_for_selector("#preview video")
    page.get_by_label("beside it").select_option("twin")
    words = ask(page)
    assert "drawn-people" in words and "twin" in words
    answers = page.locator("#history article .answer").all_inner_texts()
    assert len(answers) == 2 and answers[0] == answers[1] == "neutral"


def test_samples_of_one_side_are_shown_as_what_they_are_and_answered(page):
    page.get_by_role("button", name="silent-film").click()
    page.wait_for_selector("#preview video")
    assert " of pictures." in ask(page)
    page.get_by_role("button", name="voice").click()
    page.wait_for_selector("#preview audio")
    assert "Read: 2.4 of 2.4 s of sound." in ask(page)


def test_reasons_are_checked_and_the_explanation_is_saved(page):
    page.get_by_label("Choose a file").set_input_files(CLIPS / "fear.mp4")
    ask(page)
    page.get_by_role("button", name="Check the reasons of drawn-people").click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", level=1).wait_for()
    words = frame.locator("body").inner_text()
    assert "fear" in words and "In the video, " in words
    assert "supported" in page.locator("#progress").inner_text()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save this page").click()
    document = Path(saved.value.path()).read_text(encoding="utf-8")
    assert document.lower().startswith("<!doctype html>") and "fear.mp4" in document
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as JSON").click()
    (entry,) = json.loads(Path(saved.value.path()).read_text())
    assert entry["explanation"]["claims"] and entry["explanation"]["attribution"]["players"]


@pytest.mark.parametrize("button", ["Record camera and microphone", "Record microphone"], ids=["both", "sound"])
def test_a_recording_is_answered(page, button: str):
    page.get_by_role("button", name=button).click()
    stop = page.get_by_role("button", name="Stop recording")
    page.wait_for_selector("#record-stop:focus")
    page.wait_for_timeout(1200)  # this is the recording's length
    stop.click()
    page.wait_for_selector("#preview video, #preview audio")
    words = ask(page)
    assert "s of sound" in words and ("frames of" in words) == ("camera" in button)


def test_a_file_that_is_no_clip_gives_a_sentence(page, tmp_path: Path):
    (tmp_path / "notes.mp4").write_text("no video")
    page.get_by_label("Choose a file").set_input_files(tmp_path / "notes.mp4")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_role("alert").filter(has_text="is not a video, sound file or image").wait_for()
    (tmp_path / "empty.mp4").write_bytes(b"")
    page.get_by_label("Choose a file").set_input_files(tmp_path / "empty.mp4")
    page.get_by_role("alert").filter(has_text="empty.mp4 is empty.").wait_for()


def test_everything_is_reached_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.name || ''"))
        if page.evaluate("document.activeElement.id") == "labels":
            break
    assert reached >= {"file", "record-both", "record-sound", *SAMPLES, "model", "second", "text"}
    page.get_by_role("button", name="angry").press("Enter")
    page.wait_for_selector("#submit:not([disabled])")
    page.get_by_label("Labels").press("Enter")
    page.wait_for_selector("#history article .bars dt")
    page.wait_for_selector("#stop", state="hidden")


@pytest.mark.parametrize(("width_px", "scheme"), [(360, "dark"), (360, "light"), (1400, "dark"), (1400, "light")])
def test_the_page_fits_and_axe_finds_nothing_serious(browser, server: LiveServer, width_px: int, scheme: str):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(viewport={"width": width_px, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    opened.set_default_timeout(SLOW_MS)
    opened.goto(server.url)
    opened.get_by_role("button", name="angry").click()
    opened.wait_for_selector("#preview video")
    ask(opened)
    assert opened.evaluate("document.documentElement.scrollWidth") == width_px
    found = axe.run(opened).response["violations"]
    assert [entry["id"] for entry in found if entry["impact"] in ("serious", "critical")] == []
    context.close()
