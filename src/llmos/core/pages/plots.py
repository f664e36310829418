"""Plots as SVG figures for an HTML page, whose style sheet defines the colours for light and dark.

Each figure has a text description for screen readers. Numbers in, HTML out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 44
LABEL_HEIGHT, CHARACTER_WIDTH = 14, 7.2

STYLE = """
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--dim); font: 12px system-ui, sans-serif; }
svg .name { fill: var(--ink); }
svg .highlighted { font-weight: 600; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .removed { fill: var(--line); opacity: 0.6; }
svg .s0 { --series: var(--first); } svg .s1 { --series: var(--second); } svg .s2 { --series: var(--third); }
svg .s3 { --series: var(--fourth); }
svg .bar, svg .dot { fill: var(--series); }
svg .stroke { fill: none; stroke: var(--series); stroke-width: 2; stroke-linejoin: round; }
svg .lead { stroke: var(--dim); stroke-width: 0.75; }
svg.share { height: 10px; }
svg .pale { stroke: var(--series); stroke-width: 1.5; fill: var(--paper); }
"""
"""The plots' part of the page's style sheet. It uses the page's colour variables."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a line plot."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Bars:
    """One series of a histogram."""

    name: str
    shares: Sequence[float]


@dataclass(frozen=True, slots=True)
class Dot:
    """One point of a scatter plot."""

    name: str
    x: float
    y: float
    is_highlighted: bool


def lines(title: str, series: Sequence[Line], *, x_label: str, removed: Sequence[int] = ()) -> str:
    """Return a line plot of values over layers. `removed`: layers to mark as removed."""
    count = max([int(x) for line in series for x, _ in line.points] + list(removed)) + 1
    highest = max(y for line in series for _, y in line.points)
    ticks = _ticks(0, highest)
    to_x = _scale(-0.5, count - 0.5, LEFT, WIDTH - RIGHT)
    to_y = _scale(0, ticks[-1], HEIGHT - BOTTOM, TOP)
    width, height = to_x(1) - to_x(0), HEIGHT - TOP - BOTTOM
    body = [
        f'<rect class="removed" x="{to_x(i - 0.5):.1f}" y="{TOP}" width="{width:.1f}" height="{height}"/>'
        for i in removed
    ]
    body += _y_axis([(tick, _share(tick)) for tick in ticks], to_y)
    step = max(1, -(-count // 16))
    body += _x_axis([(i, str(i)) for i in range(0, count, step)], to_x, x_label)
    for number, line in enumerate(series):
        points = [(to_x(x), to_y(y)) for x, y in line.points]
        body.append(f'<g class="s{number}">')
        body.append(f'<polyline class="stroke" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')
        body += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points]
        body.append("</g>")
    description = "; ".join(f"{line.name} at most {_share(max(y for _, y in line.points))}" for line in series)
    return _figure(title, description, body, [line.name for line in series])


def bars(title: str, series: Sequence[Bars], bins: Sequence[str], *, x_label: str) -> str:
    """Return a histogram: the share of each bin, with the series side by side."""
    ticks = _ticks(0, max(share for each in series for share in each.shares))
    to_x = _scale(0, len(bins), LEFT, WIDTH - RIGHT)
    to_y = _scale(0, ticks[-1], HEIGHT - BOTTOM, TOP)
    body = _y_axis([(tick, _share(tick)) for tick in ticks], to_y)
    width = (to_x(1) - to_x(0)) * 0.8 / len(series)
    for number, each in enumerate(series):
        body.append(f'<g class="s{number}">')
        for i, share in enumerate(each.shares):
            x, y = to_x(i + 0.1) + number * width, to_y(share)
            body.append(
                f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{max(width - 1, 1):.1f}" '
                f'height="{max(to_y(0) - y, 0):.1f}"/>'
            )
        body.append("</g>")
    body += _x_axis([(i + 0.5, label) for i, label in enumerate(bins)], to_x, x_label)
    most = [each.shares.index(max(each.shares)) for each in series]
    description = "; ".join(f"{each.name} mostly {bins[i]}" for each, i in zip(series, most, strict=True))
    return _figure(title, description, body, [each.name for each in series])


def share_bar(share: float) -> str:
    """Return a small bar whose length is a share of the whole, to stand beside the number."""
    width = 100 * min(max(share, 0.0), 1.0)
    return (
        f'<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><g class="s0">'
        f'<rect class="bar" width="{max(width, 0.5):.1f}" height="10"/></g></svg>'
    )


def scatter(title: str, dots: Sequence[Dot], *, x_label: str, y_label: str, x_text: Callable[[float], str]) -> str:
    """Return a scatter plot with labelled dots.

    The vertical axis is logarithmic where the largest value is more than three times the smallest.
    """
    xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
    is_log = max(ys) > 3 * min(ys)
    x_ticks = _ticks(min(xs) - _margin(xs), max(xs) + _margin(xs))
    y_ticks = _log_ticks(min(ys), max(ys)) if is_log else _ticks(min(ys) - _margin(ys), max(ys) + _margin(ys))
    to_x = _scale(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT)
    bend: Callable[[float], float] = math.log if is_log else float
    low, high = (min(ys) / 1.1, max(ys) * 1.1) if is_log else (y_ticks[0], y_ticks[-1])
    straight = _scale(bend(low), bend(high), HEIGHT - BOTTOM, TOP)

    def to_y(value: float) -> float:
        return straight(bend(value))

    body = _y_axis([(tick, f"{tick:,g}") for tick in y_ticks if low <= tick <= high], to_y)
    body += _x_axis([(tick, x_text(tick)) for tick in x_ticks], to_x, x_label)
    occupied = [_Box(to_x(dot.x) - 6, to_x(dot.x) + 6, to_y(dot.y) + 4) for dot in dots]
    for dot in sorted(dots, key=lambda dot: (not dot.is_highlighted, dot.y)):
        x, y = to_x(dot.x), to_y(dot.y)
        width = CHARACTER_WIDTH * len(dot.name) * (1.1 if dot.is_highlighted else 1)
        box = _place_label(x, width, y + 4, occupied)
        occupied.append(box)
        if abs(box.y - 4 - y) > 1:  # Draw a line from the dot to its label.
            near = box.begin if box.begin > x else box.end
            body.append(f'<line class="lead" x1="{x:.1f}" y1="{y:.1f}" x2="{near:.1f}" y2="{box.y - 4:.1f}"/>')
        body.append(
            f'<text class="name{" highlighted" if dot.is_highlighted else ""}" y="{box.y:.1f}" '
            + (f'x="{box.begin:.1f}">' if box.begin > x else f'x="{box.end:.1f}" text-anchor="end">')
            + f"{escape(dot.name)}</text>"
        )
    for dot in sorted(dots, key=lambda dot: dot.is_highlighted):  # Highlighted dots are drawn last, above the others.
        kind = (
            '<g class="s0"><circle class="dot" r="6"'
            if dot.is_highlighted
            else '<g class="s1"><circle class="pale" r="5"'
        )
        body.append(f'{kind} cx="{to_x(dot.x):.1f}" cy="{to_y(dot.y):.1f}"/></g>')
    description = "; ".join(f"{dot.name}: {x_text(dot.x)}, {dot.y:,.2f}" for dot in dots)
    return _figure(title, description, body, [], y_label=y_label)


def _figure(title: str, description: str, body: Sequence[str], names: Sequence[str], *, y_label: str = "") -> str:
    """Return a figure with a title, a legend of the named series, and the plot."""
    entries = [
        f'<svg class="key" viewBox="0 0 12 12" aria-hidden="true"><g class="s{i}"><rect class="bar" width="12" '
        f'height="12" rx="2"/></g></svg>{escape(name)}'
        for i, name in enumerate(names)
    ]
    legend = f'<p class="legend">{" ".join(f"<span>{entry}</span>" for entry in entries)}</p>' if entries else ""
    axis = f'<p class="legend">{escape(y_label)}</p>' if y_label else ""
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>{legend}{axis}"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}. {description}.")}">'
        f"{''.join(body)}</svg></figure>"
    )


