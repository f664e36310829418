"""The commands alias set, rm, list, history of every noun with versions: movable names, and where they pointed."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.named_nouns import MODELS, NamedNoun
from llmos.cli.output import print_json, print_table, shown, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.aliases import AliasMoveDescription, AliasSpan

_HELP = "Manage aliases: movable names for versions, with a history."


def register(app: typer.Typer) -> None:
    app.add_typer(alias_group(MODELS), name="alias")


def alias_group(noun: NamedNoun) -> typer.Typer:
    """Return the group `alias` of a noun's commands."""
    group = typer.Typer(no_args_is_help=True, help=_HELP)
    group.command("set", help=f"Point an alias at a version.{noun.set_note}")(_set(noun))
    group.command("rm", help=f"Remove an alias; its history stays.{noun.remove_note}")(_rm(noun))
    group.command("list", help="List aliases and the versions that they point at.")(_list(noun))
    group.command(
        "history", help="Show the versions that an alias pointed at, with the time and the actor of each move."
    )(_history(noun))
    return group


def _set(noun: NamedNoun) -> Callable[..., None]:
    def set_(
        alias: str = noun.alias_argument(),
        version: str = noun.version_argument(),
        expected: Annotated[
            str | None,
            typer.Option("--from", metavar="VERSION", help="Only if the alias points at this version now."),
        ] = None,
        as_json: options.AsJson = False,
    ) -> None:
        name, short = _parse(noun, alias)
        with open_control(load_settings()) as control:
            move = noun.names_of(control).set_alias(name, short, version, expected=expected)
        if as_json:
            print_json(move)
            return
        stdout().print(f"{alias} → {move.now}" + (f" (was {move.was})" if move.was else ""))

    return set_


def _rm(noun: NamedNoun) -> Callable[..., None]:
    def rm(alias: str = noun.alias_argument(), as_json: options.AsJson = False) -> None:
        name, short = _parse(noun, alias)
        with open_control(load_settings()) as control:
            names = noun.names_of(control)
            names.remove_alias(name, short)
            move = names.alias_history(name, short)[-1]
        if as_json:
            print_json(move)
            return
        stdout().print(f"Removed the alias {alias}, which pointed at {move.was}.")

    return rm


def _list(noun: NamedNoun) -> Callable[..., None]:
    def list_(name: str | None = noun.optional_name_argument(), as_json: options.AsJson = False) -> None:
        with open_control(load_settings()) as control:
            names = [name] if name is not None else list(dict.fromkeys(noun.list_names(control)))
            moves = [move for each in names for move in noun.names_of(control).aliases(each)]
        print_table(moves, {"name": "alias", "now": "version", "at": "since", "by": "by"}, as_json=as_json)

    return list_


def _history(noun: NamedNoun) -> Callable[..., None]:
    def history(
        alias: str = noun.alias_or_name_argument(),
        at: Annotated[
            str | None,
            typer.Option(metavar="DAY", help="Show only this day (2026-03-03) or time (2026-03-03T14:00)."),
        ] = None,
        as_json: options.AsJson = False,
    ) -> None:
        name, _, short = alias.partition(":")
        if at is not None:
            _parse(noun, alias)
        with open_control(load_settings()) as control:
            moves = noun.names_of(control).alias_history(name, short or None)
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

    return history


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


def _parse(noun: NamedNoun, alias: str) -> tuple[str, str]:
    from llmos.core.names import parse_reference

    reference = parse_reference(alias, noun.word)
    if reference.alias is None:
        example = f"{reference.name}:{noun.alias.partition(':')[2]}"
        raise BadRequest(f"{alias} is not an alias. Write NAME:ALIAS, such as {example}.", param="alias")
    return reference.name, reference.alias
