"""A card's plots as SVG, to stand in a page: its style sheet gives the colours, so that they read on light and on dark.

Pure: numbers in, text out. Each says in words what it shows.
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
svg .mine { font-weight: 600; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .gone { fill: var(--line); opacity: 0.6; }
svg .s0 { --series: var(--first); } svg .s1 { --series: var(--second); } svg .s2 { --series: var(--third); }
svg .s3 { --series: var(--fourth); }
svg .bar, svg .dot { fill: var(--series); }
svg .stroke { fill: none; stroke: var(--series); stroke-width: 2; stroke-linejoin: round; }
svg .lead { stroke: var(--dim); stroke-width: 0.75; }
svg .pale { stroke: var(--series); stroke-width: 1.5; fill: var(--paper); }
"""
"""Of the page: the plots name no colour of their own."""


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Bars:
    name: str
    shares: Sequence[float]


@dataclass(frozen=True, slots=True)
class Dot:
    name: str
    x: float
    y: float
    is_mine: bool
    """One of those that the page is about."""


def lines(title: str, series: Sequence[Line], *, x_label: str, gone: Sequence[int] = ()) -> str:
    """Errors over layers. `gone`: layers that are no more."""
    count = max([int(x) for line in series for x, _ in line.points] + list(gone)) + 1
    highest = max(y for line in series for _, y in line.points)
    ticks = _ticks(0, highest)
    to_x = _scale(-0.5, count - 0.5, LEFT, WIDTH - RIGHT)
    to_y = _scale(0, ticks[-1], HEIGHT - BOTTOM, TOP)
    width, height = to_x(1) - to_x(0), HEIGHT - TOP - BOTTOM
    body = [
        f'<rect class="gone" x="{to_x(i - 0.5):.1f}" y="{TOP}" width="{width:.1f}" height="{height}"/>' for i in gone
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
    said = "; ".join(f"{line.name} at most {_share(max(y for _, y in line.points))}" for line in series)
    return _figure(title, said, body, [line.name for line in series])


def bars(title: str, series: Sequence[Bars], places: Sequence[str], *, x_label: str) -> str:
    """Shares of a whole, place by place, the series side by side."""
    ticks = _ticks(0, max(share for each in series for share in each.shares))
    to_x = _scale(0, len(places), LEFT, WIDTH - RIGHT)
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
    body += _x_axis([(i + 0.5, place) for i, place in enumerate(places)], to_x, x_label)
    most = [each.shares.index(max(each.shares)) for each in series]
    said = "; ".join(f"{each.name} mostly {places[i]}" for each, i in zip(series, most, strict=True))
    return _figure(title, said, body, [each.name for each in series])


def scatter(title: str, dots: Sequence[Dot], *, x_label: str, y_label: str, x_text: Callable[[float], str]) -> str:
    """One dot for each version; the vertical axis is logarithmic where the numbers are far apart."""
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
    taken = [_Box(to_x(dot.x) - 6, to_x(dot.x) + 6, to_y(dot.y) + 4) for dot in dots]
    for dot in sorted(dots, key=lambda dot: (not dot.is_mine, dot.y)):
        x, y = to_x(dot.x), to_y(dot.y)
        width = CHARACTER_WIDTH * len(dot.name) * (1.1 if dot.is_mine else 1)
        box = _free(x, width, y + 4, taken)
        taken.append(box)
        if abs(box.y - 4 - y) > 1:  # a line from the dot to its name
            near = box.begin if box.begin > x else box.end
            body.append(f'<line class="lead" x1="{x:.1f}" y1="{y:.1f}" x2="{near:.1f}" y2="{box.y - 4:.1f}"/>')
        body.append(
            f'<text class="name{" mine" if dot.is_mine else ""}" y="{box.y:.1f}" '
            + (f'x="{box.begin:.1f}">' if box.begin > x else f'x="{box.end:.1f}" text-anchor="end">')
            + f"{escape(dot.name)}</text>"
        )
    for dot in sorted(dots, key=lambda dot: dot.is_mine):  # which lie in front
        kind = '<g class="s0"><circle class="dot" r="6"' if dot.is_mine else '<g class="s1"><circle class="pale" r="5"'
        body.append(f'{kind} cx="{to_x(dot.x):.1f}" cy="{to_y(dot.y):.1f}"/></g>')
    said = "; ".join(f"{dot.name}: {x_text(dot.x)}, {dot.y:,.2f}" for dot in dots)
    return _figure(title, said, body, [], y_label=y_label)


def _figure(title: str, said: str, body: Sequence[str], names: Sequence[str], *, y_label: str = "") -> str:
    """Put a plot under its title; a legend where there are several series."""
    entries = [
        f'<svg class="key" viewBox="0 0 12 12" aria-hidden="true"><g class="s{i}"><rect class="bar" width="12" '
        f'height="12" rx="2"/></g></svg>{escape(name)}'
        for i, name in enumerate(names)
    ]
    legend = f'<p class="legend">{" ".join(f"<span>{entry}</span>" for entry in entries)}</p>' if entries else ""
    axis = f'<p class="legend">{escape(y_label)}</p>' if y_label else ""
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>{legend}{axis}"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}. {said}.")}">'
        f"{''.join(body)}</svg></figure>"
    )


def _y_axis(ticks: Sequence[tuple[float, str]], to_y: Callable[[float], float]) -> list[str]:
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
    span = (high - low) or 1.0
    return lambda value: to_low + (value - low) / span * (to_high - to_low)


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers, evenly spaced, from at most `low` to at least `high`."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * count >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers around these, a few for each power of ten, fewer where there are many powers."""
    factors = (1, 1.5, 2, 3, 4, 5, 7) if high / low < 10 else (1, 2, 5) if high / low < 1000 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**power for power in powers for factor in factors]


def _margin(values: Sequence[float]) -> float:
    """Room on both sides, so that no dot lies on an edge."""
    return 0.08 * ((max(values) - min(values)) or abs(max(values)) or 1.0)


@dataclass(frozen=True, slots=True)
class _Box:
    """Where something is written already: one line high."""

    begin: float
    end: float
    y: float

    def meets(self, other: "_Box") -> bool:
        return abs(self.y - other.y) < LABEL_HEIGHT - 2 and self.begin < other.end and other.begin < self.end


def _free(x: float, width: float, y: float, taken: Sequence[_Box]) -> _Box:
    """Return where a label fits beside a dot: as near as nothing else is, right of it rather than left."""
    places = []
    for row in range(10):
        for height in (y - row * LABEL_HEIGHT, y + row * LABEL_HEIGHT):
            gap = 10 if not row else 18
            places += [_Box(x + gap, x + gap + width, height), _Box(x - gap - width, x - gap, height)]
    inside = [
        place
        for place in places
        if place.begin > LEFT and place.end < WIDTH - 2 and TOP - 4 < place.y < HEIGHT - BOTTOM - 2
    ]
    return next((place for place in inside if not any(place.meets(each) for each in taken)), places[0])


def _share(value: float) -> str:
    digits = 0 if value == 0 or value >= 0.1 else 1 if value >= 0.01 else 2
    return f"{100 * value:.{digits}f} %"
