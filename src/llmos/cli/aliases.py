"""llmos alias set, rm, list, history: movable names for versions."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_json, print_table, shown, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.aliases import AliasMoveDescription, AliasSpan

_Alias = Annotated[str, typer.Argument(metavar="NAME:ALIAS", help="The alias, such as smollm2:prod.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Manage aliases: movable names for versions, with a history.")
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
        typer.Option("--from", metavar="VERSION", help="Only if the alias points at this version now."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Point an alias at a version. Takes effect with the next request."""
    model, name = _parse(alias)
    with open_control(load_settings()) as control:
        move = control.aliases.set(model, name, version, expected=expected)
    if as_json:
        print_json(move)
        return
    stdout().print(f"{alias} → {move.now}" + (f" (was {move.was})" if move.was else ""))


def rm(alias: _Alias, as_json: options.AsJson = False) -> None:
    """Remove an alias; its history stays. Fails if a deployment or a route needs it."""
    model, name = _parse(alias)
    with open_control(load_settings()) as control:
        control.aliases.remove(model, name)
        move = control.aliases.history(model, name)[-1]
    if as_json:
        print_json(move)
        return
    stdout().print(f"Removed the alias {alias}, which pointed at {move.was}.")


def list_(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Only the aliases of this model.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List aliases and the versions that they point at."""
    with open_control(load_settings()) as control:
        models = [model] if model is not None else list(dict.fromkeys(each.name for each in control.models.list()))
        moves = [move for each in models for move in control.aliases.list(each)]
    print_table(moves, {"name": "alias", "now": "version", "at": "since", "by": "by"}, as_json=as_json)


def history(
    alias: Annotated[str, typer.Argument(metavar="NAME:ALIAS", help="An alias; or a model, for all of its aliases.")],
    at: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Show only this day (2026-03-03) or time (2026-03-03T14:00)."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show which versions an alias pointed at, since when, and who moved it."""
    model, _, name = alias.partition(":")
    if at is not None:
        _parse(alias)
    with open_control(load_settings()) as control:
        moves = control.aliases.history(model, name or None)
    if at is None:
        columns = {"at": "since", "name": "alias", "now": "version", "was": "was", "by": "by"}
        print_table(moves, columns, as_json=as_json)
        return
    start, end = _day_or_time(at)
    spans = spans_between(moves, start, end)
    if as_json:
        print_json(spans)
        return
    stdout().print(f"{alias} was {_render(spans)} {'on' if end > start else 'at'} {at}.")


def spans_between(moves: Sequence[AliasMoveDescription], start: datetime, end: datetime) -> list[AliasSpan]:
    """Return what an alias pointed at from `start` to `end`. `moves`: all of its moves, oldest first."""
    edges: list[tuple[str | None, datetime | None]] = [(None, None), *((move.now, move.at) for move in moves)]
    spans = [
        AliasSpan(version=version, since=since, until=until)
        for (version, since), (_, until) in pairwise([*edges, (None, None)])
    ]
    return [
        span
        for span in spans
        if (span.until is None or span.until > start) and (span.since is None or span.since <= end)
    ]


def _render(spans: Sequence[AliasSpan]) -> str:
    """Return the versions, with the times between them if there are several."""
    words = []
    for span, following in zip(spans, [*spans[1:], None], strict=True):
        until = f" until {shown(span.until)}" if following is not None else ""
        words.append(f"{span.version or 'no version'}{until}")
    return ", then ".join(words)


def _day_or_time(text: str) -> tuple[datetime, datetime]:
    """Return the first and the last moment of a day, or one time twice. The default time zone is this machine's."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(
            f"{text[:80]!r} is not a day or a time. Write 2026-03-03, or 2026-03-03T14:00, with a time zone such as"
            " +01:00 if it isn't this machine's."
        ) from None
    start = moment.astimezone(UTC)
    is_day = len(text) <= len("2026-03-03")
    return start, (moment + timedelta(days=1)).astimezone(UTC) - timedelta(microseconds=1) if is_day else start


def _parse(alias: str) -> tuple[str, str]:
    from llmos.core.names import parse_reference

    reference = parse_reference(alias)
    if reference.alias is None:
        raise BadRequest(f"{alias} is not an alias. Write NAME:ALIAS, such as {reference.name}:prod.", param="alias")
    return reference.name, reference.alias
