"""llmos card: the measured cost and quality of a version, and two versions side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import ControlPort, open_control
from llmos.cli.output import print_facts, print_json, stderr, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import load_settings
from llmos.core.errors import NotFound
from llmos.core.schemas.cards import Card, CardDescription, LimitVerdict


def register(app: typer.Typer) -> None:
    app.command("card")(card)


def card(
    model: options.ModelOrRoute,
    other: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="Another version, to compare with.", show_default=False)
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure it now. With OTHER, only versions without a card are measured.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots.", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show a version's card: quality, size, memory and speed compared with its parent, and the limits it passes."""
    names = [model] if other is None else [model, other]
    with open_control(load_settings()) as control:
        cards = [_card(control, name, measure, again=other is None) for name in names]
        if html is not None:
            _write_page(control, names, cards, html)
            if not as_json:
                stdout().print(f"Wrote {html}.")
                return
    if as_json:
        _print_json(cards)
    elif len(cards) == 1:
        _print_one(cards[0])
    else:
        _print_both(cards)


def _card(control: ControlPort, name: str, measure: bool, *, again: bool) -> CardDescription:
    """Return a version's card. Measures it first if asked to and if `again` or there is none. Raises NotFound."""
    if measure and (again or not _has_card(control, name)):
        with progress_bar("steps") as progress:
            return control.cards.measure(name, progress)
    return control.cards.get(name)


def _has_card(control: ControlPort, name: str) -> bool:
    try:
        control.cards.get(name)
    except NotFound as error:
        if error.code != NotFound.code:  # the model itself doesn't exist
            raise
        return False
    return True


def print_summary(card: Card) -> None:
    """Print the card of a new version in one line, and the command for more."""
    from llmos.models.cards.texts import summary

    stdout().print(f"{summary(card)} More: llmos card {card.version}")


def _print_one(card: CardDescription) -> None:
    from llmos.models.cards.rows import against_parent
    from llmos.models.cards.texts import facts, layers_text

    headings = ["", card.version, *([card.parent, "change"] if card.parent else [])]
    _print_rows(headings, [(row.label, row.value, row.other, row.change) for row in against_parent(card)])
    stdout().print()
    print_facts(facts(card))
    for line in (layers_text(card), *_not_measured(card)):
        if line:
            stdout().print(line)
    _print_verdicts(card.limits)


def _print_both(cards: Sequence[CardDescription]) -> None:
    from llmos.models.cards.rows import incomparable_reasons, side_by_side

    rows = [(row.label, row.value, row.other, row.change) for row in side_by_side(cards[0], cards[1])]
    _print_rows(["", cards[0].version, cards[1].version, "difference"], rows)
    for reason in incomparable_reasons(cards[0], cards[1]):
        stdout().print(reason)
    for each in cards:
        for line in _not_measured(each):
            stdout().print(f"{each.version}: {line}")
    _print_verdicts([verdict for each in cards for verdict in each.limits])


def _print_rows(headings: list[str], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i == 0 else "right", style="dim" if i == 0 else None)
    for row in rows:
        table.add_row(*row[: len(headings)])
    stdout().print(table)


def _print_verdicts(verdicts: Sequence[LimitVerdict]) -> None:
    from llmos.models.cards.texts import verdict_text

    if verdicts:
        stdout().print()
    for verdict in verdicts:
        stdout().print(verdict_text(verdict), style=None if verdict.passes else "red")


def _not_measured(card: Card) -> list[str]:
    """Return the reasons for missing numbers, each once with its fields."""
    fields: dict[str, list[str]] = {}
    for field, reason in card.not_measured.items():
        fields.setdefault(reason, []).append(field)
    return [f"Not measured: {', '.join(names)}. {reason}" for reason, names in fields.items()]


def _print_json(cards: Sequence[CardDescription]) -> None:
    from llmos.models.cards.rows import differences

    if len(cards) == 1:
        print_json(cards[0])
    else:
        print_json({"cards": cards, "differences": differences(cards[0], cards[1])})


def _write_page(control: ControlPort, names: Sequence[str], cards: Sequence[CardDescription], path: Path) -> None:
    from llmos.models.cards.page import page

    shown = {card.digest for card in cards}
    related = {card.digest: card for name in names for card in control.cards.related(name)}
    family = [card for digest, card in related.items() if digest not in shown]
    path.write_text(page(cards, [card.limits for card in cards], family), encoding="utf-8")
    stderr().print(f"Open it in a browser: {path.absolute().as_uri()}")
