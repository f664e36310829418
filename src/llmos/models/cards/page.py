"""One card, or two side by side, as a self-contained HTML page without scripts, in light and dark."""

from collections.abc import Mapping, Sequence
from html import escape

from llmos.core.errors import Conflict
from llmos.core.pages import plots
from llmos.core.pages.document import document, facts_table
from llmos.core.schemas.cards import Card, LimitVerdict
from llmos.models.cards.cards import Cards
from llmos.models.cards.metrics import format_bytes, format_percent
from llmos.models.cards.rows import MISSING, Row, against_parent, incomparable_reasons, side_by_side
from llmos.models.cards.texts import facts, layers_text
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version


def siblings(registry: Registry, cards: Sequence[Card]) -> list[Card]:
    """Return the other cards of versions that were derived, in any number of steps, from the same versions as these."""
    versions = registry.list()
    parents = {version.digest: version.parent for version in versions}

    def root(digest: str) -> str:
        # The parent of a version that was removed is unknown.
        while (parent := parents.get(digest)) is not None:
            digest = parent
        return digest

    roots = {root(card.digest) for card in cards} | {root(card.parent_digest) for card in cards if card.parent_digest}
    stored, seen, found = Cards(registry.database), {card.digest for card in cards}, []
    for version in versions:
        if (
            root(version.digest) in roots
            and version.digest not in seen
            and (card := _find(stored, version)) is not None
        ):
            seen.add(version.digest)
            found.append(card)
    return found


def page(cards: Sequence[Card], verdicts: Sequence[Sequence[LimitVerdict]], family: Sequence[Card] = ()) -> str:
    """Return the page as HTML for one or two cards.

    `verdicts`: those of each card's limits. `family`: related cards that the plots show as well, see siblings().
    """
    title = " and ".join(card.version for card in cards)
    body = [_introduction(cards)]
    if len(cards) == 1:
        headings = [cards[0].version, *([cards[0].parent, "change"] if cards[0].parent else [])]
        body.append(_table(headings, against_parent(cards[0])))
    else:
        body.append(_table([*(card.version for card in cards), "difference"], side_by_side(cards[0], cards[1])))
        body += [f'<p class="dim">{escape(reason)}</p>' for reason in incomparable_reasons(cards[0], cards[1])]
    body += _render_verdicts([verdict for each in verdicts for verdict in each])
    if figures := _figures(cards, family):
        body += ["<h2>Plots</h2>", f'<div class="plots">{"".join(figures)}</div>']
    for card in cards:
        body += _measurement(card, len(cards) > 1)
    return document(f"Card of {title}", [f"<h1>{escape(title)}</h1>", *body])


def _introduction(cards: Sequence[Card]) -> str:
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


def _render_verdicts(verdicts: Sequence[LimitVerdict]) -> list[str]:
    if not verdicts:
        return []
    items = [
        f'<li class="{"pass" if verdict.passes else "fail"}"><b>{"pass" if verdict.passes else "FAIL"}</b> '
        f"{escape(verdict.sentence)}</li>"
        for verdict in verdicts
    ]
    return ["<h2>The project's current limits</h2>", f'<ul class="verdicts">{"".join(items)}</ul>']


def _figures(cards: Sequence[Card], family: Sequence[Card]) -> list[str]:
    figures = [
        _size_figure(cards, family),
        _speed_figure(cards, family),
        _layers_figure(cards),
        _divergence_figure(cards),
    ]
    return [figure for figure in figures if figure]


def _size_figure(cards: Sequence[Card], family: Sequence[Card]) -> str:
    """Plot perplexity against size, of the family's versions measured on the same text and of their parents."""
    dots = {}
    for card in _on_same_text(cards, family):
        if card.quality:
            dots[card.digest] = (card.version, card.size_bytes / 1e6, card.quality.perplexity)
        if card.comparison and card.parent and card.parent_digest and card.parent_size_bytes:
            parent = (card.parent, card.parent_size_bytes / 1e6, card.comparison.perplexity)
            dots.setdefault(card.parent_digest, parent)
    return _quality_figure("Quality against size", dots, cards, "size on disk, MB; further left is smaller", "{:,g}")


