"""ReceiptRecovery: makes the receipts that a server couldn't make before it was killed, from the entries of the ledger.

Receipts are stored a moment after their answers, entries before. So the newest entries may have none.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from llmos.billing import queries
from llmos.billing.entries import MEASURES
from llmos.billing.tables import LedgerRow
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.money import format_nanos
from llmos.security.receipts.receipts import Receipts

GRACE_SECONDS = 120.0
"""A call that was entered this long ago and has no receipt gets none any more from its server."""

_AT_ONCE = 500

_COMPLETE_PARTS = 10
"""At the start, so many parts of the ledger in a row without a missing receipt show that earlier ones have them."""


class ReceiptRecovery:
    """Any thread may use it, and any process, which then may make a receipt twice."""

    def __init__(self, database: Database, receipts: Receipts, *, clock: Clock = utc_now) -> None:
        self._database, self._receipts, self._clock = database, receipts, clock
        self._lock = threading.Lock()
        self._checked = 0
        """The number of the entry up to which all have receipts."""

    def run(self, grace_seconds: float = GRACE_SECONDS) -> int:
        """Make what is missing, and return how many receipts that are."""
        with self._lock:
            since = self._receipts.kept_since()
            return 0 if since is None else self._run(since, int(self._clock().timestamp() - grace_seconds))

    def _run(self, since: int, before: int) -> int:
        number, newest, num_made, num_complete = None, self._checked, 0, 0
        while num_complete < _COMPLETE_PARTS or self._checked:
            with self._database.session() as session:
                part = queries.entries_below(session, number, _AT_ONCE)
            old = [row for row in part if row.at <= before and row.number > self._checked]
            num_missing = self._make_missing([row for row in old if row.at >= since])
            num_made += num_missing
            num_complete = num_complete + 1 if old and not num_missing else 0
            newest = max([newest, *(row.number for row in old)])
            if not part or part[-1].number <= self._checked or part[-1].at < since:
                break
            number = part[-1].number
        self._checked = newest
        return num_made

    def _make_missing(self, rows: Sequence[LedgerRow]) -> int:
        ids = {row.call_id for row in rows}
        missing = ids - self._receipts.of_answers(ids).keys()
        if missing:
            with self._database.session() as session:
                entries = queries.entries_of_calls(session, missing)
            by_call: dict[str, list[LedgerRow]] = {}
            for row in entries:
                by_call.setdefault(row.call_id, []).append(row)
            self._receipts.add([_document(found) for found in by_call.values()])
        return len(missing)


def metered(rows: Iterable[LedgerRow]) -> Mapping[str, int]:
    """Return what entries count together, as receipts say it."""
    found = [*rows]
    return {name: sum(getattr(row, name) for row in found) for name in MEASURES} if found else {}


def _document(rows: Sequence[LedgerRow]) -> dict[str, Any]:
    """Return the receipt of a call, as far as the ledger knows it."""
    row, numbers = rows[-1], metered(rows)
    at = datetime.fromtimestamp(row.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    prompt = sum(numbers[name] for name in MEASURES if name.endswith("tokens") and name != "output_tokens")
    costs = [each.cost_nanos for each in rows if each.cost_nanos is not None]
    return {
        "id": row.call_id,
        "request_id": row.request_id,
        "project": row.project,
        "key_id": row.key_id,
        "began_at": at,
        "ended_at": None,
        "operation": row.operation,
        "outcome": "cancelled" if row.outcome == "cancelled" else "answered",
        "error": None,
        "model": row.model,
        "route": row.route or None,
        "version": row.version,
        "digest": None,
        "quantization": None,
        "runner": None,
        "guardrails": {},
        "stopped_by": None,
        "price_version": row.price_version,
        "cost": format_nanos(sum(costs)) if costs else None,
        "currency": row.currency or None,
        "usage": {
            "prompt_tokens": prompt,
            "cached_tokens": numbers["cached_input_tokens"],
            "completion_tokens": numbers["output_tokens"],
        },
        "metered": numbers,
        "is_recovered": True,
        "sampling": None,
        "input": {"of": "json", "sha256": None},
        "output": {"of": "choices", "sha256": None, "finish_reasons": []},
    }
