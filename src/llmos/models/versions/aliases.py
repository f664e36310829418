"""Aliases: movable names for the versions of a model, and where each of them ever pointed.

Nothing is overwritten: a move is a row, the last one says where the alias points. The model's row is locked while an
alias moves, so that moves at the same time come one after the other, each knowing the one before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sqlalchemy.orm import Session

from llmos.core.clock import Clock
from llmos.core.database import Database
from llmos.core.errors import Conflict, NotFound
from llmos.core.suggest import nearest
from llmos.core.who import this_user
from llmos.models import queries
from llmos.models.names import Reference, check_name, parse_reference
from llmos.models.tables import AliasMoveRow
from llmos.models.versions.finding import Finder


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasMove:
    alias: str
    was: str | None
    """The ref of the version that it pointed at before. None: there was no such alias."""
    now: str | None
    """The ref of the version that it points at since. None: it was removed."""
    at: datetime
    actor: str | None
    """Who moved it, None where nobody noted it down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What an alias pointed at for a while."""

    version: str | None
    """None: there was no such alias."""
    since: datetime | None
    """None: from the beginning of time."""
    until: datetime | None
    """None: to this day."""


class Aliases:
    """Any thread and any process may call any of this."""

    def __init__(self, database: Database, finder: Finder, clock: Clock) -> None:
        self._database, self._finder, self._clock = database, finder, clock

    def set(
        self, model: str, alias: str, ref: str | None, *, expected: str | None = None, actor: str | None = None
    ) -> AliasMove:
        """Point `model:alias` at a version of the model, or remove it (None), and return the move; the last one again
        where it points there already.

        `expected`: the reference of the version that it must point at until now. Raises Conflict where it doesn't, and
        for a version of another model; ModelNotFound for a version or an alias that there is not.
        """
        check_name(alias, "an alias")
        with self._database.transaction() as session:
            queries.lock_model(session, model)
            if ref is None:
                number = None
                self._finder.version(session, Reference(model, alias=alias))
            else:
                number = self._number(session, model, alias, ref)
            if expected is not None:
                self._check_expected(session, model, alias, self._number(session, model, alias, expected))
            move(session, model, alias, number, self._clock(), actor)
            return _moves(queries.alias_moves(session, model, alias))[-1]

    def list(self, model: str) -> Mapping[str, AliasMove]:
        """The model's aliases, each with its last move. Raises ModelNotFound."""
        with self._database.session() as session:
            self._finder.version(session, Reference(model))
            names = queries.aliases(session, model)
            return {name: _moves(queries.alias_moves(session, model, name))[-1] for name in names}

    def history(self, model: str, alias: str | None = None) -> Sequence[AliasMove]:
        """Every move of the alias, or of all that the model ever had, oldest first; also of what was removed. Raises
        NotFound, with the nearest, for an alias that there never was."""
        with self._database.session() as session:
            known = {row.alias for row in queries.alias_moves(session, model)}
            if alias is None:
                if not known:
                    self._finder.version(session, Reference(model))
                found = [_moves(queries.alias_moves(session, model, name)) for name in known]
                return sorted((one for moves in found for one in moves), key=lambda one: one.at)
            if alias not in known:
                raise _not_found(model, alias, known)
            return _moves(queries.alias_moves(session, model, alias))

    def between(self, model: str, alias: str, start: datetime, end: datetime) -> Sequence[Span]:
        """What the alias pointed at from `start` to `end`, in order; one Span where it didn't move. Raises NotFound."""
        moves = self.history(model, alias)
        edges: list[tuple[str | None, datetime | None]] = [(None, None), *((one.now, one.at) for one in moves)]
        spans = [
            Span(version=version, since=since, until=until)
            for (version, since), (_, until) in pairwise([*edges, (None, None)])
        ]
        return [
            span
            for span in spans
            if (span.until is None or span.until > start) and (span.since is None or span.since <= end)
        ]

    def _number(self, session: Session, model: str, alias: str, ref: str) -> int:
        reference = parse_reference(ref)
        if reference.model != model:
            raise Conflict(f"{model}:{alias} can only point at a version of {model}; {ref} is not one.")
        return self._finder.version(session, reference).number

    def _check_expected(self, session: Session, model: str, alias: str, expected: int) -> None:
        number = queries.aliases(session, model).get(alias)
        if number != expected:
            at = f"{model}@{number}" if number else "nothing"
            raise Conflict(
                f"{model}:{alias} points at {at} by now, not at {model}@{expected}; it was left there."
                f" See who moved it: llmos alias history {model}:{alias}"
            )


def move(session: Session, model: str, alias: str, number: int | None, at: datetime, actor: str | None) -> None:
    """Note a move down, unless the alias points there already. Call with the model locked."""
    rows = queries.alias_moves(session, model, alias)
    if rows and rows[-1].number == number:
        return
    # A clock that was set back must not change the order of what happened.
    moved_at = max(at, rows[-1].moved_at) if rows else at
    session.add(AliasMoveRow(model=model, alias=alias, number=number, moved_at=moved_at, moved_by=actor or this_user()))
    session.flush()


def _moves(rows: Sequence[AliasMoveRow]) -> Sequence[AliasMove]:
    """The moves of one alias, each with the one before it."""
    found, was = [], None
    for row in rows:
        now = f"{row.model}@{row.number}" if row.number else None
        found.append(AliasMove(alias=row.alias, was=was, now=now, at=row.moved_at, actor=row.moved_by))
        was = now
    return found


def _not_found(model: str, alias: str, known: set[str]) -> NotFound:
    meant = nearest(alias, known) or sorted(known)
    hint = f"There is {', '.join(f'{model}:{name}' for name in meant)}." if meant else f"{model} never had one."
    return NotFound(f"There never was an alias {model}:{alias}. {hint}", param="alias")