def _speed_figure(cards: Sequence[Card], family: Sequence[Card]) -> str:
    """Plot perplexity against speed, of the versions timed on the same machine against the same parent, which is 1."""
    base = cards[0].parent_digest or cards[0].digest
    dots = {}
    for card in _on_same_text(cards, family):
        if card.parent_digest != base or card.machine != cards[0].machine:
            continue
        if card.quality and card.decode and card.decode.ratio and card.comparison and card.parent:
            dots[card.digest] = (card.version, card.decode.ratio, card.quality.perplexity)
            dots[base] = (card.parent, 1.0, card.comparison.perplexity)
    label = "decode speed, times that of the parent measured with it; further right is faster"
    return _quality_figure("Quality against speed", dots, cards, label, "{:g}")


def _quality_figure(
    title: str, dots: Mapping[str, tuple[str, float, float]], cards: Sequence[Card], x_label: str, x_format: str
) -> str:
    """Plot {digest: (name, x, perplexity)}; an empty string for fewer than two dots."""
    if len(dots) < 2:
        return ""
    shown = {card.digest for card in cards}
    return plots.scatter(
        title,
        [plots.Dot(name, x, perplexity, digest in shown) for digest, (name, x, perplexity) in dots.items()],
        x_label=x_label,
        y_label="perplexity; lower is better",
        x_text=x_format.format,
    )


def _layers_figure(cards: Sequence[Card]) -> str:
    """Plot the relative errors over the parent's layers; an empty string where none were measured."""
    lines: list[plots.Line] = []
    removed: set[int] = set()
    for card in cards:
        if card.layers is None:
            continue
        removed |= set(card.layers.left_out)
        for name, label in (("weights", "weights"), ("hidden", "hidden state")):
            points = [(each.parent_layer, getattr(each, name)) for each in card.layers.errors]
            if measured := [(x, y) for x, y in points if y is not None]:
                lines.append(plots.Line(f"{card.version} {label}" if len(cards) > 1 else label, measured))
    if not lines:
        return ""
    label = "layer of the parent" + ("; removed layers are grey" if removed else "")
    return plots.lines("Relative error of each layer", lines, x_label=label, removed=sorted(removed))


def _divergence_figure(cards: Sequence[Card]) -> str:
    """Plot the histograms of the KL divergence; an empty string where none was measured."""
    compared = [(card.version, card.comparison) for card in cards if card.comparison]
    if not compared:
        return ""
    series = [
        plots.Bars(name, [count / max(sum(each.kl_counts), 1) for count in each.kl_counts]) for name, each in compared
    ]
    edges = compared[0][1].kl_edges
    bins = [f"< {edges[1]:.0e}", *(f"{low:.0e}+" if low < 0.01 else f"{low:g}+" for low in edges[1:-1])]
    return plots.bars("KL divergence from the parent", series, bins, x_label="nats; share of all positions")


def _on_same_text(cards: Sequence[Card], family: Sequence[Card]) -> list[Card]:
    """Return these cards and those of the family that were measured on the same text, each once."""
    found = {card.digest: card for card in (*family, *cards) if card.text == cards[0].text}
    return list(found.values())


def _measurement(card: Card, is_named: bool) -> list[str]:
    lacking = "".join(
        f"<p>{escape(field)} was not measured. {escape(reason)}</p>" for field, reason in card.not_measured.items()
    )
    heading = f"How {card.version} was measured" if is_named else "How it was measured"
    return [f"<h2>{escape(heading)}</h2>", facts_table(facts(card)), lacking, _runs(card)]


def _runs(card: Card) -> str:
    """Return the single runs. On a busy machine they say more than their median."""
    lines = []
    for name, rate in (("prefill", card.prefill), ("decode", card.decode)):
        if rate is not None:
            runs = ", ".join(f"{run:,.0f}" for run in rate.runs)
            parent_runs = ", ".join(f"{run:,.0f}" for run in rate.parent_runs)
            lines.append(f"{name}, tokens/s: {runs}" + (f"; the parent: {parent_runs}" if parent_runs else ""))
    if card.layers and card.layers.embedding is not None:
        lines.append(f"error of the embedding's weights: {format_percent(card.layers.embedding)}")
    if card.memory:
        lines.append(
            f"memory: {format_bytes(card.memory.weight_bytes)} of weights,"
            f" {format_bytes(card.memory.kv_bytes)} of KV cache at most"
        )
    return "".join(f'<p class="dim">{escape(line)}</p>' for line in lines)


def _find(cards: Cards, version: Version) -> Card | None:
    try:
        return cards.get(version)
    except Conflict:  # A newer LLMOS wrote it.
        return None
