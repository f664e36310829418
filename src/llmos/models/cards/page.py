"""One card, or two side by side, as a page of its own: no script, no other file, light or dark as the reader has it."""

from collections.abc import Sequence
from html import escape

from llmos.core.errors import Conflict
from llmos.core.schemas.cards import Card, LimitVerdict
from llmos.models.cards import plots as card_plots
from llmos.models.cards.cards import Cards
from llmos.models.cards.rows import (
    MISSING,
    Row,
    against_parent,
    facts,
    layers_text,
    megabytes,
    notes_on,
    percent,
    side_by_side,
)
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version

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


def siblings(registry: Registry, cards: Sequence[Card]) -> list[Card]:
    """Return the other cards of what was made, over however many steps, from the same versions as these."""
    versions = registry.list()
    parents = {version.digest: version.parent for version in versions}

    def root(digest: str) -> str:
        # What a parent's parent was is known only while it is here.
        while (parent := parents.get(digest)) is not None:
            digest = parent
        return digest

    roots = {root(card.digest) for card in cards} | {root(card.parent_digest) for card in cards if card.parent_digest}
    kept, seen, found = Cards(registry.database), {card.digest for card in cards}, []
    for version in versions:
        if root(version.digest) in roots and version.digest not in seen and (card := _kept(kept, version)) is not None:
            seen.add(version.digest)
            found.append(card)
    return found


