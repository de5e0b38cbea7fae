"""Makes items from values: unit and side come from the table of names, bands from their thresholds."""

from r1omni.core.evidence import EVIDENCE_NAMES, EvidenceItem, Phase, Unmeasured
from r1omni.evidence.bands import find_band


def make_item(
    name: str,
    value: float | str | bool,
    span_s: tuple[float, float],
    measured_by: str,
    *,
    confidence: float | None = None,
    phase: Phase = "clip",
) -> EvidenceItem:
    """Return one measurement.

    Args:
        name: a key of `EVIDENCE_NAMES`.
        value: in the unit given there.
        span_s: beginning and end of what was measured, seconds from the file's beginning.
        measured_by: name and version of the method or net.
        confidence: 0 to 1; None where the method states none.
        phase: the part of the clip.
    """
    row = EVIDENCE_NAMES[name]
    band, near = (None, None) if isinstance(value, str | bool) else find_band(name, value)
    shown = value if isinstance(value, str | bool) else round(float(value), 4)
    sure = None if confidence is None else round(float(confidence), 3)
    start_s, stop_s = round(float(span_s[0]), 3), round(float(span_s[1]), 3)
    return EvidenceItem(name, row.side, shown, row.unit, start_s, stop_s, sure, measured_by, band, near, phase)


def all_unmeasured(names: list[str], reason: str) -> list[Unmeasured]:
    """Return the record of what could not be measured, all for one reason.

    Args:
        names: keys of `EVIDENCE_NAMES`.
        reason: one sentence.
    """
    return [Unmeasured(name, EVIDENCE_NAMES[name].side, reason) for name in names]
