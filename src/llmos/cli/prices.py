"""llmos price set, list, show, try: what calls cost."""

from pathlib import Path
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.documents import read_document
from llmos.cli.output import print_facts, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.schemas.prices import PriceBookDescription

_Tokens = Annotated[int, typer.Option(min=0, help="Tokens of this kind.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Set and show prices of calls, each from a date on.")
    group.command("set")(set_)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("try")(try_)
    app.add_typer(group, name="price")


def set_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML with currency, prices and, if later, from.")],
    as_json: options.AsJson = False,
) -> None:
    """Add a version of all prices. The cost of earlier calls doesn't change."""
    document = read_document(file, "`currency` and `prices`")
    with open_control(load_settings()) as control:
        _print(control.prices.set(document), as_json=as_json)


def list_(as_json: options.AsJson = False) -> None:
    """List the versions, newest first."""
    with open_control(load_settings()) as control:
        books = control.prices.list()
    if not books and not as_json:
        stderr().print("There are no prices. To set them: llmos price set FILE")
        return
    columns = {"version": "version", "valid_from": "from", "currency": "currency", "created_by": "by"}
    print_table(books, columns, as_json=as_json)


def show(
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Its number.")],
    as_json: options.AsJson = False,
) -> None:
    """Show a version."""
    with open_control(load_settings()) as control:
        _print(control.prices.get(version), as_json=as_json)


def try_(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The version that answers, such as smollm2@1.")] = "",
    route: Annotated[str, typer.Option(help="The route in the request.", show_default="none")] = "",
    project: Annotated[str, typer.Option(help="Use the prices of this project's plan.", show_default="none")] = "",
    plan: Annotated[str, typer.Option(help="Use the prices of this plan.", show_default="none")] = "",
    input: _Tokens = 0,
    cached_input: _Tokens = 0,
    output: _Tokens = 0,
    embedding: _Tokens = 0,
    rated: _Tokens = 0,
    as_json: options.AsJson = False,
) -> None:
    """Show the cost of an example call at the current prices."""
    tokens = {"input": input, "cached_input": cached_input, "output": output, "embedding": embedding, "rated": rated}
    with open_control(load_settings()) as control:
        found = control.prices.try_out(model, route=route, project=project, plan=plan, **tokens)
    if as_json:
        print_json(found)
    elif found.cost is None:
        stderr().print("No price applies: the call would cost nothing.")
    else:
        whose = f", plan {found.plan}" if found.plan else ""
        stdout().print(f"{found.cost} {found.currency} (version {found.price_version}, {found.applied}{whose})")


def _print(book: PriceBookDescription, *, as_json: bool) -> None:
    if as_json:
        print_json(book)
        return
    facts = {"version": book.version, "from": book.valid_from, "currency": book.currency, "set by": book.created_by}
    print_facts(facts)
    for target, prices in book.prices.items():
        tokens = {f"{kind}, million tokens": price for kind, price in prices.get("per_million_tokens", {}).items()}
        rest = {name: price for name, price in prices.items() if name not in ("per_million_tokens", "free")}
        free = {f"free {unit} a month": number for unit, number in prices.get("free", {}).items()}
        stdout().print(f"\n{target}")
        print_facts({name: _shown(each) for name, each in {**rest, **tokens, **free}.items()})
    if book.free:
        stdout().print("\nfree, whatever it is for")
        print_facts({f"{unit} a month": _shown(number) for unit, number in book.free.items()})


def _shown(price: Any) -> str:
    """Return a price, its tiers, or a number of units."""
    if isinstance(price, list):
        return ", ".join(
            f"{each['price']} up to {each['up_to']:,}" if "up_to" in each else f"{each['price']} beyond"
            for each in price
        )
    return f"{price:,}" if isinstance(price, int) else str(price)
