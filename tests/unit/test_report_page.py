import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from r1omni.core.labels import DFEW_LABELS
from r1omni.report.charts import Bar, Chart, IntervalPoint, Series, bar_chart, interval_chart, line_chart, smooth, ticks
from r1omni.report.clip_card import ClipCard, ModelAnswer, frame_uri, sound_uri, waveform_svg
from r1omni.report.confusion import Confusion, confusion_table
from r1omni.report.curves import curves_page, training_charts
from r1omni.report.page import RunView, evaluation_report, recipe_report
from r1omni.report.published import PAPER_TABLE_1, published_corpus

MODELS = ("base", "cold-start", "label-sft", "cold-start-sft", "r1-omni")
VOID = {"meta", "link", "img", "br"}


class Outline(HTMLParser):
    """Checks that every element is closed, and gathers what the page shows and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.unnamed: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "img" and not given.get("alt"):
            self.unnamed.append(tag)
        if tag == "svg" and not (given.get("aria-label") or given.get("aria-hidden")):
            self.unnamed.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    assert parsed.open == []
    return parsed


def table_rows():
    """r1-omni is best in WAR everywhere and in UAR on the first corpus only."""
    rows = []
    for corpus in ("dfew-like", "mafw-like", "ravdess-like"):
        for rank, model in enumerate(MODELS):
            uar = 20.0 + 10 * rank if corpus == "dfew-like" else 70.0 - 10 * rank
            row = {"model": model, "corpus": corpus, "war": 10.25 + 15 * rank, "uar": uar, "num_clips": 40}
            rows.append(row | {"oov_rate": 2.5, "format_rate": None, "war_interval": [8.0, 90.5], "uar_interval": None})
    return rows


def card(**changes) -> ClipCard:
    rng = np.random.default_rng(0)
    said = [
        ModelAnswer("base", None, text="<think>broken", correct=False),
        ModelAnswer("r1-omni", "fear", "<b>brows</b>", True),
    ]
    fields = {
        "frames": rng.integers(0, 255, (3, 24, 32, 3), dtype=np.uint8),
        "frame_times_s": [0.0, 0.5, 1.0],
        "waveform": np.sin(np.linspace(0, 60, 1600)).astype(np.float32),
        "subtitle": "Who's <there>?",
    }
    return ClipCard("clip-1", "dfew-like", "fear", said, **(fields | changes))


def recipe(**changes) -> str:
    content = {
        "curves": training_charts({"r1-omni": [{"step": s, "reward": s / 10, "kl": 0.0} for s in range(30)]}),
        "confusions": [
            Confusion(
                "r1-omni on dfew-like", ["sad", "fear"], ["sad", "fear", "out of vocabulary"], [[3, 1, 0], [0, 0, 0]]
            )
        ],
        "clip_cards": [card()],
        "facts": {"Settings": {"grpo": {"group_size": 8}, "none": None}},
    }
    return recipe_report({"scale": "tiny", "seed": 3, "rows": table_rows()}, **(content | changes))


def run_view(name="r1-omni", **changes) -> RunView:
    scores = {
        "normaliser": "synonym", "num_clips": 10, "num_scored": 9, "num_errors": 1, "war": 55.5, "uar": None,
        "war_interval": [40.0, 70.0], "uar_interval": None, "macro_f1": None, "oov_rate": 0.0, "format_rate": 100.0,
        "recall": {"happy": 55.5, "sad": None}, "support": {"happy": 9, "sad": 0},
        "confusion": {"rows": ["happy"], "columns": ["happy", "sad", "out of vocabulary"], "counts": [[5, 4, 0]]},
        "groups": {"sex": {"female": {"war": 61.0, "uar": None, "num_scored": 4, "num_errors": 0}}},
    }  # fmt: skip
    return RunView(
        name, "RAVDESS actors 1-4", scores | changes, best=[card()], worst=[card(frames=None, waveform=None)]
    )


def test_recipe_page_is_one_whole_document_that_fetches_nothing():
    parsed = outline(recipe())
    assert parsed.links and all(link.startswith("data:") for link in parsed.links)
    assert "<script" not in recipe() and "@import" not in recipe() and "url(http" not in recipe()


def test_every_picture_and_chart_has_words_for_those_who_cannot_see_it():
    assert outline(recipe()).unnamed == []
    assert outline(evaluation_report([run_view()])).unnamed == []


def test_text_of_models_and_clips_is_escaped():
    page = recipe()
    assert "<b>brows</b>" not in page and "&lt;b&gt;brows&lt;/b&gt;" in page
    assert "&lt;there&gt;" in page and "&lt;think&gt;broken" in page


def test_best_figure_of_each_column_is_bold_here_and_in_the_paper():
    page = recipe()
    assert re.findall(r'number best">([\d.]+)<', page) == ["70.2", "60.0", "70.0", "70.2", "70.0", "70.2"]
    assert re.findall(r'number paper best">([\d.]+)<', page) == ["65.83", "56.27", "57.68", "40.04", "43.00", "44.69"]


def test_leads_of_the_paper_are_those_of_its_table():
    leads = re.findall(r"<tfoot>.*?</tfoot>", recipe(), re.DOTALL)
    paper = [re.findall(r'number paper">([^<]+)<', lead) for lead in leads]
    assert paper == [["+5.6", "+11.9"], ["+7.2", "+9.7"], ["+13.7", "+13.9"]]
    here = [re.findall(r'number">([^<]+)<', lead) for lead in leads]  # four models of 15 points: label-sft is two below
    assert here == [["+30.0", "+20.0"], ["+30.0", "−20.0"], ["+30.0", "−20.0"]]


def test_findings_follow_from_the_figures():
    text = " ".join("".join(outline(recipe()).text).split())
    best = "WAR on dfew-like, UAR on dfew-like, WAR on mafw-like, WAR on ravdess-like"
    assert f"r1-omni has the best figure in 4 of 6 columns: {best}." in text
    assert "r1-omni is above label-sft in 4 of 6 columns (−20.0 to +30.0 points)." in text


def test_page_without_anything_but_a_table_is_still_whole():
    text = "".join(outline(recipe_report({"rows": table_rows()})).text)
    assert "Learning curves" not in text and "Confusion" not in text
    outline(recipe_report({"rows": []}))


def test_undefined_figures_are_dashes_and_never_nought():
    rows = [{"model": "r1-omni", "corpus": "dfew-like", "war": None, "uar": None, "num_clips": 0}]
    page = recipe_report({"rows": rows})
    outline(page)
    assert re.findall(r'<td class="number">([^<]+)<', page)[:2] == ["–", "–"]


def test_controls_and_comparisons_of_the_table_are_shown():
    figures = {"difference": 4.0, "interval": [-1.0, 9.0], "p_value": 0.1}
    test = {"only_a": 3, "only_b": 7, "p_value": 0.34375}
    table = {
        "rows": table_rows(),
        "controls": [{"model": "r1-omni", "corpus": "dfew-like", "prior": 22.5}],
        "comparisons": [
            {"a": "label-sft", "b": "r1-omni", "corpus": "dfew-like", "war": figures, "uar": figures, "mcnemar": test}
        ],
    }
    text = " ".join("".join(outline(recipe_report(table)).text).split())
    assert "22.5" in text and "label-sft → r1-omni" in text and "+4.0−1.0 to +9.0" in text and "0.344" in text


def test_evaluation_page_sets_runs_beside_published_rows_with_split_and_normaliser():
    page = evaluation_report([run_view("ours"), run_view("theirs", war=60.0)])
    text = " ".join("".join(outline(page).text).split())
    assert "synonym" in text and "open vocabulary, none stated" in text and "a part (300 clips would fit)" in text
    assert "43.00" in text and "65.83" not in text  # the row of RAVDESS, not that of DFEW
    assert re.findall(r'number best">([\d.]+)<', page) == ["60.0"]
    assert "By sex" in text and "61.0" in text and "No pictures." in text


def test_open_vocabulary_run_is_shown_without_classes():
    level = {"precision": 50.0, "recall": None, "f1": 40.0, "num_outside_wheel": 3}
    scores = {
        "normaliser": "wheel",
        "num_scored": 4,
        "num_errors": 0,
        "format_rate": 90.0,
        "sector": level,
        "family": level,
    }
    text = "".join(outline(evaluation_report([RunView("ours", "OV-MERD", scores)])).text)
    assert "sets of words" in text and "50.0" in text


def test_published_rows_are_table_1_of_the_paper():
    rows = {(row.model, row.corpus): (row.war, row.uar) for row in PAPER_TABLE_1}
    assert len(rows) == 12
    assert rows["R1-Omni", "dfew"] == (65.83, 56.27) and rows["HumanOmni-0.5B", "ravdess"] == (7.33, 9.38)
    assert published_corpus("dfew-like") == published_corpus("DFEW fold 1") == "dfew"


def test_lines_differ_by_dash_and_print_their_last_value():
    svg = line_chart(Chart("Loss", [Series("a", [1, 2], [3.0, 1.0]), Series("b", [1, 2], [2.0, None])]))
    samples = re.findall(r'stroke-dasharray="([^"]*)" d="M0 5L30 5"', svg)
    assert len(samples) == len(set(samples)) == 2
    assert "a goes from 3 to 1" in svg and "<b>1</b>" in svg


def test_line_ends_match_the_axes():
    # Inner area: x 46 to 406, y 12 to 196; ticks 0, 0.5, 1: the value 0 lies on the floor, 1 on the ceiling.
    svg = line_chart(Chart("x", [Series("a", [0, 10], [0.0, 1.0])]))
    assert 'd="M46.0 196.0L406.0 12.0"' in svg


def test_chart_over_nothing_says_so():
    assert "nothing was recorded" in line_chart(Chart("KL", [Series("a", [], [])]))
    assert "nothing was recorded" in line_chart(Chart("KL", [Series("a", [1.0], [float("nan")])]))


def test_ticks_are_round_and_span_the_range():
    assert ticks(0, 1) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert ticks(3, 3)[0] <= 3 <= ticks(3, 3)[-1]
    assert ticks(-0.002, 0.0173)[0] <= -0.002 and ticks(-0.002, 0.0173)[-1] >= 0.0173


def test_running_mean_by_hand():
    assert smooth([1, 2, 6], 3) == [1.5, 3.0, 4.0]


def test_bars_are_hatched_differently_and_carry_their_numbers():
    svg = bar_chart([("happy", [Bar("a", 50.0), Bar("b", None)])], "Recall")
    assert "url(#hatch0)" in svg and "url(#hatch1)" in svg
    assert ">50.0</text>" in svg and ">none</text>" in svg
    assert 'width="141.0"' in svg  # half of 420 - 96 - 42


def test_interval_chart_describes_figure_interval_and_published():
    svg = interval_chart([IntervalPoint("r1-omni", 50.0, (40.0, 60.0), 65.8)], "WAR")
    assert "r1-omni 50.0 (40.0 to 60.0), published 65.8" in svg


def test_confusion_cells_are_row_percentages_and_empty_rows_are_left_out():
    table = confusion_table(
        Confusion("t", ["sad", "fear"], ["sad", "fear", "out of vocabulary"], [[3, 1, 0], [0, 0, 0]])
    )
    assert re.findall(r"<td[^>]*>([^<]+)</td>", table) == ["75", "25", "·", "4"]
    assert 'class="right" style="--share:0.750" title="sad answered sad: 3 of 4"' in table
    assert "no clip was scored" in confusion_table(Confusion("t", ["sad"], ["sad"], [[0]]))


def test_training_charts_read_nested_rows_and_leave_out_unrecorded_metrics():
    rows = [{"step": step, "reward": {"accuracy": step / 10}, "note": "x"} for step in range(5)]
    charts = training_charts({"r1-omni": rows, "other": []}, metrics={"reward/accuracy": "Accuracy", "kl": "KL"})
    assert [chart.title for chart in charts] == ["Accuracy"]
    assert list(charts[0].series[0].y) == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_sound_becomes_a_wav_of_the_same_samples():
    content = base64.b64decode(sound_uri(np.array([0.0, 1.0, -1.0, 2.0, np.nan]), 16000).split(",")[1])
    assert content[:4] == b"RIFF"
    assert np.frombuffer(content[44:], "<i2").tolist() == [0, 32767, -32767, 32767, 0]


def test_frames_are_scaled_down():
    large = frame_uri(np.zeros((600, 800, 3), np.uint8))
    assert large.startswith("data:image/jpeg;base64,") and len(large) < 4000


def test_waveform_of_silence_is_drawn():
    assert "peak 0.00" in waveform_svg(np.zeros(100), 100) and "1.0 seconds" in waveform_svg(np.zeros(100), 100)


@pytest.mark.parametrize("labels", [DFEW_LABELS])
def test_confusion_is_read_from_scores(labels):
    scores = {"confusion": {"rows": list(labels), "columns": [*labels, "out of vocabulary"], "counts": [[1] * 8] * 7}}
    assert Confusion.from_scores("x", scores).columns[-1] == "out of vocabulary"


def test_a_runs_page_draws_every_figure_and_validation_in_one_chart():
    rows = [{"step": s, "reward": s / 10, "kl": 1e-6 * s, "truncation": 0.0} for s in range(1, 9)]
    rows += [{"step": s, "validation": {"war": 0.3 + s / 100, "uar": 0.2}} for s in (4, 8)]
    page = curves_page("my <run>", rows)
    assert "After 8 steps" in page and "my &lt;run&gt;" in page
    assert page.count("<figure") == 4  # reward, KL, truncation, validation
    assert "war goes from 0.34 to 0.38; uar goes from 0.2 to 0.2" in page
    assert "<dt>validation/war</dt><dd>0.38</dd>" in page
    assert "8e-6" in page and "http" not in page.replace("http://www.w3.org", "")


def test_a_runs_page_before_its_second_step_still_shows_the_first():
    page = curves_page("run", [{"step": 1, "reward": 0.5}])
    assert "<figure" not in page and "<dt>reward</dt><dd>0.5</dd>" in page


def test_one_side_taken_away_has_a_section_where_there_are_figures():
    row = {"model": "r1-omni", "corpus": "dfew-like", "absent": "sound", "war": 41.2, "uar": None, "num_clips": 240}
    row |= {"war_interval": [35.0, 47.0], "uar_interval": None, "cues_reader": 71.3, "claims_per_answer": 4.25}
    row |= {"absent_claims": 0.5, "absent_texts": None}
    page = recipe_report({"scale": "tiny", "seed": 3, "rows": table_rows(), "one_sided": [row]})
    outline(page)
    assert 'id="one-sided"' in page and "41.2" in page and "71.3" in page
    assert 'id="one-sided"' not in recipe()


def test_a_card_says_where_the_reasons_imply_something_else_than_the_answer():
    answers = [
        ModelAnswer("a", "happy", reasoning="He smiles.", implied="happy", reasons_agree=True),
        ModelAnswer("b", "sad", reasoning="He smiles.", implied="happy", reasons_agree=False),
        ModelAnswer("c", "sad", reasoning="A red coat."),
    ]
    page = evaluation_report([replace(run_view(), best=[ClipCard("1", None, None, answers)], worst=[])])
    assert page.count("The reasons alone imply happy, as answered.") == 1
    assert page.count("The reasons alone imply happy, not what was answered.") == 1


def test_the_figures_of_reasons_have_a_section_where_there_are_any():
    figure = {"value": 62.5, "interval": [50.0, 75.0], "count": 5, "total": 8, "unit": "percent"}
    explanations = {
        "num_answers": 8,
        "figures": {"epc": figure, "hallucination_rate": {**figure, "value": None, "interval": None}},
        "accuracy_by_agreement": {group: figure for group in ("agree", "disagree", "unknown")},
        "risk_coverage": {"confidence": "agreement", "points": [[50.0, 10.0], [100.0, 30.0]], "area": 20.0},
    }
    page = evaluation_report([run_view(explanations=explanations)])
    assert "Do the reasons hold?" in page and "EPC: they imply the answer" in page and "50.0–75.0" in page
    assert outline(page).unnamed == []
    assert "Do the reasons hold?" not in evaluation_report([run_view()])
