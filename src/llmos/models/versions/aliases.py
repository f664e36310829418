"""Aliases: movable names for the versions of a model, with their history.

Every move is a row; the last row of an alias is its current target. The model's row is locked during a move, so
concurrent moves run one after the other and each sees the one before it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock
from llmos.core.database import Database
from llmos.core.errors import Conflict, NotFound
from llmos.core.names import Reference, check_name, parse_reference
from llmos.core.suggest import nearest
from llmos.core.who import this_user
from llmos.models import queries
from llmos.models.tables import AliasMoveRow
from llmos.models.versions.finding import Finder


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasMove:
    """One change of an alias."""

    alias: str
    was: str | None
    """The reference of the version it pointed at before; None for a new alias."""
    now: str | None
    """The reference of the version it points at after the move; None where the alias was removed."""
    at: datetime
    actor: str | None
    """The caller who moved it; None if unknown."""


class Aliases:
    """The aliases of all models. Any thread and any process may use it."""

    def __init__(
        self, database: Database, finder: Finder, clock: Clock, check: Callable[[str], None] = lambda ref: None
    ) -> None:
        """`check` raises where an alias must not point at the version of a reference, because it can't run."""
        self._database, self._finder, self._clock, self._check = database, finder, clock, check

    def set(
        self, model: str, alias: str, ref: str | None, *, expected: str | None = None, actor: str | None = None
    ) -> AliasMove:
        """Point `model:alias` at a version of the model, or remove it (`ref` None), and return the move. If it points
        there already, do nothing and return its last move.

        `expected`: the version it must point at now, else Conflict is raised (compare and set). `actor`: who moves it;
        None is the user of this process. Raises Conflict for a version of another model, ModelNotFound for an unknown
        version or alias, UnsupportedModel for a version that can't run.
        """
        check_name(alias, "an alias")
        if ref is not None:
            self._check(ref)
        with self._database.transaction(frees_space=True) as session:
            queries.lock_model(session, model)
            if ref is None:
                number = None
                self._finder.version(session, Reference(model, alias=alias))
            else:
                number = self._number(session, model, alias, ref)
            if expected is not None:
                self._check_expected(session, model, alias, self._number(session, model, alias, expected))
            move(session, model, alias, number, self._clock(), actor)
            describe_action(f"{model}:{alias}", **({} if number is None else {"version": f"{model}@{number}"}))
            return _moves(queries.alias_moves(session, model, alias))[-1]

    def list(self, model: str) -> Mapping[str, AliasMove]:
        """Return the model's aliases, each with its last move. Raises ModelNotFound."""
        with self._database.session() as session:
            self._finder.version(session, Reference(model))
            names = queries.aliases(session, model)
            return {name: _moves(queries.alias_moves(session, model, name))[-1] for name in names}

    def history(self, model: str, alias: str | None = None) -> Sequence[AliasMove]:
        """Return all moves of an alias, or of all aliases that the model ever had, oldest first.

        Raises NotFound with similar names for an alias that never existed.
        """
        with self._database.session() as session:
            known = {row.alias for row in queries.alias_moves(session, model)}
            if alias is None:
                if not known:
                    self._finder.version(session, Reference(model))
                found = [_moves(queries.alias_moves(session, model, name)) for name in known]
                return sorted((move for moves in found for move in moves), key=lambda move: move.at)
            if alias not in known:
                raise _not_found(model, alias, known)
            return _moves(queries.alias_moves(session, model, alias))

    def _number(self, session: Session, model: str, alias: str, ref: str) -> int:
        reference = parse_reference(ref)
        if reference.model != model:
            raise Conflict(f"{model}:{alias} can only point at a version of {model}, and {ref} is not one.")
        return self._finder.version(session, reference).number

    def _check_expected(self, session: Session, model: str, alias: str, expected: int) -> None:
        number = queries.aliases(session, model).get(alias)
        if number != expected:
            current = f"{model}@{number}" if number else "nothing"
            raise Conflict(
                f"{model}:{alias} points at {current}, not at {model}@{expected}. It was not moved."
                f" To see who moved it: llmos alias history {model}:{alias}"
            )


def move(session: Session, model: str, alias: str, number: int | None, at: datetime, actor: str | None) -> None:
    """Add a move, unless the alias points there already. The caller holds the lock on the model."""
    rows = queries.alias_moves(session, model, alias)
    if rows and rows[-1].number == number:
        return
    # Keep the history in order where the clock was set back.
    moved_at = max(at, rows[-1].moved_at) if rows else at
    session.add(AliasMoveRow(model=model, alias=alias, number=number, moved_at=moved_at, moved_by=actor or this_user()))
    session.flush()


def _moves(rows: Sequence[AliasMoveRow]) -> Sequence[AliasMove]:
    """Return the moves of one alias from its rows, oldest first."""
    found, was = [], None
    for row in rows:
        now = f"{row.model}@{row.number}" if row.number else None
        found.append(AliasMove(alias=row.alias, was=was, now=now, at=row.moved_at, actor=row.moved_by))
        was = now
    return found


def _not_found(model: str, alias: str, known: set[str]) -> NotFound:
    similar = nearest(alias, known) or sorted(known)
    names = ", ".join(f"{model}:{name}" for name in similar)
    hint = f"Known aliases: {names}." if similar else f"{model} has never had an alias."
    return NotFound(f"The alias {model}:{alias} never existed. {hint}", param="alias")
