"""Draws the table as bars, each workload on a scale of its own. Pure: rates in, SVG out."""

from collections.abc import Sequence
from html import escape

from rates import Rates

WIDTH, LABEL_WIDTH, NUMBER_WIDTH = 760, 150, 60
BAR, GAP, HEAD = 15, 3, 34
COLORS = {  # the first word of an engine's name -> on light, on dark
    "LLMOS": ("#0b62d6", "#5aa2ff"),
    "llama.cpp": ("#a06a12", "#d9a24a"),
    "OpenVINO": ("#6b5aa8", "#a797e6"),
    "vLLM": ("#4a7f5a", "#7fbf93"),
}
OTHERS = ("#6e7781", "#9aa4ae")


def draw(rates: Rates, workloads: Sequence[str], title: str) -> str:
    """Return an SVG for light and dark pages, with a text description of its contents."""
    engines = rates.engines()
    rows: list[str] = []
    y = 8
    for workload in workloads:
        found = {name: spread.median for name in engines if (spread := rates.spread(name, workload))}
        if not found:
            continue
        rows.append(f'<text class="head" x="0" y="{y + 18}">{escape(workload)}, tokens/s</text>')
        y += HEAD - 8
        for name, value in found.items():
            rows.append(bar(name, value, value / max(found.values()), y))
            y += BAR + GAP
        y += 12
    description = f"Horizontal bars of tokens per second for {', '.join(engines)} on {', '.join(workloads)}."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" '
            'role="img" aria-labelledby="title description">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(description)}</desc>',
            f"<style>{style()}</style>",
            *rows,
            "</svg>",
            "",
        ]
    )


def bar(name: str, value: float, share: float, y: int) -> str:
    length = max(1.0, share * (WIDTH - LABEL_WIDTH - NUMBER_WIDTH))
    middle = y + BAR - 4
    return (
        f'<text x="{LABEL_WIDTH - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>'
        f'<rect class="{css_class(name)}" x="{LABEL_WIDTH}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
        f'<text x="{LABEL_WIDTH + length + 6:.1f}" y="{middle}">{value:,.0f}</text>'
    )


def css_class(engine: str) -> str:
    family = engine.split()[0]
    return f"e{list(COLORS).index(family)}" if family in COLORS else "other"


def style() -> str:
    def fills(on_dark: int) -> str:
        return "".join(f".{css_class(family)}{{fill:{pair[on_dark]}}}" for family, pair in COLORS.items())

    light = f"text{{fill:#1f2328}}.other{{fill:{OTHERS[0]}}}{fills(0)}"
    dark = f"text{{fill:#e6edf3}}.other{{fill:{OTHERS[1]}}}{fills(1)}"
    font = "text{font:12px system-ui,sans-serif}.head{font-weight:600;font-size:13px}"
    return f"{font}{light}@media(prefers-color-scheme:dark){{{dark}}}"
