"""Charts as inline SVG: lines, bars, intervals. Readable without colour: dashes, hatching, shapes, printed numbers.

Colours are classes of the page's style sheet (`s0` to `s5`), so that one chart serves light and dark. Every chart
has a sentence that describes it for those who cannot see it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_NUM_STYLES = 6
_DASHES = ("", "7 4", "2 3", "10 3 2 3", "4 2", "1 2")
_MAX_POINTS = 240  # per line; more cannot be distinguished at the width of a page
_MARGIN = {"left": 46, "right": 14, "top": 12, "bottom": 34}


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    """None and NaN leave a gap."""


@dataclass(frozen=True)
class Chart:
    """One chart of lines over steps."""

    title: str
    series: Sequence[Series]
    x_label: str = "step"
    y_label: str = ""
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """One bar, in percent; None is shown as "none" and has no bar."""

    name: str
    value: float | None
    text: str | None = None
    """Shown at its end; None shows the value with one decimal."""

    @property
    def shown(self) -> str:
        """What is written at its end."""
        return self.text or ("none" if self.value is None else f"{self.value:.1f}")


@dataclass(frozen=True)
class IntervalPoint:
    """One figure with its interval and the published figure, in percent."""

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    published: float | None = None


def short(value: float) -> str:
    """Format a number with at most four significant digits."""
    if value == 0 or 0.01 <= abs(value) < 10000:
        return f"{value:.4g}"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers that span a range.

    Args:
        low: lowest value.
        high: highest value; may equal `low`.
        count: approximate number.
    """
    if high <= low:
        margin = abs(low) / 2 or 0.5
        low, high = low - margin, high + margin
    rough = (high - low) / max(1, count - 1)
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _known(series: Series) -> list[tuple[float, float]]:
    pairs = zip(series.x, series.y, strict=True)
    return [(float(x), float(y)) for x, y in pairs if y is not None and math.isfinite(y)]


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Centred running mean; the window is cut at both ends.

    Args:
        values: the raw values.
        window: number of values averaged.
    """
    half = window // 2
    return [
        sum(values[max(0, i - half) : i + half + 1]) / len(values[max(0, i - half) : i + half + 1])
        for i in range(len(values))
    ]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    stride = -(-len(points) // _MAX_POINTS)
    return points if stride <= 1 else [*points[:-1:stride], points[-1]]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def line_chart(chart: Chart, *, width_px: int = 420, height_px: int = 230) -> Markup:
    """Draw lines: the running mean strong, each with its own dashes, and the raw values faint behind it.

    Args:
        chart: what to draw.
        width_px: of the drawing's own coordinates; the page scales it.
        height_px: likewise.
    """
    lines = [(series.name, _known(series)) for series in chart.series]
    drawn = [points for _, points in lines if points]
    if not drawn:
        return Markup('<p class="none">{}: nothing was recorded.</p>').format(chart.title)
    x_ticks = ticks(min(x for p in drawn for x, _ in p), max(x for p in drawn for x, _ in p))
    y_ticks = ticks(min(y for p in drawn for _, y in p), max(y for p in drawn for _, y in p))
    x_low, x_high = min(x for p in drawn for x, _ in p), max(x for p in drawn for x, _ in p)
    left, top = _MARGIN["left"], _MARGIN["top"]
    inner_w, inner_h = width_px - left - _MARGIN["right"], height_px - top - _MARGIN["bottom"]

    def at_x(x: float) -> float:
        return left + inner_w * (x - x_low) / ((x_high - x_low) or 1)

    def at_y(y: float) -> float:
        return top + inner_h * (1 - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]))

    parts: list[str] = []
    for value in y_ticks:
        parts.append(
            f'<line class="grid" x1="{left}" x2="{left + inner_w}" y1="{at_y(value):.1f}" y2="{at_y(value):.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{left - 6}" y="{at_y(value) + 4:.1f}" text-anchor="end">{short(value)}</text>'
        )
    for value in (tick for tick in x_ticks if x_low <= tick <= x_high):
        parts.append(
            f'<text class="tick" x="{at_x(value):.1f}" y="{height_px - 18}" text-anchor="middle">{short(value)}</text>'
        )
    parts.append(
        f'<text class="tick" x="{left + inner_w}" y="{height_px - 4}" text-anchor="end">{escape(chart.x_label)}</text>'
    )
    sentences = []
    for index, (name, points) in enumerate(lines):
        if not points:
            continue
        style = index % _NUM_STYLES
        averaged = smooth([y for _, y in points], max(1, len(points) // 20))
        trend = [(at_x(x), at_y(y)) for (x, _), y in zip(points, averaged, strict=True)]
        if len(points) > 20:
            raw = [(at_x(x), at_y(y)) for x, y in points]
            parts.append(f'<path class="raw s{style}" d="{_path(_thinned(raw))}"/>')
        parts.append(f'<path class="line s{style}" stroke-dasharray="{_DASHES[style]}" d="{_path(_thinned(trend))}"/>')
        end_x, end_y = trend[-1]
        parts.append(f'<circle class="dot s{style}" cx="{end_x:.1f}" cy="{end_y:.1f}" r="3"/>')
        sentences.append(f"{name} goes from {short(averaged[0])} to {short(averaged[-1])}")
    label = f"{chart.title} over {chart.x_label}: {'; '.join(sentences)}."
    legend = Markup("").join(
        Markup("<li>{}<span>{}</span> <b>{}</b></li>").format(
            line_sample(index), name, f"{smooth([y for _, y in points], max(1, len(points) // 20))[-1]:.3g}"
        )
        for index, (name, points) in enumerate(lines)
        if points
    )
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width_px, height_px, label, Markup("".join(parts))
    )
    return svg + Markup('<ul class="legend">{}</ul>').format(legend)


def line_sample(index: int) -> Markup:
    """Return the sample of a line for a legend."""
    style = index % _NUM_STYLES
    return Markup(
        '<svg class="sample" viewBox="0 0 30 10" aria-hidden="true">'
        '<path class="line s{}" stroke-dasharray="{}" d="M0 5L30 5"/></svg>'
    ).format(style, _DASHES[style])


def hatching() -> Markup:
    """Return the fill patterns of bars, defined once per page."""
    angles = (None, 45, 135, 90, 0, 22)
    patterns = []
    for style, angle in enumerate(angles):
        stripe = (
            '<rect width="8" height="8" class="tint"/>'
            if angle is None
            else '<rect width="8" height="8" class="wash"/><rect width="3" height="8" class="tint"/>'
        )
        patterns.append(
            f'<pattern id="hatch{style}" class="s{style}" width="8" height="8" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate({angle or 0})">{stripe}</pattern>'
        )
    return Markup('<svg class="defs" width="0" height="0" aria-hidden="true"><defs>{}</defs></svg>').format(
        Markup("".join(patterns))
    )


def bar_chart(groups: Sequence[tuple[str, Sequence[Bar]]], title: str, *, width_px: int = 420) -> Markup:
    """Draw grouped horizontal bars from 0 to 100 percent, each hatched by its series and ending in its number.

    Args:
        groups: (name of the group, its bars); the bars are in the same order in every group.
        title: what is shown, for the accessible name.
        width_px: of the drawing's own coordinates.
    """
    bar, gap, left, right = 13, 9, 96, 42
    rows: list[str] = []
    y = 4.0
    scale = (width_px - left - right) / 100
    sentences = []
    for name, bars in groups:
        middle = y + bar * len(bars) / 2 + 4
        rows.append(f'<text class="name" x="{left - 8}" y="{middle:.1f}" text-anchor="end">{escape(name)}</text>')
        for index, item in enumerate(bars):
            style = index % _NUM_STYLES
            length = scale * (item.value or 0)
            rows.append(
                f'<rect class="bar s{style}" fill="url(#hatch{style})" x="{left}" y="{y + 1:.1f}" '
                f'width="{length:.1f}" height="{bar - 2}"/>'
                f'<text class="value" x="{left + length + 5:.1f}" y="{y + bar - 3:.1f}">{escape(item.shown)}</text>'
            )
            y += bar
        sentences.append(f"{name}: " + ", ".join(f"{item.name} {item.shown}" for item in bars))
        y += gap
    rows.insert(0, f'<line class="axis" x1="{left}" x2="{left}" y1="0" y2="{y:.1f}"/>')
    return Markup('<svg viewBox="0 0 {} {:.0f}" role="img" aria-label="{}">{}</svg>').format(
        width_px, y, f"{title}. {'; '.join(sentences)}.", Markup("".join(rows))
    )


def bar_legend(names: Sequence[str]) -> Markup:
    """Return the legend of a bar chart: the hatching of each series."""
    items = Markup("").join(
        Markup(
            '<li><svg class="sample" viewBox="0 0 30 10" aria-hidden="true"><rect class="bar s{0}" '
            'fill="url(#hatch{0})" width="30" height="10"/></svg><span>{1}</span></li>'
        ).format(index % _NUM_STYLES, name)
        for index, name in enumerate(names)
    )
    return Markup('<ul class="legend">{}</ul>').format(items)


def interval_chart(points: Sequence[IntervalPoint], title: str, *, width_px: int = 420) -> Markup:
    """Draw figures as filled dots with their intervals, and the published figures as open diamonds.

    Args:
        points: one row each, in percent.
        title: what is shown.
        width_px: of the drawing's own coordinates.
    """
    row, left, right, top = 24, 104, 14, 4
    height = top + row * len(points) + 22
    scale = (width_px - left - right) / 100
    parts, sentences = [], []
    for value in (0, 25, 50, 75, 100):
        x = left + scale * value
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{height - 20}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 6}" text-anchor="middle">{value}</text>')
    for index, point in enumerate(points):
        y = top + row * (index + 0.5)
        parts.append(f'<text class="name" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(point.name)}</text>')
        said = f"{point.name} {'none' if point.value is None else f'{point.value:.1f}'}"
        if point.interval is not None:
            low, high = point.interval
            x1, x2 = left + scale * low, left + scale * high
            parts.append(f'<line class="whisker" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y}" y2="{y}"/>')
            said += f" ({low:.1f} to {high:.1f})"
        if point.published is not None:
            x = left + scale * point.published
            parts.append(
                f'<path class="diamond" d="M{x:.1f} {y - 6}L{x + 6:.1f} {y}L{x:.1f} {y + 6}L{x - 6:.1f} {y}Z"/>'
            )
            said += f", published {point.published:.1f}"
        if point.value is not None:
            parts.append(f'<circle class="point" cx="{left + scale * point.value:.1f}" cy="{y}" r="4.5"/>')
        sentences.append(said)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width_px, height, f"{title}, percent. {'; '.join(sentences)}.", Markup("".join(parts))
    )
