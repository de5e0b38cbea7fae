"""The two pages: `recipe_report` for the whole recipe, `evaluation_report` for one run or several side by side.

Both take plain data and return one HTML document that loads nothing. They only lay out: every figure is an input.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from r1omni.report import charts
from r1omni.report.charts import Bar, Chart, IntervalPoint
from r1omni.report.clip_card import ClipCard, clip_view
from r1omni.report.confusion import Confusion, confusion_table
from r1omni.report.published import PAPER_TABLE_1, PublishedRow, published_corpus
from r1omni.report.reasons_view import ReasonsOfRun, reasons_tables

_TEMPLATES = Path(__file__).parent / "templates"

MODEL_WORDS: dict[str, str] = {
    "base": "pretrained on captions, texts about expressions and a few labels",
    "cold-start": "the base after SFT on a few hundred reasoned examples",
    "label-sft": "the base after SFT on labels alone",
    "cold-start-sft": "the cold start after the same SFT on labels (a control; not in the paper)",
    "r1-omni": "the cold start after GRPO on the same labels",
}
"""Model of the recipe -> what it is, in a few words."""


@dataclass(frozen=True)
class RunView:
    """One evaluation run as the page shows it."""

    name: str
    corpus: str
    """Name of the corpus with its split."""
    scores: Mapping[str, Any]
    """The content of scores.json."""
    best: Sequence[ClipCard] = ()
    """Clips answered correctly with the most confidence."""
    worst: Sequence[ClipCard] = ()
    """Clips answered wrongly with the most confidence."""


def recipe_report(
    table: Mapping[str, Any],
    *,
    curves: Sequence[Chart] = (),
    confusions: Sequence[Confusion] = (),
    clip_cards: Sequence[ClipCard] = (),
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    paper_rows: Sequence[PublishedRow] = PAPER_TABLE_1,
    title: str = "R1-Omni's recipe in miniature",
) -> str:
    """Lay out the whole recipe: Table 1 next to the paper's, learning curves, confusion matrices, clips, settings.

    Args:
        table: the content of table.json; rows may add `war_interval`, `uar_interval` ([low, high] in percent) and any
            further figure, which the lower table shows. If present, `comparisons` holds paired comparisons
            (`a`, `b`, `corpus` and the figures of `evaluate.scores.compare`), `controls` further figures by `model`
            and `corpus`, `one_sided` the figures with one side of the clips taken away, and `reasons` what is known of
            the reasons, by `model` and `corpus`.
        curves: learning curves; see `curves.training_charts`.
        confusions: one matrix per model and corpus.
        clip_cards: clips with the answers of every model.
        facts: title -> table of names and values (settings, times, versions); nested tables are flattened.
        paper_rows: published figures to compare with.
        title: of the page.
    """
    rows = list(table["rows"])
    corpora = list(dict.fromkeys(row["corpus"] for row in rows))
    return render(
        "recipe.html.j2",
        title=title,
        scale=table.get("scale"),
        seed=table.get("seed"),
        findings=_findings(rows, corpora),
        corpora=[
            _corpus_view(corpus, [row for row in rows if row["corpus"] == corpus], paper_rows) for corpus in corpora
        ],
        models={model: MODEL_WORDS.get(model, "") for model in dict.fromkeys(row["model"] for row in rows)},
        side_figures=_side_figures(rows, table.get("controls", [])),
        one_sided=table.get("one_sided", []),
        reasons=reasons_tables(
            [ReasonsOfRun(row["model"], row["corpus"], row["explanations"]) for row in table.get("reasons", [])]
        ),
        curves=[chart_view(chart) for chart in curves],
        confusions=[confusion_table(confusion) for confusion in confusions],
        clips=[clip_view(card) for card in clip_cards],
        comparisons=table.get("comparisons", []),
        facts=_flat_facts(facts or {}),
    )


def evaluation_report(
    runs: Sequence[RunView],
    *,
    published: Sequence[PublishedRow] = PAPER_TABLE_1,
    comparisons: Sequence[Mapping[str, Any]] = (),
    folds: Sequence[Mapping[str, Any]] = (),
    curves: Sequence[Chart] = (),
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    title: str = "Emotion recognition: evaluation",
) -> str:
    """Lay out one evaluation run, or several side by side.

    Args:
        runs: the runs; those of one corpus share a table with the published rows of that corpus.
        published: published figures; rows of other corpora are left out.
        comparisons: paired comparisons, each with `a`, `b`, `corpus` and the figures of `evaluate.scores.compare`.
        folds: means over folds, each with `model`, `corpus`, `folds` and the figures of `evaluate.scores.fold_summary`.
        curves: learning curves.
        facts: title -> table of names and values.
        title: of the page.
    """
    corpora = []
    for corpus in dict.fromkeys(run.corpus for run in runs):
        members = [run for run in runs if run.corpus == corpus]
        closed = [run for run in members if "recall" in run.scores]
        classes = list(dict.fromkeys(name for run in closed for name in run.scores["recall"]))
        groups = [
            (name, [Bar(run.name, run.scores["recall"].get(name)) for run in closed])
            for name in classes
            if any(run.scores["support"].get(name) for run in closed)
        ]
        corpora.append(
            {
                "name": corpus,
                "runs": members,
                "best": {figure: _best(run.scores.get(figure) for run in members) for figure in ("war", "uar")},
                "published": [row for row in published if row.corpus == published_corpus(corpus)],
                "bars": charts.bar_chart(groups, f"Recall per class on {corpus}, percent") if groups else None,
                "legend": charts.bar_legend([run.name for run in closed]),
                "confusions": [
                    confusion_table(Confusion.from_scores(f"{run.name} on {corpus}", run.scores)) for run in closed
                ],
                "groups": _group_tables(members),
            }
        )
    return render(
        "evaluation.html.j2",
        title=title,
        corpora=corpora,
        reasons=reasons_tables(
            [
                ReasonsOfRun(run.name, run.corpus, run.scores["explanations"])
                for run in runs
                if "explanations" in run.scores
            ]
        ),
        curves=[chart_view(chart) for chart in curves],
        comparisons=list(comparisons),
        folds=list(folds),
        clips=[
            {
                "run": run,
                "best": [clip_view(card) for card in run.best],
                "worst": [clip_view(card) for card in run.worst],
            }
            for run in runs
            if run.best or run.worst
        ],
        facts=_flat_facts(facts or {}),
    )


def render(template: str, **content: object) -> str:
    """Render a template of this room; a variable that is missing is an error."""
    style = Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return _environment().get_template(template).render(style=style, hatching=charts.hatching(), **content)


@cache
def _environment() -> Environment:
    """Return this room's environment, which keeps the templates it has compiled."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "signed": _signed, "figure": _figure}
    return environment


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _signed(value: float | None) -> str:
    if value is None:
        return "–"
    # In floating point 40.04 - 30.39 is just below 9.65; halves are rounded away from zero, as by hand.
    return f"{value + math.copysign(1e-9, value):+.1f}".replace("-", "−")