def page(cards: Sequence[Card], judged: Sequence[Sequence[LimitVerdict]], family: Sequence[Card] = ()) -> str:
    """Return the page. `judged`: what the limits say of each card; `family`: the cards of what they are related to."""
    title = " and ".join(card.version for card in cards)
    body = [f"<h1>{escape(title)}</h1>", _lead(cards)]
    if len(cards) == 1:
        headings = [cards[0].version, *([cards[0].parent, "change"] if cards[0].parent else [])]
        body.append(_table(headings, against_parent(cards[0])))
    else:
        body.append(_table([*(card.version for card in cards), "difference"], side_by_side(cards[0], cards[1])))
        body += [f'<p class="dim">{escape(note)}</p>' for note in notes_on(cards[0], cards[1])]
    body += _limits([verdict for each in judged for verdict in each])
    if plots := _plots(cards, family):
        body += ["<h2>Plots</h2>", f'<div class="plots">{"".join(plots)}</div>']
    for card in cards:
        body += _measured(card, len(cards) > 1)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Card of {escape(title)}</title>\n<style>{_STYLE}{card_plots.STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def _lead(cards: Sequence[Card]) -> str:
    if len(cards) > 1:
        return ""
    card = cards[0]
    made = f"Made from {card.parent}. " if card.parent else ""
    return f'<p class="dim">{escape(f"{made}{layers_text(card)}".strip())}</p>' if made or card.layers else ""


def _table(headings: Sequence[str], rows: Sequence[Row]) -> str:
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    lines = []
    for row in rows:
        cells = "".join(f"<td>{_cell(text)}</td>" for text in (row.value, row.other, row.change)[: len(headings)])
        lines.append(f'<tr><th scope="row">{escape(row.label)}</th>{cells}</tr>')
    table = f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def _cell(text: str) -> str:
    return f'<span class="missing">{escape(text)}</span>' if text == MISSING else escape(text)


def _limits(judged: Sequence[LimitVerdict]) -> list[str]:
    if not judged:
        return []
    items = [
        f'<li class="{"pass" if verdict.passes else "fail"}"><b>{"pass" if verdict.passes else "FAIL"}</b> '
        f"{escape(verdict.sentence)}</li>"
        for verdict in judged
    ]
    return ["<h2>Limits of the project, as they are now</h2>", f'<ul class="verdicts">{"".join(items)}</ul>']


def _plots(cards: Sequence[Card], family: Sequence[Card]) -> list[str]:
    plots = []
    dots = _size_dots(cards, family)
    if len(dots) > 1:
        plots.append(
            card_plots.scatter(
                "Quality against size",
                dots,
                x_label="size on disk, MB; further left is smaller",
                y_label="perplexity; lower is better",
                x_text=lambda value: f"{value:,g}",
            )
        )
    dots = _speed_dots(cards, family)
    if len(dots) > 1:
        plots.append(
            card_plots.scatter(
                "Quality against speed",
                dots,
                x_label="decode speed, times the parent's that was measured beside it; further right is faster",
                y_label="perplexity; lower is better",
                x_text=lambda value: f"{value:g}",
            )
        )
    lines: list[card_plots.Line] = []
    gone: set[int] = set()
    for card in cards:
        if card.layers is None:
            continue
        gone |= set(card.layers.left_out)
        for name, label in (("weights", "weights"), ("hidden", "hidden state")):
            points = [(each.parent_layer, getattr(each, name)) for each in card.layers.errors]
            if kept := [(x, y) for x, y in points if y is not None]:
                lines.append(card_plots.Line(f"{card.version} {label}" if len(cards) > 1 else label, kept))
    if lines:
        label = "layer of the parent" + ("; those that are gone are grey" if gone else "")
        plots.append(card_plots.lines("Relative error, layer by layer", lines, x_label=label, gone=sorted(gone)))
    compared = [(card.version, card.comparison) for card in cards if card.comparison]
    if compared:
        series = [
            card_plots.Bars(name, [count / max(sum(each.kl_counts), 1) for count in each.kl_counts])
            for name, each in compared
        ]
        edges = compared[0][1].kl_edges
        places = [f"< {edges[1]:.0e}", *(f"{low:.0e}+" if low < 0.01 else f"{low:g}+" for low in edges[1:-1])]
        plots.append(
            card_plots.bars(
                "KL divergence from the parent, place by place", series, places, x_label="nats; share of all places"
            )
        )
    return plots


def _size_dots(cards: Sequence[Card], family: Sequence[Card]) -> list[card_plots.Dot]:
    """All of the family whose text was the same, and the parents that have no card of their own."""
    dots = {}
    for card in _alike(cards, family):
        if card.quality:
            dots[card.digest] = (card.version, card.size_bytes, card.quality.perplexity)
        if card.comparison and card.parent and card.parent_digest and card.parent_size_bytes:
            dots.setdefault(card.parent_digest, (card.parent, card.parent_size_bytes, card.comparison.perplexity))
    return [
        card_plots.Dot(name, size / 1e6, perplexity, any(digest == card.digest for card in cards))
        for digest, (name, size, perplexity) in dots.items()
    ]


def _speed_dots(cards: Sequence[Card], family: Sequence[Card]) -> list[card_plots.Dot]:
    """Those that were timed against the same parent, which is 1, on the same machine."""
    base = cards[0].parent_digest or cards[0].digest
    dots = {}
    for card in _alike(cards, family):
        if card.parent_digest != base or card.machine != cards[0].machine:
            continue
        if card.quality and card.decode and card.decode.ratio and card.comparison and card.parent:
            dots[card.digest] = (card.version, card.decode.ratio, card.quality.perplexity)
            dots[base] = (card.parent, 1.0, card.comparison.perplexity)
    return [
        card_plots.Dot(name, ratio, perplexity, any(digest == card.digest for card in cards))
        for digest, (name, ratio, perplexity) in dots.items()
    ]


def _alike(cards: Sequence[Card], family: Sequence[Card]) -> list[Card]:
    """Return these cards and the family's whose perplexity is of the same text, each once."""
    found = {card.digest: card for card in (*family, *cards) if card.text == cards[0].text}
    return list(found.values())


def _measured(card: Card, is_named: bool) -> list[str]:
    rows = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{escape(value)}</td></tr>' for label, value in facts(card).items()
    )
    lacking = "".join(
        f"<p>{escape(field)} was not measured. {escape(reason)}</p>" for field, reason in card.not_measured.items()
    )
    heading = f"How {card.version} was measured" if is_named else "How it was measured"
    return [f"<h2>{escape(heading)}</h2>", f'<table class="facts"><tbody>{rows}</tbody></table>', lacking, _runs(card)]


def _runs(card: Card) -> str:
    """The single runs, since on a busy machine a median may not say much."""
    lines = []
    for name, rate in (("prefill", card.prefill), ("decode", card.decode)):
        if rate is not None:
            runs = ", ".join(f"{run:,.0f}" for run in rate.runs)
            beside = ", ".join(f"{run:,.0f}" for run in rate.parent_runs)
            lines.append(f"{name}, tokens/s: {runs}" + (f"; the parent: {beside}" if beside else ""))
    if card.layers and card.layers.embedding is not None:
        lines.append(f"error of the embedding's weights: {percent(card.layers.embedding)}")
    if card.memory:
        lines.append(
            f"memory: {megabytes(card.memory.weight_bytes)} of weights,"
            f" {megabytes(card.memory.kv_bytes)} of KV cache at most"
        )
    return "".join(f'<p class="dim">{escape(line)}</p>' for line in lines)


def _kept(cards: Cards, version: Version) -> Card | None:
    try:
        return cards.get(version)
    except Conflict:  # of a newer LLMOS
        return None
