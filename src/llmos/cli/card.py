"""llmos card: what a version costs and what it gives, measured; and two of them side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from llmos.cli import options
from llmos.cli.output import print_facts, print_json, stderr, stdout
from llmos.cli.remote import refuse_remote
from llmos.core.config import load_settings

if TYPE_CHECKING:
    from llmos.core.schemas.cards import Card, LimitVerdict
    from llmos.models.registry import Registry


def register(app: typer.Typer) -> None:
    app.command("card")(card)


def card(
    model: options.ModelOrRoute,
    other: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="Another version, to stand beside it.", show_default=False)
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure first: what has no card yet, or a lone MODEL again.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots.", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show a version's card: quality, size, memory, speed against what it was made from; and the limits it passes."""
    from llmos.models import open_registry
    from llmos.models.cards.limits import verdicts
    from llmos.models.policies import Policies

    settings = load_settings()
    refuse_remote(settings, "card")
    registry = open_registry(settings)
    names = [model] if other is None else [model, other]
    cards = [_card(registry, name, measure, again=other is None) for name in names]
    policies = Policies(registry.database).all()
    judged = [verdicts(each, policies) for each in cards]
    if html is not None:
        _write_page(registry, cards, judged, html)
        if not as_json:
            stdout().print(f"Wrote {html}.")
            return
    if as_json:
        print_json(_as_json(cards, judged))
    elif len(cards) == 1:
        _print_one(cards[0], judged[0])
    else:
        _print_both(cards, judged)


def _card(registry: "Registry", name: str, measure: bool, *, again: bool) -> "Card":
    """Return a version's card; measured now where that was asked for. Raises NotFound, with how to make one."""
    from llmos.core.errors import NotFound
    from llmos.deployments.routing.routes import Routes
    from llmos.models.cards.cards import Cards

    version = Routes(registry).resolve_local(name)
    found = Cards(registry.database).get(version)
    if measure and (again or found is None):
        from llmos.cli.make import shown_work
        from llmos.models.cards.measure import make_card

        with shown_work() as progress:
            return make_card(registry, version, progress)
    if found is None:
        raise NotFound(f"{version.ref} has no card yet. Measure it: llmos card {version.ref} --measure", param="model")
    return found


def print_summary(card: "Card") -> None:
    """Print what was just made costs, in one line, and where there is more."""
    from llmos.models.cards.rows import summary

    stdout().print(f"{summary(card)} More: llmos card {card.version}")


def _print_one(card: "Card", judged: "list[LimitVerdict]") -> None:
    from llmos.models.cards.rows import against_parent, facts, layers_text

    headings = ["", card.version, *([card.parent, "change"] if card.parent else [])]
    _print_rows(headings, [(row.label, row.value, row.other, row.change) for row in against_parent(card)])
    stdout().print()
    print_facts(facts(card))
    for line in (layers_text(card), *_lacking(card)):
        if line:
            stdout().print(line)
    _print_verdicts(judged)


def _print_both(cards: "list[Card]", judged: "list[list[LimitVerdict]]") -> None:
    from llmos.models.cards.rows import notes_on, side_by_side

    rows = [(row.label, row.value, row.other, row.change) for row in side_by_side(*cards)]
    _print_rows(["", cards[0].version, cards[1].version, "difference"], rows)
    for note in notes_on(*cards):
        stdout().print(note)
    for each in cards:
        for line in _lacking(each):
            stdout().print(f"{each.version}: {line}")
    _print_verdicts([verdict for each in judged for verdict in each])


def _print_rows(headings: list[str], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i == 0 else "right", style="dim" if i == 0 else None)
    for row in rows:
        table.add_row(*row[: len(headings)])
    stdout().print(table)


def _print_verdicts(judged: "list[LimitVerdict]") -> None:
    from llmos.models.cards.rows import verdict_text

    if judged:
        stdout().print()
    for verdict in judged:
        stdout().print(verdict_text(verdict), style=None if verdict.passes else "red")


def _lacking(card: "Card") -> list[str]:
    """Return why numbers are missing, each reason once."""
    fields: dict[str, list[str]] = {}
    for field, reason in card.not_measured.items():
        fields.setdefault(reason, []).append(field)
    return [f"Not measured: {', '.join(names)}. {reason}" for reason, names in fields.items()]


def _as_json(cards: "list[Card]", judged: "list[list[LimitVerdict]]") -> dict[str, Any]:
    from llmos.models.cards.rows import differences
    from llmos.models.descriptions import describe_card

    plain: list[dict[str, Any]] = [
        msgspec.to_builtins(describe_card(each, verdicts)) for each, verdicts in zip(cards, judged, strict=True)
    ]
    if len(cards) == 1:
        return plain[0]
    return {"cards": plain, "differences": differences(*cards)}


def _write_page(registry: "Registry", cards: "list[Card]", judged: "list[list[LimitVerdict]]", path: Path) -> None:
    from llmos.models.cards.page import page, siblings

    text = page(cards, judged, siblings(registry, cards))
    path.write_text(text, encoding="utf-8")
    stderr().print(f"Open it in a browser: {path.absolute().as_uri()}")
