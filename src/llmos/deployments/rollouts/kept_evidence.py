"""Evidence in the database: it survives a restart, and servers that share a database share what they saw.

A row is never changed. Each server writes what it saw, and reads what the others wrote, in the order of the rows' ids.
Content of calls is not part of it.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict

import msgspec
from sqlalchemy import delete, func, select

from llmos.core.database import Database
from llmos.core.ids import new_id
from llmos.deployments.rollouts.evidence import CallOutcome, Comparison, Evidence, Item
from llmos.deployments.tables import EvidenceRow

MAX_ROWS = 100_000
"""The most rows of all routes together. The oldest are deleted."""

_OVERLAP = 1000
"""Rows before the last one that are read again: on PostgreSQL, a row may appear after one with a higher id."""


class KeptEvidence:
    """Keeps an Evidence and the database alike. Any thread may call its methods."""

    def __init__(self, database: Database, evidence: Evidence) -> None:
        self._database, self._evidence = database, evidence
        self._server = new_id("server")[:32]
        # A server that stops syncs once more, and the sync that it has interrupted may still run in its thread.
        self._syncing = threading.Lock()
        self._newest = 0
        self._seen: OrderedDict[int, None] = OrderedDict()

    def sync(self) -> None:
        """Write what is new here, and read what is new of others. What can't be written now is written later."""
        with self._syncing:
            items = self._evidence.take_new()
            try:
                self._write(items)
            except Exception:
                self._evidence.put_back(items)
                raise
            self._read()

    def _write(self, items: Sequence[Item]) -> None:
        if not items:
            return
        with self._database.transaction() as session:
            session.add_all(
                EvidenceRow(
                    server=self._server,
                    route=item.route,
                    target=item.target,
                    at=item.at,
                    kind="outcome" if isinstance(item.fact, CallOutcome) else "comparison",
                    data=asdict(item.fact),
                )
                for item in items
            )
            newest = session.scalar(select(func.max(EvidenceRow.id))) or 0
            session.execute(delete(EvidenceRow).where(EvidenceRow.id <= newest - MAX_ROWS))

    def _read(self) -> None:
        columns = (
            EvidenceRow.id,
            EvidenceRow.route,
            EvidenceRow.target,
            EvidenceRow.at,
            EvidenceRow.kind,
            EvidenceRow.data,
        )
        with self._database.session() as session:
            newest = session.scalar(select(func.max(EvidenceRow.id))) or 0
            if newest == self._newest:
                return
            first = self._newest - _OVERLAP
            others = select(*columns).where(EvidenceRow.id > first, EvidenceRow.server != self._server)
            for id, route, target, at, kind, data in session.execute(others.order_by(EvidenceRow.id)).yield_per(1000):
                if id not in self._seen:
                    self._seen[id] = None
                    fact_type: type[CallOutcome | Comparison] = CallOutcome if kind == "outcome" else Comparison
                    self._evidence.add(Item(route, target, at, msgspec.convert(data, fact_type)))
                    while len(self._seen) > 2 * _OVERLAP:
                        self._seen.popitem(last=False)
            self._newest = newest
