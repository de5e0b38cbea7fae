"""The pages in a real browser: nothing is fetched, nothing is wider than the window."""

import shutil
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; as root, `make chromium` installs it")
def test_pages_fit_narrow_and_wide_windows_and_fetch_nothing(tmp_path: Path):
    playwright = pytest.importorskip("playwright.sync_api")
    spec = spec_from_file_location("report_pages", Path(__file__).parents[1] / "unit" / "test_report_page.py")
    assert spec is not None and spec.loader is not None
    pages = sys.modules["report_pages"] = module_from_spec(spec)
    spec.loader.exec_module(pages)
    (tmp_path / "recipe.html").write_text(pages.recipe(), encoding="utf-8")
    (tmp_path / "evaluation.html").write_text(pages.evaluation_report([pages.run_view()]), encoding="utf-8")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for width_px in (380, 1400):
            page = browser.new_page(viewport={"width": width_px, "height": 900})
            fetched, complaints = [], []
            page.on("request", lambda request, seen=fetched: seen.append(request.url))
            page.on("console", lambda message, seen=complaints: seen.append(message.text))
            for name in ("recipe.html", "evaluation.html"):
                page.goto((tmp_path / name).as_uri())
                assert page.evaluate("document.documentElement.scrollWidth") == width_px
                assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
            assert [url for url in fetched if not url.startswith("data:")] == [
                (tmp_path / name).as_uri() for name in ("recipe.html", "evaluation.html")
            ]
            assert complaints == []
        browser.close()
