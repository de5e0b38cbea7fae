"""The page of an explained clip: all of the record is on it, in words and signs, and nothing is fetched."""

import re
from html import unescape
from html.parser import HTMLParser

import pytest

from explained_record import REASONING, one_sided, pictures, record, without_answer
from r1omni.report.explanation_page import explanation_index, explanation_page
from r1omni.report.explanation_tracks import TimeAxis, curve_lane, effect_lane, signed_bars, time_name


class Document(HTMLParser):
    """Ids, links and descriptions of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids, self.links, self.described = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if tag == "a" else []
        self.described += [named["aria-describedby"]] if "aria-describedby" in named else []


def reasons_panel(page: str) -> str:
    return page[page.index('<div class="panel reasons">') : page.index("</div>", page.index('class="panel reasons"'))]


def test_the_page_is_one_document_that_fetches_nothing():
    page = explanation_page(record(), pictures())
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "<script" not in page and "@import" not in page and "url(http" not in page


def test_every_claim_is_described_where_it_stands_and_in_the_table():
    page = explanation_page(record(), pictures())
    document = Document(page)
    assert len(document.ids) == len(set(document.ids))
    for number in range(1, 5):
        assert f"#claim-{number}" in document.links and f"#said-{number}" in document.links
        assert f"tip-{number}" in document.described
        assert {f"claim-{number}", f"said-{number}", f"tip-{number}"} <= set(document.ids)
        assert page.count(f"Reason {number}.") == 2
    assert {link[1:] for link in document.links} <= set(document.ids)


def test_states_are_signs_and_words_before_they_are_colours():
    page = explanation_page(record(), pictures())
    panel = reasons_panel(page)
    signs = re.findall(r'<span class="sign"[^>]*>(.)</span>', panel)
    assert signs == ["✓", "✗", "?", "✓", "–"]
    assert "Supported. Reason 1. Measured by a net, 0.0 to 4.0 s." in panel
    assert "✗ the reasons do not agree with the answer" in page and "✗ the label is fear" in page


def test_the_reasoning_is_whole_though_claims_overlap_and_its_markup_is_escaped():
    panel = re.sub(
        r'<span class="sign"[^>]*>.</span>|<span class="tip".*?</span>',
        "",
        reasons_panel(explanation_page(record(), pictures())),
    )
    assert unescape(re.sub(r"<[^>]+>", "", panel)) == REASONING
    assert "<b>" not in panel and "&lt;b&gt;" in panel
    assert "Who is <there>?" not in explanation_page(record(), pictures())


def test_what_was_not_heard_and_not_measured_is_said():
    page = explanation_page(record(), pictures())
    assert "not heard by the model" in page and "left:75.0%;width:25.0%" in page
    assert "The model heard the first 3.0 of 4.0 s of sound." in page
    assert "<b>laughter</b>: Nothing here measures it." in page
    assert "<b>sound</b>: 3.0 of 4.0 s" in page


def test_what_the_reasons_imply_stands_beside_the_answer():
    text = re.sub(r"<[^>]+>", " ", explanation_page(record(), pictures()))
    text = " ".join(text.split())
    assert "answered surprise" in text
    assert "implied by the words fear from its conclusion" in text
    assert "read by the model from its reasons alone fear 60 %" in text


def test_bars_of_the_sides_carry_values_shares_and_signs():
    page = explanation_page(record(), pictures())
    assert "Beside its reasons. pictures: +2.00 nats (57%); sound: −0.50 nats (14%); reasons: +1.00" in page
    assert (
        "Through its reasons. pictures: +1.20 nats (80%); sound: +0.30 nats (20%)" in page
        and "−3.00 nats with nothing and −0.50 with all" in page
    )
    assert "2.0 to 4.0 s: -0.50" in page and "up to 1.00 nats" in page


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (one_sided("sound"), "No pictures were read."),
        (one_sided("pictures"), "No sound was read."),
        (without_answer(), "Without an answer there is nothing to attribute."),
    ],
)
def test_a_record_that_lacks_parts_gives_a_page_that_says_so(made, said):
    frames = pictures()[: len(made["tracks"]["frames"])] if made["tracks"]["frames"] else None
    page = explanation_page(made, frames, "A note.")
    assert said in page and "A note." in page
    assert "nan" not in page.lower().replace("resonance", "") and "None" not in page


def test_the_index_links_pages_and_keeps_clips_that_could_not_be_read():
    rows = [{"page": "00001-a.html", "record": record()}, {"id": "b", "error": "b.mp4: is cut <short>"}]
    page = explanation_index(rows, "Clips of a & b", "A note.")
    assert 'href="00001-a.html"' in page and "✗ fear" in page and "✗ no" in page
    assert "not read: b.mp4: is cut &lt;short&gt;" in page and "Clips of a &amp; b" in page and "2 clips" in page


def test_times_are_places_on_the_axis():
    """1 s of 2 to 6 is a quarter behind the beginning; what is outside is cut."""
    axis = TimeAxis(2.0, 6.0)
    assert axis.percent(3.0) == 25 and axis.percent(0.0) == 0 and axis.percent(9.0) == 100
    assert axis.place(3.0, 5.0) == {"left": 25.0, "width": 50.0}
    assert [mark["name"] for mark in axis.marks()] == ["2 s", "3 s", "4 s", "5 s", "6 s"]
    assert TimeAxis(0.0, 0.0).percent(0.0) == 0 and TimeAxis(0.0, 0.0).marks() == []


def test_long_clips_are_named_in_minutes():
    assert time_name(75.4, 600) == "1:15" and time_name(3.25) == "3.25 s" and time_name(12.34, 50) == "12.3 s"


def test_a_curve_breaks_at_its_gaps():
    """200 Hz at the lower edge, 240 Hz at the upper one; the gap between them begins a new stroke."""
    found = curve_lane([[0.0, 200.0], [1.0, 220.0], [2.0, None], [4.0, 240.0]], TimeAxis(0, 4), "Pitch", "Hz")
    assert found is not None and (found["low"], found["high"]) == (200.0, 240.0)
    assert 'd="M0.0 37.0h.1L250.0 20.0M1000.0 3.0h.1"' in found["svg"]
    assert curve_lane([[0.0, None]], TimeAxis(0, 4), "Pitch", "Hz") is None


def test_a_steady_curve_does_not_fill_its_lane():
    """200 and 202 Hz in a lane of at least 20 Hz: 9 and 11 of 20 from the bottom, 34 high from 37."""
    found = curve_lane([[0.0, 200.0], [4.0, 202.0]], TimeAxis(0, 4), "Pitch", "Hz", 20.0)
    assert found is not None and 'd="M0.0 21.7h.1L1000.0 18.3"' in found["svg"]


def test_a_side_has_the_same_hatching_in_every_drawing():
    page = explanation_page(one_sided("sound"), None)
    bars = page[page.index("Shapley values.") :]
    assert bars.index('class="bar s1"') < bars.index('class="bar s2"') and 'class="bar s0"' not in bars[:900]


def test_bars_stand_above_the_line_for_the_answer_and_below_it_against():
    spans = [{"start_s": 0, "stop_s": 1, "effect": 0.5}, {"start_s": 1, "stop_s": 2, "effect": -1.0}]
    drawn = effect_lane(spans, TimeAxis(0, 2), 1.0, 0, "sound")
    assert 'x="1.0" y="14.0" width="498.0" height="12.0"' in drawn
    assert 'x="501.0" y="26.0" width="498.0" height="24.0"' in drawn


def test_negative_values_lie_to_the_left_of_the_line():
    """400 wide, 84 and 128 beside the bars: 188 for 3, so 1 is 62.7 and the line is at 146.7."""
    drawn = signed_bars([("a", 2.0, "+2", 0), ("b", -1.0, "−1", 1)], "Values", width_px=400)
    assert 'x="146.7" y="7" width="125.3"' in drawn and 'x="84.0" y="33" width="62.7"' in drawn
