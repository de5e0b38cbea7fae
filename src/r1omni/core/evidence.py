"""Owns the record of what was measured in a clip, and the documented names, units and bands of the measurements.

An item is one measurement with its unit, its span, its confidence and the name of what measured it. What could not be
measured is listed with the reason; it is never replaced by a default. An item measured over the whole clip has phase
`clip`; the same name with phase `first` and `then` covers the first and the second half of the span, for claims about
order in time. Of made corpora the manifest's cues become items of the same names, with `measured_by` `manifest`, the
cue's word as their value and `cue` as their unit.

Left out on purpose: how anything is measured, and the thresholds between bands (`evidence/`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeVar, get_args

EvidenceSide = Literal["pictures", "sound", "text"]
"""Where evidence is found; `text` is what can be read in the pictures or what was heard to be said."""
Phase = Literal["clip", "first", "then"]
"""The whole clip, its first half, its second half."""


@dataclass(frozen=True)
class EvidenceName:
    """One row of the table of measurements."""

    side: EvidenceSide
    unit: str
    """Of `EvidenceItem.value`; empty for text and for yes or no."""
    bands: tuple[str, ...]
    """Words for ranges of the value, in ascending order of the value; empty where nothing is banded."""
    meaning: str
    """What the value is, in one phrase."""


EVIDENCE_NAMES: dict[str, EvidenceName] = {
    "speech_share": EvidenceName("sound", "share", ("none", "some", "most"), "share of the sound that is speech"),
    "pitch_hz": EvidenceName("sound", "Hz", (), "median fundamental frequency of the speech"),
    "pitch_semitones": EvidenceName(
        "sound", "semitones re 100 Hz", ("low", "medium", "high"), "the same on a musical scale"
    ),
    "pitch_range_semitones": EvidenceName(
        "sound", "semitones", ("narrow", "usual", "wide"), "from the 5th to the 95th percentile of the pitch"
    ),
    "pitch_trend": EvidenceName(
        "sound", "semitones", ("falling", "level", "rising"), "median pitch of the second half minus the first"
    ),
    "loudness_db": EvidenceName("sound", "dBFS", ("soft", "moderate", "loud"), "level of the speech (RMS)"),
    "loudness_trend": EvidenceName(
        "sound", "dB", ("falling", "level", "rising"), "level of the second half minus the first"
    ),
    "speech_rate": EvidenceName(
        "sound",
        "syllables/s",
        ("slow", "normal", "fast"),
        "syllables from the first to the last speech, pauses included",
    ),
    "pause_share": EvidenceName(
        "sound", "share", ("few", "some", "many"), "share of pauses from the first to the last speech"
    ),
    "longest_pause_s": EvidenceName("sound", "s", ("none", "short", "long"), "longest pause between two words"),
    "voiced_share": EvidenceName("sound", "share", ("low", "usual"), "share of the speech with vibrating vocal folds"),
    "tremor": EvidenceName(
        "sound", "share", ("steady", "trembling"), "share of the pitch's movement that is between 5 and 12 Hz"
    ),
    "voice_tone": EvidenceName(
        "sound",
        "",
        ("steady", "trembling", "flat", "lively"),
        "the one way in which a synthetic voice moves; manifest only, not ordered",
    ),
    "digital_silence": EvidenceName(
        "sound", "", (), "the whole sound holds nothing; then spans of it in which every sample is 0"
    ),
    "laughter": EvidenceName("sound", "", (), "laughter; only where something measures it"),
    "crying": EvidenceName("sound", "", (), "sobbing; only where something measures it"),
    "sigh": EvidenceName("sound", "", (), "a sigh; only where something measures it"),
    "subtitle": EvidenceName("text", "", (), "words written into the picture for a while"),
    "mark": EvidenceName("text", "", (), "words that stand in a corner throughout, such as a broadcaster's logo"),
    "transcript": EvidenceName("text", "", (), "words that were heard, not read"),
    "topic": EvidenceName(
        "text",
        "",
        ("plain", "kind", "hostile", "mournful", "alarming", "astonished"),
        "what the words are about; manifest only, not ordered",
    ),
    "face_count": EvidenceName("pictures", "faces", ("none", "one", "several"), "faces in most of the frames"),
    "face_share": EvidenceName("pictures", "share", ("none", "some", "most"), "share of the frames with a face"),
    "mouth_open": EvidenceName("pictures", "eye distances", ("closed", "open", "wide"), "gap between the inner lips"),
    "mouth_width": EvidenceName("pictures", "eye distances", ("narrow", "usual", "wide"), "corner to corner"),
    "mouth_corners": EvidenceName(
        "pictures", "eye distances", ("drooping", "level", "raised"), "corners above the middle of the lips"
    ),
    "mouth_asymmetry": EvidenceName(
        "pictures", "eye distances", ("even", "one-sided"), "difference in height between the corners"
    ),
    "mouth_shape": EvidenceName(
        "pictures",
        "",
        ("closed", "smiling", "drooping", "open", "stretched", "pressed", "sneering", "smirking"),
        "the one shape of a drawn mouth; manifest only, not ordered",
    ),
    "lip_press": EvidenceName("pictures", "share", ("relaxed", "pressed"), "lips pressed together; manifest only"),
    "nose_wrinkle": EvidenceName("pictures", "share", ("smooth", "wrinkled"), "wrinkled nose; manifest only"),
    "cheek_raise": EvidenceName("pictures", "share", ("relaxed", "raised"), "raised cheeks; manifest only"),
    "brow_height": EvidenceName("pictures", "eye distances", ("lowered", "level", "raised"), "brows above the eyes"),
    "brow_gap": EvidenceName(
        "pictures", "eye distances", ("drawn together", "usual", "apart"), "between the inner ends of the brows"
    ),
    "brow_slant": EvidenceName(
        "pictures", "eye distances", ("level", "slanted"), "inner ends of the brows above the outer ends"
    ),
    "eye_opening": EvidenceName("pictures", "eye widths", ("narrowed", "usual", "wide"), "gap between the lids"),
    "gaze_horizontal": EvidenceName(
        "pictures", "eye widths", ("left", "ahead", "right"), "iris from the middle of the eye, as seen in the picture"
    ),
    "gaze_vertical": EvidenceName("pictures", "eye widths", ("down", "ahead", "up"), "iris from the line of the eye"),
    "head_yaw": EvidenceName("pictures", "degrees", ("left", "ahead", "right"), "head turned, as seen in the picture"),
    "head_pitch": EvidenceName("pictures", "degrees", ("down", "level", "up"), "head bowed or raised"),
    "head_roll": EvidenceName(
        "pictures", "degrees", ("left", "upright", "right"), "head tilted sideways, as seen in the picture"
    ),
    "head_movement": EvidenceName(
        "pictures", "face widths/s", ("still", "moving", "restless"), "path of the face's centre per second"
    ),
    "head_posture": EvidenceName(
        "pictures",
        "",
        ("still", "forward", "back", "bowed", "tilted", "restless"),
        "the one posture of a drawn head; manifest only, not ordered",
    ),
    "lean": EvidenceName("pictures", "share", ("back", "upright", "forward"), "body leaning; manifest only"),
    "tears": EvidenceName("pictures", "", (), "tears; only where something measures them"),
    "hands": EvidenceName("pictures", "", (), "what the hands do; only where something measures it"),
    "body_movement": EvidenceName(
        "pictures", "", (), "how the body below the head moves; only where something measures it"
    ),
}
"""The names that items can have."""


@dataclass(frozen=True)
class EvidenceItem:
    """One measurement."""

    name: str
    """A key of `EVIDENCE_NAMES`."""
    side: EvidenceSide
    value: float | str | bool
    unit: str
    """The table's, or `cue` for a word of a manifest."""
    start_s: float
    """Beginning of the span that was measured, from the file's beginning."""
    stop_s: float
    """End (exclusive) of the span."""
    confidence: float | None
    """0 to 1, as stated by what measured it; None where it states none."""
    measured_by: str
    """Name and version of the method or net."""
    band: str | None = None
    """One of the name's bands; None where nothing is banded."""
    near: str | None = None
    """The neighbouring band where the value is close to the threshold between the two; both words are then fair."""
    phase: Phase = "clip"