def _y_axis(ticks: Sequence[tuple[float, str]], to_y: Callable[[float], float]) -> list[str]:
    """Return grid lines with labels."""
    return [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{to_y(value):.1f}" y2="{to_y(value):.1f}"/>'
        f'<text x="{LEFT - 8}" y="{to_y(value) + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        for value, text in ticks
    ]


def _x_axis(ticks: Sequence[tuple[float, str]], to_x: Callable[[float], float], label: str) -> list[str]:
    numbers = [
        f'<text x="{to_x(value):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(text)}</text>'
        for value, text in ticks
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    return [*numbers, f'<text x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(label)}</text>']


def _scale(low: float, high: float, to_low: float, to_high: float) -> Callable[[float], float]:
    """Return the linear map from [low, high] to [to_low, to_high]."""
    span = (high - low) or 1.0
    return lambda value: to_low + (value - low) / span * (to_high - to_low)


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return evenly spaced round numbers that cover [low, high]."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * count >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers around [low, high] for a logarithmic axis."""
    factors = (1, 1.5, 2, 3, 4, 5, 7) if high / low < 10 else (1, 2, 5) if high / low < 1000 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**power for power in powers for factor in factors]


def _margin(values: Sequence[float]) -> float:
    """Return the space to leave on both sides, so that no dot is on an edge."""
    return 0.08 * ((max(values) - min(values)) or abs(max(values)) or 1.0)


@dataclass(frozen=True, slots=True)
class _Box:
    """An occupied area, one line of text high."""

    begin: float
    end: float
    y: float

    def overlaps(self, other: "_Box") -> bool:
        return abs(self.y - other.y) < LABEL_HEIGHT - 2 and self.begin < other.end and other.begin < self.end


def _place_label(x: float, width: float, y: float, occupied: Sequence[_Box]) -> _Box:
    """Return the nearest free box for a dot's label; of two equally near ones, that on the right."""
    candidates = []
    for row in range(10):
        for height in (y - row * LABEL_HEIGHT, y + row * LABEL_HEIGHT):
            gap = 10 if not row else 18
            candidates += [_Box(x + gap, x + gap + width, height), _Box(x - gap - width, x - gap, height)]
    inside = [
        box for box in candidates if box.begin > LEFT and box.end < WIDTH - 2 and TOP - 4 < box.y < HEIGHT - BOTTOM - 2
    ]
    return next((box for box in inside if not any(box.overlaps(each) for each in occupied)), candidates[0])


def _share(value: float) -> str:
    digits = 0 if value == 0 or value >= 0.1 else 1 if value >= 0.01 else 2
    return f"{100 * value:.{digits}f} %"
