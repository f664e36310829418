"""Aliases: movable names for versions, with their history.

Every move is a row; the last row of an alias is its current target. The name's row is locked during a move, so
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
from llmos.core.versioning import queries
from llmos.core.versioning.columns import AliasMoveColumns
from llmos.core.versioning.noun import Noun, Versions
from llmos.core.who import this_user


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
    """The aliases of all names of a noun. Any thread and any process may use it."""

    def __init__(
        self, database: Database, versions: Versions, clock: Clock, check: Callable[[str], None] = lambda ref: None
    ) -> None:
        """`check` raises where an alias must not point at the version of a reference, because it can't
        be used."""
        self._database, self._versions, self._clock, self._check = database, versions, clock, check
        self._noun = versions.noun

    def set(
        self, name: str, alias: str, ref: str | None, *, expected: str | None = None, actor: str | None = None
    ) -> AliasMove:
        """Point `name:alias` at a version of the name, or remove it (`ref` None), and return the move. If it points
        there already, do nothing and return its last move.

        `expected`: the version it must point at now, else Conflict is raised (compare and set). `actor`: who moves it;
        None is the user of this process. Raises Conflict for a version of another name, NotFound for an unknown version
        or alias, and what `check` raises.
        """
        check_name(alias, "an alias")
        if ref is not None:
            self._check(ref)
        with self._database.transaction(frees_space=True) as session:
            queries.lock_name(session, self._noun, self._versions.key(name))
            if ref is None:
                number = None
                self._versions.version(session, Reference(name, alias=alias))
            else:
                number = self._number(session, name, alias, ref)
            if expected is not None:
                self._check_expected(session, name, alias, self._number(session, name, alias, expected))
            move(session, self._noun, self._versions.key(name), alias, number, self._clock(), actor)
            describe_action(f"{name}:{alias}", **({} if number is None else {"version": f"{name}@{number}"}))
            return self._moves(session, name, alias)[-1]

    def list(self, name: str) -> Mapping[str, AliasMove]:
        """Return the aliases of a name, each with its last move. Raises NotFound."""
        with self._database.session() as session:
            self._versions.version(session, Reference(name))
            aliases = queries.aliases(session, self._noun, self._versions.key(name))
            return {alias: self._moves(session, name, alias)[-1] for alias in aliases}

    def history(self, name: str, alias: str | None = None) -> Sequence[AliasMove]:
        """Return all moves of an alias, or of all aliases that the name ever had, oldest first.

        Raises NotFound with similar names for an alias that never existed.
        """
        with self._database.session() as session:
            known = {row.alias for row in queries.alias_moves(session, self._noun, self._versions.key(name))}
            if alias is None:
                if not known:
                    self._versions.version(session, Reference(name))
                found = [self._moves(session, name, each) for each in known]
                return sorted((move for moves in found for move in moves), key=lambda move: move.at)
            if alias not in known:
                raise _not_found(name, alias, known)
            return self._moves(session, name, alias)

    def _moves(self, session: Session, name: str, alias: str) -> Sequence[AliasMove]:
        return _moves(name, queries.alias_moves(session, self._noun, self._versions.key(name), alias))

    def _number(self, session: Session, name: str, alias: str, ref: str) -> int:
        reference = parse_reference(ref, self._noun.name)
        if reference.name != name:
            raise Conflict(f"{name}:{alias} can only point at a version of {name}, and {ref} is not one.")
        return self._versions.version(session, reference).number

    def _check_expected(self, session: Session, name: str, alias: str, expected: int) -> None:
        number = queries.aliases(session, self._noun, self._versions.key(name)).get(alias)
        if number != expected:
            current = f"{name}@{number}" if number else "nothing"
            raise Conflict(
                f"{name}:{alias} points at {current}, not at {name}@{expected}. It was not moved."
                f" To see who moved it: {self._noun.command} alias history {name}:{alias}"
            )


def move(
    session: Session, noun: Noun, key: str, alias: str, number: int | None, at: datetime, actor: str | None
) -> None:
    """Add a move, unless the alias points there already. The caller holds the lock on the name."""
    rows = queries.alias_moves(session, noun, key, alias)
    if rows and rows[-1].number == number:
        return
    # Keep the history in order where the clock was set back.
    moved_at = max(at, rows[-1].moved_at) if rows else at
    row = noun.alias_moves(owner=key, alias=alias, number=number, moved_at=moved_at, moved_by=actor or this_user())
    session.add(row)
    session.flush()


def _moves(name: str, rows: Sequence[AliasMoveColumns]) -> Sequence[AliasMove]:
    """Return the moves of one alias from its rows, oldest first."""
    found, was = [], None
    for row in rows:
        now = f"{name}@{row.number}" if row.number else None
        found.append(AliasMove(alias=row.alias, was=was, now=now, at=row.moved_at, actor=row.moved_by))
        was = now
    return found


def _not_found(name: str, alias: str, known: set[str]) -> NotFound:
    similar = nearest(alias, known) or sorted(known)
    names = ", ".join(f"{name}:{each}" for each in similar)
    hint = f"Known aliases: {names}." if similar else f"{name} has never had an alias."
    return NotFound(f"The alias {name}:{alias} never existed. {hint}", param="alias")
