"""The journal of a run: what a process that runs it may write, and what it finds there after another one died.

    (new) ── begun ──▶ begun ── done, failed ──▶ done, failed         a process does it
                         │
                         └─ its process died ──▶ in_doubt ── done ──▶ done        it had happened
                                                    └────── clear ──▶ cleared ── begun ──▶ begun      it had not

Only effects come into doubt. Another step that was begun is begun again. A step that has ended is never done again: who
wants to begin it gets its result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.orm import Session

from llmos.core.schemas.runs import StepDescription
from llmos.data.apps.opened import OpenRun
from llmos.data.apps.sealing import seal, unseal
from llmos.data.apps.tables import StepRow

EntryState = Literal["begun", "done", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """The entry that a process writes about one step."""

    key: str
    """Names the step within the run."""
    kind: str
    name: str
    state: EntryState
    digest: str = ""
    is_effect: bool = False
    attempt: str = ""
    """Chosen by the process: the same entry, sent twice, begins a step once."""
    reconciled: bool = False
    """The process knows what became of a step in doubt: done, or not begun."""
    arguments: Any = None
    result: Any = None
    seconds: float = 0.0


class Journal:
    """Steps of one run, within a transaction that has locked it."""

    def __init__(self, session: Session, run: OpenRun, now: datetime, rows: Sequence[StepRow]) -> None:
        """`rows`: the steps that are there, as far as they are asked for here. They are kept with the next flush."""
        self._session, self._key, self._run, self._now = session, run.key, run.row, now
        self._rows = {row.key: row for row in rows}
        self._values: dict[str, tuple[Any, Any]] = {}
        """The arguments and results that this object has sealed or opened."""

    def write(self, entries: Sequence[Entry]) -> list[StepDescription]:
        """Write entries, as far as they may be, and return how their steps stand then."""
        return [self._write(entry) for entry in entries]

    def steps(self) -> list[StepDescription]:
        """Return the steps that were read, and those that were written."""
        return [self._described(row) for row in self._rows.values()]

    def doubt_begun_effects(self) -> None:
        """Bring the effects that another process began into doubt."""
        for row in self._rows.values():
            if row.is_effect and row.state == "begun":
                row.state, row.at = "in_doubt", self._now

    def resolve(self, key: str, has_happened: bool, result: Any) -> bool:
        """Say what became of a step in doubt. Return whether there is one with this key."""
        row = self._rows.get(key)
        if row is None or row.state != "in_doubt":
            return False
        arguments, _ = self._opened(row)
        row.sealed = self._sealed(row.number, key, arguments, result)
        row.state, row.at = "done" if has_happened else "cleared", self._now
        return True

    def _write(self, entry: Entry) -> StepDescription:
        row = self._rows.get(entry.key)
        if row is None:
            row = self._add(entry)
        elif _may_change(row, entry):
            arguments = self._opened(row)[0] if entry.arguments is None else entry.arguments
            row.sealed = self._sealed(row.number, row.key, arguments, entry.result)
            row.state, row.attempt, row.seconds, row.at = entry.state, entry.attempt, entry.seconds, self._now
        return self._described(row)

    def _add(self, entry: Entry) -> StepRow:
        number = self._run.num_steps
        self._run.num_steps += 1
        row = StepRow(
            run_id=self._run.id,
            number=number,
            key=entry.key,
            kind=entry.kind,
            name=entry.name,
            digest=entry.digest,
            is_effect=entry.is_effect,
            state=entry.state,
            attempt=entry.attempt,
            sealed=self._sealed(number, entry.key, entry.arguments, entry.result),
            seconds=entry.seconds,
            at=self._now,
        )
        self._session.add(row)
        self._rows[entry.key] = row
        return row

    def _sealed(self, number: int, key: str, arguments: Any, result: Any) -> bytes:
        self._values[key] = arguments, result
        return seal(self._key, [arguments, result], f"step {number}")

    def _opened(self, row: StepRow) -> tuple[Any, Any]:
        if row.key not in self._values:
            arguments, result = unseal(self._key, row.sealed, f"step {row.number}")
            self._values[row.key] = arguments, result
        return self._values[row.key]

    def _described(self, row: StepRow) -> StepDescription:
        arguments, result = self._opened(row)
        return StepDescription(
            number=row.number,
            key=row.key,
            kind=row.kind,
            name=row.name,
            digest=row.digest,
            is_effect=row.is_effect,
            state=row.state,
            attempt=row.attempt,
            arguments=arguments,
            result=result,
            seconds=row.seconds,
            at=row.at,
        )


def _may_change(row: StepRow, entry: Entry) -> bool:
    """Return whether a step that is there may enter the entry's state."""
    match row.state:
        case "begun":
            return not row.is_effect or row.attempt == entry.attempt
        case "cleared":
            return True
        case "in_doubt":
            return entry.reconciled
        case _:
            return False
