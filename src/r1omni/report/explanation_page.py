"""The page of one explained clip, and the index of several: one HTML document each that loads nothing.

Laid out from the record that `explain` gives out as JSON, and from the frames that the model saw. A state is a sign and
a word before it is a colour; what is shown on hover is also shown on focus and stands in a table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from r1omni.core.probability_text import probability_text
from r1omni.report import charts
from r1omni.report.charts import Bar
from r1omni.report.clip_card import frame_uri
from r1omni.report.explanation_tracks import (
    TimeAxis,
    curve_lane,
    effect_lane,
    signed_bars,
    time_name,
    waveform_lane,
)
from r1omni.report.page import render

SIGNS = {"supported": "✓", "contradicted": "✗", "unverifiable": "?"}
"""State of a claim -> the sign that stands before it."""
SHOWN_LABELS = 8
LEAST_LEAN = 0.1
"""Nats from which a word is marked as leaning on a side."""
STYLES = {"pictures": 0, "sound": 1, "reasons": 2, "subtitle": 3}
"""Player -> number of its hatching, the same in every drawing."""
LEAST_PITCH_RANGE_HZ, LEAST_LEVEL_RANGE_DB = 20.0, 6.0
"""That fill the lane of a curve."""
NUM_LEANING = 8
"""Words named for each side, at most."""

Record = Mapping[str, Any]


def explanation_page(record: Record, pictures: np.ndarray | None = None, note: str | None = None) -> str:
    """Lay out one explanation.

    Args:
        record: `Explanation.to_json()`.
        pictures: uint8 [frames, height, width, 3], the frames of the record's tracks; None leaves them out.
        note: what a reader should know about the model, as a sentence.
    """
    tracks = record["tracks"]
    axis = TimeAxis(tracks["start_s"], tracks["stop_s"])
    attribution = record["attribution"]
    return render(
        "explanation.html.j2",
        page_style=_page_style(),
        title=f"{record['id']}: {record['answer'] or 'no answer'}",
        record=record,
        note=note,
        is_right=_is_right(record),
        signs=SIGNS,
        axis=axis,
        frames=_frames(tracks["frames"], pictures, axis),
        lanes=_lanes(record, axis),
        segments=_segments(record["reasoning"] or "", record["claims"], record["abstentions"]),
        claims=[_claim_view(claim, record["reasoning"] or "") for claim in record["claims"]],
        from_reasons=_likeliest(record["reasons"]["read_by_model"]),
        rests_on=None if attribution is None else _rests_on(attribution),
        words=[] if attribution is None else _words(record["reasoning"] or "", attribution["words"]),
        leaning=[] if attribution is None else _leaning(record["reasoning"] or "", attribution["words"]),
        labels=_labels(record["probabilities"], record["answer"]),
        measured=[_item_view(item) for item in record["evidence"]["items"]],
        unmeasured=_by_reason(record["evidence"]["unmeasured"]),
    )


def explanation_index(rows: Sequence[Record], title: str, note: str | None = None) -> str:
    """Lay out the index of explained clips.

    Args:
        rows: of each clip its `page` (relative to the index) and the `record` behind it; of a clip that could not be
            read its `id` and the `error` as a sentence.
        title: of the page.
        note: what a reader should know about the model, as a sentence.
    """
    views = []
    for row in rows:
        record = row.get("record")
        if record is None:
            views.append({"id": row["id"], "error": row["error"]})
            continue
        shares = (record["attribution"] or {}).get("shares") or {}
        views.append(
            {
                "id": record["id"],
                "error": None,
                "page": row["page"],
                "answer": record["answer"],
                "gold": record["gold"],
                "is_right": _is_right(record),
                "agrees": record["reasons"]["agrees"],
                "counts": record["counts"],
                "shares": ", ".join(f"{name} {share:.0%}" for name, share in shares.items()),
            }
        )
    return render(
        "explanation_index.html.j2", page_style=_page_style(), title=title, note=note, rows=views, signs=SIGNS
    )


def _page_style() -> Markup:
    return Markup((Path(__file__).parent / "templates" / "explanation.css").read_text(encoding="utf-8"))


def _is_right(record: Record) -> bool | None:
    if record["gold"] is None or record["answer"] is None:
        return None
    return record["gold"].strip().lower() == record["answer"]


def _likeliest(probabilities: Mapping[str, float] | None) -> tuple[str, str] | None:
    """The likeliest label and its probability as text."""
    if not probabilities:
        return None
    label = max(probabilities, key=probabilities.__getitem__)
    return label, probability_text(probabilities[label])


def _frames(frames: Sequence[Record], pictures: np.ndarray | None, axis: TimeAxis) -> list[dict[str, Any]]:
    if pictures is None:
        return []
    return [
        {
            "uri": frame_uri(picture),
            "time": time_name(frame["time_s"], axis.stop_s),
            "left": round(axis.percent(frame["time_s"]), 2),
            "outlines": [" ".join(f"{x},{y}" for x, y in outline) for outline in frame["outlines"]],
        }
        for frame, picture in zip(frames, pictures, strict=True)
    ]


def _lanes(record: Record, axis: TimeAxis) -> dict[str, Any]:
    tracks, items = record["tracks"], record["evidence"]["items"]
    curve = (record["attribution"] or {}).get("curve", [])
    largest = max((abs(span["effect"]) for span in curve), default=0.0)
    lanes: dict[str, Any] = {
        "pictures": None if tracks["pictures_stop_s"] is None else axis.place(axis.start_s, tracks["pictures_stop_s"]),
        "wave": None,
        "unheard": None,
        "speech": [axis.place(*span) for span in tracks["speech_s"]],
        "pitch": curve_lane(tracks["pitch_hz"], axis, "Pitch", "Hz", LEAST_PITCH_RANGE_HZ),
        "level": curve_lane(tracks["level_dbfs"], axis, "Loudness", "dBFS", LEAST_LEVEL_RANGE_DB),
        "texts": [
            (name, [_text_block(item, axis) for item in items if item["name"] == name])
            for name in ("subtitle", "transcript")
        ],
        "effects": [
            (side, effect_lane(spans, axis, largest, STYLES[side], side), largest)
            for side in ("pictures", "sound")
            if (spans := [span for span in curve if span["side"] == side])
        ],
        "marks": axis.marks(),
    }
    if tracks["sound_span_s"] is not None:
        lanes["wave"] = waveform_lane(tracks["peaks"], tracks["sound_span_s"], axis)
        if tracks["heard_stop_s"] < tracks["sound_span_s"][1] - 0.1:
            lanes["unheard"] = axis.place(tracks["heard_stop_s"], tracks["sound_span_s"][1])
    return lanes


def _text_block(item: Record, axis: TimeAxis) -> dict[str, Any]:
    span = f"{item['start_s']:.1f} to {item['stop_s']:.1f} s"
    return {"text": item["value"], "span": span, **axis.place(item["start_s"], item["stop_s"])}


def _segments(reasoning: str, claims: Sequence[Record], abstentions: Sequence[Record]) -> list[dict[str, Any]]:
    """Cut the reasoning into plain stretches, claims and abstentions; of overlapping ones the later begins later."""
    marked: list[tuple[int, int, dict[str, Any]]] = [
        (claim["start"], claim["stop"], {"claim": claim, "tip": _tip(claim)}) for claim in claims
    ]
    marked += [(part["start"], part["stop"], {"abstention": part}) for part in abstentions]
    plain: dict[str, Any] = {"claim": None, "abstention": None, "tip": ""}
    found, cursor = [], 0
    for start, stop, mark in sorted(marked, key=lambda entry: entry[:2]):
        if start > cursor:
            found.append(plain | {"text": reasoning[cursor:start]})
        start, stop = max(start, cursor), max(stop, cursor)
        found.append(plain | {"text": reasoning[start:stop], **mark})
        cursor = stop
    return [*found, plain | {"text": reasoning[cursor:]}]


def _tip(claim: Record) -> str:
    item = claim["item"]
    by = "" if item is None else f" Measured by {item['measured_by']}, {item['start_s']:.1f} to {item['stop_s']:.1f} s."
    return f"{claim['state'].capitalize()}. {_sentence(claim['reason'])}{by}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _claim_view(claim: Record, reasoning: str) -> dict[str, Any]:
    says = claim["what"] if claim["value"] == "present" else f"{claim['what']}: {claim['value']}".replace("_", " ")
    parts = [f"not {says}" if claim["polarity"] == "negative" else says]
    parts += [f"at the {claim['place']}" if claim["place"] in ("beginning", "end") else str(claim["place"] or "")]
    parts += [f"hedged: {claim['hedge']}" if claim["hedge"] else ""]
    return {
        **claim,
        "words": reasoning[claim["start"] : claim["stop"]],
        "why": _sentence(claim["reason"]),
        "says": "; ".join(part for part in parts if part),
        "item": None if claim["item"] is None else _item_view(claim["item"]),
    }


def _item_view(item: Record) -> dict[str, Any]:
    value = item["value"]
    shown = f"{value:.3g}" if isinstance(value, float) else {True: "yes", False: "no"}.get(value, value)
    unit = "" if item["unit"] == "cue" else item["unit"]
    phase = {"clip": "", "first": "first half", "then": "second half"}[item["phase"]]
    near = f", near {item['near']}" if item["near"] else ""
    return {
        **item,
        "title": item["name"].replace("_", " "),
        "shown": f"{shown} {unit}".strip(),
        "phase": phase,
        "band": f"{item['band'] or ''}{near}",
        "span": f"{item['start_s']:.1f}–{item['stop_s']:.1f} s",
        "sure": "–" if item["confidence"] is None else f"{item['confidence']:.2f}",
    }


def _by_reason(unmeasured: Sequence[Record]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for missing in unmeasured:
        found.setdefault(missing["reason"], []).append(missing["name"].replace("_", " "))
    return list(found.items())


def _rests_on(attribution: Record) -> dict[str, Any]:
    values = attribution["values"]
    retold = attribution["retold"]
    return {
        "bars": _player_bars(attribution["shapley"], attribution["shares"], "Beside its reasons"),
        "retold": None
        if retold is None
        else _player_bars(retold["shapley"], attribution["clip_shares"], "Through its reasons"),
        "all": values["+".join(attribution["players"])],
        "nothing": values[""],
        "num_prefills": attribution["num_prefills"],
    }


def _player_bars(shapley: Mapping[str, float], shares: Mapping[str, float] | None, title: str) -> Markup | None:
    rows = [
        (
            player,
            value,
            f"{value:+.2f} nats".replace("-", "−") + (f" ({shares[player]:.0%})" if shares else ""),
            STYLES[player],
        )
        for player, value in shapley.items()
    ]
    return signed_bars(rows, f"Shapley values. {title}") if rows else None


def _words(reasoning: str, words: Sequence[Record]) -> list[dict[str, Any]]:
    """Return every word with the side that it leans on most, if it leans on one."""
    found = []
    for word in words:
        side, lean = max(word["leans"].items(), key=lambda entry: entry[1], default=("", 0.0))
        leans = ", ".join(f"{name} {value:+.2f}" for name, value in word["leans"].items())
        found.append(
            {
                "text": reasoning[word["start"] : word["stop"]],
                "side": side if lean >= LEAST_LEAN else None,
                "weight": min(4, max(1, round(2 * lean))),
                "leans": leans,
            }
        )
    return found


def _leaning(reasoning: str, words: Sequence[Record]) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return the words that lean most on each side."""
    sides = list(words[0]["leans"]) if words else []
    found = []
    for side in sides:
        ranked = sorted(words, key=lambda word: -word["leans"][side])[:NUM_LEANING]
        named = [(reasoning[word["start"] : word["stop"]], word["leans"][side]) for word in ranked]
        found.append((side, [(text, lean) for text, lean in named if lean >= LEAST_LEAN]))
    return found


def _labels(probabilities: Mapping[str, float], answer: str | None) -> Markup:
    ranked = sorted(probabilities.items(), key=lambda entry: -entry[1])
    shown = ranked[:SHOWN_LABELS]
    groups = [
        (f"{label} ◂" if label == answer else label, [Bar("probability", 100 * share, probability_text(share))])
        for label, share in shown
    ]
    return charts.bar_chart(groups, "Probability of each label after the reasons", width_px=340)
