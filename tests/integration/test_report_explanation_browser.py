"""Pages of explained clips in a real browser: they fit, they fetch nothing, and they work by keyboard."""

import shutil
from pathlib import Path

import pytest

from explained_record import one_sided, pictures, record, without_answer
from r1omni.report.explanation_page import explanation_index, explanation_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; as root, `make chromium` installs it")
def test_pages_fit_fetch_nothing_and_show_evidence_on_hover_and_focus(tmp_path: Path):
    playwright = pytest.importorskip("playwright.sync_api")
    pages = {
        "whole.html": explanation_page(record(), pictures(), "A note."),
        "sound.html": explanation_page(one_sided("sound"), None),
        "still.html": explanation_page(without_answer(), pictures()[:1]),
        "index.html": explanation_index([{"page": "whole.html", "record": record()}], "Explained clips"),
    }
    for name, page in pages.items():
        (tmp_path / name).write_text(page, encoding="utf-8")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for width_px in (380, 1400):
            view = browser.new_page(viewport={"width": width_px, "height": 900})
            fetched, complaints = [], []
            view.on("request", lambda request, seen=fetched: seen.append(request.url))
            view.on("console", lambda message, seen=complaints: seen.append(message.text))
            for name in pages:
                view.goto((tmp_path / name).as_uri())
                assert view.evaluate("document.documentElement.scrollWidth") == width_px, name
                assert view.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
            assert [url for url in fetched if not url.startswith("data:")] == [
                (tmp_path / name).as_uri() for name in pages
            ]
            assert complaints == []
            view.goto((tmp_path / "whole.html").as_uri())
            first, tip = view.locator("#said-1"), view.locator("#tip-1")
            assert not tip.is_visible()
            first.hover()
            assert tip.is_visible()
            box = tip.bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width_px
            view.mouse.move(0, 0)
            assert not tip.is_visible()
            # The timeline is the first thing that takes the focus, the first claim the next.
            view.keyboard.press("Tab")
            view.keyboard.press("Tab")
            assert first.evaluate("claim => claim === document.activeElement") and tip.is_visible()
            view.keyboard.press("Enter")
            assert view.evaluate("document.querySelector(':target').id") == "claim-1"
            assert view.locator("#claim-1").is_visible()
        browser.close()
