"""A made record of an explanation, as `Explanation.to_json` gives it, in which every part of the page has something."""

from typing import Any

import numpy as np

REASONING = (
    "Her eyebrows are raised and wide open eyes <b>stare</b>.\nThe voice is trembling; I cannot judge the words."
)


def claim(number: int, words: str, state: str, **others: Any) -> dict[str, Any]:
    start = REASONING.index(words)
    return {
        "number": number,
        "side": "pictures",
        "what": "brows",
        "value": "raised",
        "polarity": "positive",
        "hedge": None,
        "place": None,
        "start": start,
        "stop": start + len(words),
        "state": state,
        "reason": f"Reason {number}.",
        "item": None,
        "error_rate": None,
        **others,
    }


def item(name: str, side: str, value: Any, **others: Any) -> dict[str, Any]:
    return {
        "name": name,
        "side": side,
        "value": value,
        "unit": "",
        "start_s": 0.0,
        "stop_s": 4.0,
        "confidence": 0.9,
        "measured_by": "a net",
        "band": None,
        "near": None,
        "phase": "clip",
        **others,
    }


def record() -> dict[str, Any]:
    """Four seconds of pictures and sound, of which three were heard; four claims, of which two overlap."""
    pitch = item("pitch_semitones", "sound", 12.3, unit="semitones re 100 Hz", band="high", near="medium")
    return {
        "id": "clip-1",
        "path": "clip.mp4",
        "gold": "fear",
        "read": {
            "modality": "video+audio",
            "pictures": {"num_frames": 2, "total_s": 4.0},
            "sound": {"used_s": 3.0, "total_s": 4.0},
        },
        "remarks": ["the model heard the first 3.0 of 4.0 s of sound"],
        "words": {"label": "Subtitle", "text": "Who is <there>?"},
        "text": "written",
        "reasoning": REASONING,
        "answer": "surprise",
        "well_formed": True,
        "probabilities": {"fear": 0.25, "surprise": 0.7, "angry": 0.05},
        "reasons": {
            "implied": "fear",
            "implied_by": "conclusion",
            "agrees": False,
            "read_by_model": {"fear": 0.6, "surprise": 0.4},
        },
        "counts": {"supported": 2, "contradicted": 1, "unverifiable": 1, "abstentions": 1},
        "claims": [
            claim(1, "eyebrows are raised", "supported", item=pitch),
            claim(2, "raised and wide open eyes", "contradicted", what="eyes", value="wide", polarity="negative"),
            claim(3, "stare", "unverifiable", what="gaze", value="ahead", hedge="may"),
            claim(4, "trembling", "supported", side="sound", what="steadiness", value="trembling", place="end"),
        ],
        "abstentions": [{"side": "text", "start": REASONING.index("cannot judge"), "stop": len(REASONING) - 1}],
        "evidence": {
            "items": [pitch, item("subtitle", "text", "Who is <there>?", start_s=0.5, stop_s=2.0)],
            "unmeasured": [{"name": "laughter", "side": "sound", "reason": "Nothing here measures it."}],
        },
        "attribution": {
            "answer": "surprise",
            "players": ["pictures", "sound", "reasons"],
            "values": {"": -3.0, "pictures+sound+reasons": -0.5},
            "shapley": {"pictures": 2.0, "sound": -0.5, "reasons": 1.0},
            "shares": {"pictures": 4 / 7, "sound": 1 / 7, "reasons": 2 / 7},
            "retold": {"values": {}, "shapley": {"pictures": 1.2, "sound": 0.3}},
            "clip_shares": {"pictures": 0.8, "sound": 0.2},
            "curve": [
                {"side": "pictures", "start_s": 0.0, "stop_s": 2.0, "effect": 1.0},
                {"side": "pictures", "start_s": 2.0, "stop_s": 4.0, "effect": -0.5},
                {"side": "sound", "start_s": 0.0, "stop_s": 3.0, "effect": 0.25},
            ],
            "words": [
                {"start": 4, "stop": 12, "leans": {"pictures": 1.5, "sound": 0.0}},
                {"start": 13, "stop": 16, "leans": {"pictures": 0.0, "sound": 0.05}},
            ],
            "num_prefills": 7,
        },
        "tracks": {
            "start_s": 0.0,
            "stop_s": 4.0,
            "pictures_stop_s": 4.0,
            "frames": [
                {"time_s": 1.0, "outlines": [[[0.2, 0.2], [0.8, 0.2], [0.5, 0.9]]]},
                {"time_s": 3.0, "outlines": []},
            ],
            "sound_span_s": [0.0, 4.0],
            "heard_stop_s": 3.0,
            "peaks": [0.1, 0.5, 0.2, 0.0],
            "speech_s": [[0.5, 1.5]],
            "pitch_hz": [[0.5, 200.0], [1.0, None], [1.5, 240.0]],
            "level_dbfs": [[0.5, -30.0], [1.5, -20.0]],
        },
    }


def pictures() -> np.ndarray:
    return np.stack([np.full((48, 64, 3), shade, np.uint8) for shade in (80, 160)])


def one_sided(side: str) -> dict[str, Any]:
    """The same clip with `pictures` or `sound` alone."""
    made = record()
    lost = "sound" if side == "pictures" else "pictures"
    made["read"][lost] = None
    attribution = made["attribution"]
    attribution["players"] = [side, "reasons"]
    attribution["values"] = {"": -3.0, f"{side}+reasons": -0.5}
    attribution["shapley"] = {name: value for name, value in attribution["shapley"].items() if name != lost}
    attribution |= {"clip_shares": {side: 1.0}, "retold": None}
    attribution["curve"] = [span for span in attribution["curve"] if span["side"] == side]
    tracks = made["tracks"]
    if side == "pictures":
        tracks |= {"sound_span_s": None, "heard_stop_s": None, "peaks": [], "speech_s": []}
        tracks |= {"pitch_hz": [], "level_dbfs": []}
    else:
        tracks |= {"frames": [], "pictures_stop_s": None}
    return made


def without_answer() -> dict[str, Any]:
    """A still image, and an output whose tags are broken."""
    made = one_sided("pictures")
    made |= {"answer": None, "reasoning": None, "text": "<think>so", "attribution": None, "claims": [], "gold": None}
    made |= {"abstentions": [], "remarks": []}
    made["reasons"] = {"implied": None, "implied_by": None, "agrees": None, "read_by_model": None}
    made["counts"] = dict.fromkeys(made["counts"], 0)
    made["evidence"] = {"items": [], "unmeasured": []}
    made["tracks"] |= {"stop_s": 0.0, "pictures_stop_s": 0.0, "frames": [{"time_s": 0.0, "outlines": []}]}
    return made