@dataclass(frozen=True)
class Unmeasured:
    """A measurement that was not possible."""

    name: str
    """A key of `EVIDENCE_NAMES`."""
    side: EvidenceSide
    reason: str
    """One sentence."""


@dataclass(frozen=True)
class Evidence:
    """What is known about one clip by measurement."""

    has_pictures: bool
    has_sound: bool
    duration_s: float
    """Of the part of the clip that was read."""
    items: tuple[EvidenceItem, ...] = ()
    unmeasured: tuple[Unmeasured, ...] = ()

    def find(self, name: str, phase: Phase = "clip") -> EvidenceItem | None:
        """Return the first item of a name and phase; None where there is none.

        Args:
            name: a key of `EVIDENCE_NAMES`.
            phase: the part of the clip.
        """
        return next((item for item in self.items if item.name == name and item.phase == phase), None)

    def all(self, name: str) -> tuple[EvidenceItem, ...]:
        """Return every item of a name, in order: subtitles are several.

        Args:
            name: a key of `EVIDENCE_NAMES`.
        """
        return tuple(item for item in self.items if item.name == name)

    def why_not(self, name: str) -> str | None:
        """Return the reason why something was not measured; None where it was or nobody tried.

        Args:
            name: a key of `EVIDENCE_NAMES`.
        """
        return next((missing.reason for missing in self.unmeasured if missing.name == name), None)

    def without(self, side: Literal["pictures", "sound"]) -> "Evidence":
        """Return the evidence of the same clip with one side taken away, as a model saw it that did not get that side.

        Args:
            side: what is taken away. Text that was read in the pictures goes with them, a transcript with the sound.
        """
        lost_text = {"transcript"} if side == "sound" else {"subtitle", "mark"}
        return replace(
            self,
            has_pictures=self.has_pictures and side != "pictures",
            has_sound=self.has_sound and side != "sound",
            items=tuple(item for item in self.items if item.side != side and item.name not in lost_text),
            unmeasured=tuple(item for item in self.unmeasured if item.side != side and item.name not in lost_text),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values: one line of `evidence.jsonl` apart from the clip's id."""
        return asdict(self) | {
            "items": [asdict(item) for item in self.items],
            "unmeasured": [asdict(item) for item in self.unmeasured],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Evidence":
        """Read what `to_json` wrote; other keys, such as a clip's id, are ignored.

        Args:
            record: the JSON object.

        Raises:
            ValueError: a field is missing, or an item has a name or side that is not in the table.
        """
        try:
            return cls(
                has_pictures=bool(record["has_pictures"]),
                has_sound=bool(record["has_sound"]),
                duration_s=float(record["duration_s"]),
                items=tuple(_checked(EvidenceItem(**_known(EvidenceItem, item))) for item in record["items"]),
                unmeasured=tuple(_checked(Unmeasured(**_known(Unmeasured, item))) for item in record["unmeasured"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"evidence record: {error}; expected what `r1omni evidence --json` writes: measure the clip again"
            ) from error


def _known(kind: type[EvidenceItem] | type[Unmeasured], record: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {key: value for key, value in record.items() if key in names}


_Row = TypeVar("_Row", EvidenceItem, Unmeasured)


def _checked(item: _Row) -> _Row:
    if item.name not in EVIDENCE_NAMES or item.side not in get_args(EvidenceSide):
        raise ValueError(
            f"evidence record: name {item.name!r} on side {item.side!r} is not known; measure the clip again"
        )
    return item


def names_of(side: EvidenceSide) -> list[str]:
    """Return the names of one side, in the table's order.

    Args:
        side: the side.
    """
    return [name for name, row in EVIDENCE_NAMES.items() if row.side == side]
