"""Lanes of a clip's timeline as inline SVG: waveform, curves and signed bars, all on one time axis.

A lane is stretched to the width of the page, so that it holds no text: the page puts words and numbers beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from r1omni.report.charts import ticks

_WIDTH = 1000.0


@dataclass(frozen=True)
class TimeAxis:
    """The part of the file that a timeline shows; a still image has no length."""

    start_s: float
    stop_s: float

    def percent(self, time_s: float) -> float:
        """Return where a time lies, in percent of the width.

        Args:
            time_s: from the file's beginning.
        """
        length_s = self.stop_s - self.start_s
        return 100 * min(1.0, max(0.0, (time_s - self.start_s) / length_s)) if length_s > 0 else 0.0

    def place(self, start_s: float, stop_s: float) -> dict[str, float]:
        """Return the left edge and the width of a span, in percent.

        Args:
            start_s: beginning.
            stop_s: end.
        """
        left = self.percent(start_s)
        return {"left": round(left, 2), "width": round(self.percent(stop_s) - left, 2)}

    def marks(self) -> list[dict[str, Any]]:
        """Return the times that the axis names; none of a still image."""
        if self.stop_s <= self.start_s:
            return []
        times_s = [time for time in ticks(self.start_s, self.stop_s, 8) if self.start_s <= time <= self.stop_s]
        return [{"left": round(self.percent(time_s), 2), "name": time_name(time_s, self.stop_s)} for time_s in times_s]


def time_name(time_s: float, longest_s: float = 0.0) -> str:
    """Return a time in words: seconds, or minutes and seconds in a clip of more than a minute.

    Args:
        time_s: from the file's beginning.
        longest_s: end of the clip.
    """
    if longest_s > 60:
        return f"{int(time_s) // 60}:{int(time_s) % 60:02}"
    return f"{time_s:.3g} s" if time_s < 10 else f"{time_s:.1f} s"


def waveform_lane(peaks: Sequence[float], span_s: Sequence[float], axis: TimeAxis) -> Markup:
    """Draw a waveform's envelope, scaled to its loudest sample.

    Args:
        peaks: largest absolute sample of each column, of full scale.
        span_s: beginning and end of the sound.
        axis: of the timeline.
    """
    loudest = max(peaks, default=0.0)
    place = axis.place(*span_s)
    step = 10 * place["width"] / max(1, len(peaks))
    bars = "".join(
        f"M{10 * place['left'] + (index + 0.5) * step:.1f} {20 - max(0.4, 19 * peak / (loudest or 1)):.1f}"
        f"V{20 + max(0.4, 19 * peak / (loudest or 1)):.1f}"
        for index, peak in enumerate(peaks)
    )
    label = f"Waveform, peak {loudest:.2f} of full scale"
    return _lane(f'<path class="wave" d="{bars}"/>', label, 40)


def curve_lane(
    points: Sequence[Sequence[float | None]], axis: TimeAxis, name: str, unit: str, least_range: float = 0.0
) -> dict[str, Any] | None:
    """Draw a curve with its gaps; None where it has no point.

    Args:
        points: time and value; a value of None is a gap.
        axis: of the timeline.
        name: of the curve.
        unit: of its values.
        least_range: values that differ by less do not fill the lane, so that a steady sound looks steady.

    Returns:
        The drawing, and the lowest and highest value.
    """
    known = [value for _, value in points if value is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    bottom = (low + high - max(high - low, least_range)) / 2
    height = max(high - low, least_range) or 1
    path, is_drawing = [], False
    for time_s, value in points:
        if value is None or time_s is None:
            is_drawing = False
            continue
        y = 37 - 34 * (value - bottom) / height
        path.append(f"{'L' if is_drawing else 'M'}{10 * axis.percent(time_s):.1f} {y:.1f}")
        if not is_drawing:
            path.append("h.1")  # a point between two gaps is seen too
        is_drawing = True
    label = f"{name} between {low:.0f} and {high:.0f} {unit}"
    return {"svg": _lane(f'<path class="curve" d="{"".join(path)}"/>', label, 40), "low": low, "high": high}


def effect_lane(spans: Sequence[Mapping[str, Any]], axis: TimeAxis, largest: float, style: int, side: str) -> Markup:
    """Draw what each span brings: bars above the line speak for the answer, bars below against it.

    Args:
        spans: `start_s`, `stop_s` and `effect` of each.
        axis: of the timeline.
        largest: absolute effect at which a bar is as high as the lane.
        style: number of the hatching.
        side: what was left out, in words.
    """
    bars = []
    for span in spans:
        place = axis.place(span["start_s"], span["stop_s"])
        height = 24 * abs(span["effect"]) / (largest or 1)
        top = 26 - height if span["effect"] > 0 else 26
        bars.append(
            f'<rect class="bar s{style}" fill="url(#hatch{style})" x="{10 * place["left"] + 1:.1f}" y="{top:.1f}" '
            f'width="{max(1.0, 10 * place["width"] - 2):.1f}" height="{max(0.6, height):.1f}"/>'
        )
    said = "; ".join(f"{span['start_s']:.1f} to {span['stop_s']:.1f} s: {span['effect']:+.2f}" for span in spans)
    line = f'<line class="axis" x1="0" x2="{_WIDTH:.0f}" y1="26" y2="26"/>'
    return _lane("".join(bars) + line, f"What each span of the {side} brings, in nats. {said}", 52)


def _lane(content: str, label: str, height: int) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>').format(
        int(_WIDTH), height, label, Markup(content)
    )


def signed_bars(rows: Sequence[tuple[str, float, str, int]], title: str, *, width_px: int = 340) -> Markup:
    """Draw one horizontal bar per row, to the right of the line for positive values and to the left for negative ones.

    Args:
        rows: name, value, what is written beside the bar, and the number of its hatching.
        title: what is shown, for the accessible name.
        width_px: of the drawing's own coordinates.
    """
    left, right, bar = 84, 128, 26
    low, high = min(0.0, *(value for _, value, _, _ in rows)), max(0.0, *(value for _, value, _, _ in rows))
    scale = (width_px - left - right) / ((high - low) or 1)
    zero = left - low * scale
    parts = []
    for index, (name, value, said, style) in enumerate(rows):
        y, length = 4 + index * bar, abs(value) * scale
        x = zero if value >= 0 else zero - length
        parts.append(
            f'<rect class="bar s{style}" fill="url(#hatch{style})" x="{x:.1f}" y="{y + 3}" width="{length:.1f}" '
            f'height="{bar - 8}"/>'
        )
        parts.append(
            Markup('<text class="name" x="{}" y="{}" text-anchor="end">{}</text>').format(left - 8, y + 17, name)
        )
        parts.append(
            Markup('<text class="value" x="{:.1f}" y="{}">{}</text>').format(max(zero, x + length) + 6, y + 17, said)
        )
    height = 8 + bar * len(rows)
    parts.append(f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{height}"/>')
    label = f"{title}. " + "; ".join(f"{name}: {said}" for name, _, said, _ in rows)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width_px, height, label, Markup("").join(map(Markup, parts))
    )