def _figure(value: object) -> str:
    if value is None:
        return "–"
    return charts.short(value) if isinstance(value, float) else str(value)


def _best(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None


def chart_view(chart: Chart) -> dict[str, Any]:
    """Return a chart as `curves_section` shows it."""
    return {"chart": chart, "svg": charts.line_chart(chart)}


def _corpus_view(corpus: str, rows: list[dict[str, Any]], paper_rows: Sequence[PublishedRow]) -> dict[str, Any]:
    paper = {row.counterpart: row for row in paper_rows if row.corpus == published_corpus(corpus) and row.counterpart}
    here = {row["model"]: row for row in rows}
    lead = None
    if {"r1-omni", "label-sft"} <= here.keys():
        lead = {
            figure: {
                "here": _difference(here["r1-omni"].get(figure), here["label-sft"].get(figure)),
                "paper": _difference(
                    getattr(paper.get("r1-omni"), figure, None), getattr(paper.get("label-sft"), figure, None)
                ),
            }
            for figure in ("war", "uar")
        }
    return {
        "name": corpus,
        "rows": [{"row": row, "paper": paper.get(row["model"])} for row in rows],
        "num_clips": max((row["num_clips"] for row in rows), default=0),
        "best": {figure: _best(row[figure] for row in rows) for figure in ("war", "uar")},
        "paper_best": {figure: _best(getattr(row, figure) for row in paper.values()) for figure in ("war", "uar")},
        "lead": lead,
        "plots": [
            (
                figure.upper(),
                charts.interval_chart(
                    [
                        IntervalPoint(
                            row["model"],
                            row[figure],
                            tuple(row[f"{figure}_interval"]) if row.get(f"{figure}_interval") else None,
                            getattr(paper.get(row["model"]), figure, None),
                        )
                        for row in rows
                    ],
                    f"{figure.upper()} on {corpus}",
                ),
            )
            for figure in ("war", "uar")
        ],
    }


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _findings(rows: list[dict[str, Any]], corpora: list[str]) -> list[str]:
    """Return the table's findings as sentences computed from its figures."""
    figure_of = {(row["model"], row["corpus"], name): row[name] for row in rows for name in ("war", "uar")}
    columns = [(corpus, figure) for corpus in corpora for figure in ("war", "uar")]
    models = list(dict.fromkeys(row["model"] for row in rows))
    sentences = []
    if "r1-omni" in models:
        best = [
            f"{figure.upper()} on {corpus}"
            for corpus, figure in columns
            if (own := figure_of.get(("r1-omni", corpus, figure))) is not None
            and own >= (_best(figure_of.get((model, corpus, figure)) for model in models) or 0)
        ]
        named = f": {', '.join(best)}" if 0 < len(best) < len(columns) else ""
        sentences.append(f"r1-omni has the best figure in {len(best)} of {len(columns)} columns{named}.")
    for low, high in (
        ("cold-start", "r1-omni"),
        ("label-sft", "r1-omni"),
        ("base", "cold-start"),
        ("cold-start", "label-sft"),
    ):
        if low not in models or high not in models:
            continue
        gaps = [_difference(figure_of.get((high, *column)), figure_of.get((low, *column))) for column in columns]
        known = [gap for gap in gaps if gap is not None]
        if known:
            above = sum(gap > 0 for gap in known)
            span = f"{_signed(min(known))} to {_signed(max(known))} points"
            sentences.append(f"{high} is above {low} in {above} of {len(known)} columns ({span}).")
    return sentences


def _side_figures(rows: list[dict[str, Any]], controls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the further figures of the rows: OOV, format and hallucination rate, counts, and the controls."""
    checks = {(check["model"], check["corpus"]): check for check in controls}
    rows = [{**row, **checks.get((row["model"], row["corpus"]), {})} for row in rows]
    shown = {"model", "corpus", "war", "uar", "war_interval", "uar_interval"}
    names = list(
        dict.fromkeys(
            name
            for row in rows
            for name, value in row.items()
            if name not in shown and not isinstance(value, list | dict)
        )
    )
    return {"names": names, "rows": rows}


def _group_tables(runs: Sequence[RunView]) -> list[dict[str, Any]]:
    fields = dict.fromkeys(field for run in runs for field in run.scores.get("groups", {}))
    tables = []
    for field in fields:
        values = dict.fromkeys(value for run in runs for value in run.scores.get("groups", {}).get(field, {}))
        tables.append(
            {
                "field": field,
                "runs": [run.name for run in runs],
                "rows": [
                    (value, [run.scores.get("groups", {}).get(field, {}).get(value) for run in runs])
                    for value in values
                ],
            }
        )
    return tables


def _flat_facts(facts: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, str]]]]:
    return [(title, list(_flat(table))) for title, table in facts.items()]


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", ", ".join(_figure(item) for item in value)
        else:
            yield f"{prefix}{name}", _figure(value)
