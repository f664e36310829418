"""llmos alias set, rm, list, history: movable names for versions, and where each of them ever pointed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.output import print_json, print_table, shown, stdout
from llmos.cli.remote import refuse_remote
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from llmos.models.registry import Registry
    from llmos.models.versions.aliases import AliasMove, Span

_Alias = Annotated[str, typer.Argument(metavar="NAME:ALIAS", help="The alias, such as smollm2:prod.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Movable names for versions, with their history.")
    group.command("set")(set_)
    group.command("rm")(rm)
    group.command("list")(list_)
    group.command("history")(history)
    app.add_typer(group, name="alias")


def set_(
    alias: _Alias,
    version: options.ModelReference,
    expected: Annotated[
        str | None,
        typer.Option("--from", metavar="VERSION", help="Move it only where it points at this one until now."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Point an alias at a version. Callers who ask for it get that one from their next request on."""
    model, name = _parse(alias)
    move = _open("alias set").aliases.set(model, name, version, expected=expected)
    if as_json:
        print_json(_facts(model, move))
        return
    stdout().print(f"{alias} → {move.now}" + (f" (until now {move.was})" if move.was else ""))


def rm(alias: _Alias, as_json: options.AsJson = False) -> None:
    """Remove an alias. Its history stays. Refused where a deployment or a route needs it."""
    from llmos.deployments.removing import remove

    model, name = _parse(alias)
    registry = _open("alias rm")
    remove(registry, alias)
    move = registry.aliases.history(model, name)[-1]
    if as_json:
        print_json(_facts(model, move))
        return
    stdout().print(f"Removed the alias {alias}, which pointed at {move.was}.")


def list_(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Of this model alone.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the aliases, and the version that each points at."""
    registry = _open("alias list")
    models = registry.names() if model is None else [model]
    rows = [_facts(name, move) for name in models for move in registry.aliases.list(name).values()]
    print_table(rows, {"name": "alias", "now": "version", "at": "since", "by": "by"}, as_json=as_json)


def history(
    alias: Annotated[str, typer.Argument(metavar="NAME:ALIAS", help="An alias; or a model, for all of its aliases.")],
    at: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="What it was on a day (2026-03-03) or at a time (2026-03-03T14:00)."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Tell where an alias ever pointed, since when, and who moved it."""
    model, _, name = alias.partition(":")
    registry = _open("alias history")
    if at is None:
        rows = [_facts(model, move) for move in registry.aliases.history(model, name or None)]
        print_table(rows, {"at": "since", "name": "alias", "now": "version", "was": "was", "by": "by"}, as_json=as_json)
        return
    _parse(alias)
    start, end = _day_or_time(at)
    spans = registry.aliases.between(model, name, start, end)
    if as_json:
        print_json([{"version": span.version, "since": span.since, "until": span.until} for span in spans])
        return
    stdout().print(f"{alias} was {_told(spans)} {'on' if end > start else 'at'} {at}.")


def _told(spans: "Sequence[Span]") -> str:
    """Several versions of one day with the times between them."""
    words = []
    for span, following in zip(spans, [*spans[1:], None], strict=True):
        until = f" until {shown(span.until)}" if following is not None else ""
        words.append(f"{span.version or 'no version'}{until}")
    return ", then ".join(words)


def _day_or_time(text: str) -> tuple[datetime, datetime]:
    """The beginning and the end of a day, or one time twice. What says no zone is in this machine's."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(
            f"{text[:80]!r} is no day and no time: write 2026-03-03, or 2026-03-03T14:00 with a zone such as +01:00 if"
            " it isn't this machine's."
        ) from None
    start = moment.astimezone(UTC)
    is_day = len(text) <= len("2026-03-03")
    return start, (moment + timedelta(days=1)).astimezone(UTC) - timedelta(microseconds=1) if is_day else start


def _parse(alias: str) -> tuple[str, str]:
    from llmos.models.names import parse_reference

    reference = parse_reference(alias)
    if reference.alias is None:
        raise BadRequest(f"{alias} names no alias: write NAME:ALIAS, such as {reference.model}:prod.", param="alias")
    return reference.model, reference.alias


def _facts(model: str, move: "AliasMove") -> dict[str, Any]:
    return {
        "name": f"{model}:{move.alias}",
        "model": model,
        "alias": move.alias,
        "was": move.was,
        "now": move.now,
        "at": move.at,
        "by": move.actor,
    }


def _open(command: str) -> "Registry":
    from llmos.models import open_registry

    settings = load_settings()
    refuse_remote(settings, command)
    return open_registry(settings)
