"""The frame of a page: its head, its style in light and dark, and tables of facts."""

from collections.abc import Mapping, Sequence
from html import escape

from llmos.core.pages import plots

_STYLE = """
:root { --paper: #ffffff; --ink: #1f2328; --dim: #59636e; --line: #d1d9e0; --good: #1a7f37; --bad: #cf222e;
  --first: #0b62d6; --second: #a06a12; --third: #6b5aa8; --fourth: #4a7f5a; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #0d1117; --ink: #e6edf3; --dim: #9198a1; --line: #343b44; --good: #57ab5a; --bad: #f47067;
    --first: #5aa2ff; --second: #d9a24a; --third: #a797e6; --fourth: #7fbf93; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1360px; padding: 24px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 12px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 32px 0 8px; }
p { margin: 8px 0; max-width: 90ch; }
.dim, .legend { color: var(--dim); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: 5px 16px 5px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; } tbody th { font-weight: 400; color: var(--dim); }
.facts th { white-space: nowrap; vertical-align: top; }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.missing { color: var(--dim); }
.verdicts { list-style: none; padding: 0; }
.verdicts b { display: inline-block; min-width: 3.2em; }
.pass b { color: var(--good); } .fail b { color: var(--bad); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr)); gap: 24px 32px; }
figure { margin: 0; min-width: 0; } figcaption { font-weight: 600; }
.legend { margin: 2px 0; font-size: 13px; } .legend span { margin-right: 16px; white-space: nowrap; }
svg.key { display: inline-block; width: 11px; height: 11px; margin-right: 6px; }
"""


def document(title: str, body: Sequence[str], *, style: str = "") -> str:
    """Return a page of these parts, each of them HTML; empty ones are left out. `style`: more rules of style."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{plots.STYLE}{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def facts_table(facts: Mapping[str, str]) -> str:
    """Return a table of names and values."""
    rows = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{escape(value)}</td></tr>' for label, value in facts.items()
    )
    return f'<table class="facts"><tbody>{rows}</tbody></table>'
