"""Receipts: signed, kept for some time, and found by the id of the answer or of the request.

Many are stored together, in a transaction that no other writer waits for (Database.counting): a power cut may lose the
last second of them.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from llmos.core.canonical import canonical
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import NotFound
from llmos.core.schemas.base import read_description
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.security.receipts import queries
from llmos.security.receipts.tables import ReceiptRow
from llmos.security.signing_key import SigningKey

RECEIPT = "llmos.receipt/1"
"""The type of the document, so that no other signed document can pass for one."""

MAX_KEPT = 2_000_000
"""The limit of receipts of an installation, about 3.6 GB. The oldest go first."""

PRUNE_SECONDS = 3600.0

_REMOVED_AT_ONCE = 5_000


class Receipts:
    """Any thread and any process may use it."""

    def __init__(
        self,
        database: Database,
        key: SigningKey,
        *,
        days: int,
        max_kept: int = MAX_KEPT,
        clock: Clock = utc_now,
    ) -> None:
        """`days`: how long receipts are kept."""
        self._database, self._key, self._clock = database, key, clock
        self._days, self._max_kept = days, max_kept
        self._pruned_at = 0.0

    def add(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Sign receipts and store them."""
        now = int(self._clock().timestamp())
        rows = [
            ReceiptRow(
                id=document["id"],
                request_id=document["request_id"],
                project=document["project"],
                at=now,
                document=canonical(self._key.sign({"type": RECEIPT, **document})).decode(),
            )
            for document in documents
        ]
        with self._database.counting() as session:
            session.add_all(rows)

    def get(self, id: str, *, project: str | None = None) -> ReceiptDescription:
        """Return the receipt of an answer, by its id or that of its request. `project`: only if it belongs to this one.

        Raises NotFound.
        """
        with self._database.session() as session:
            row = queries.newest(session, id, project) if id.isprintable() else None
        if row is None:
            kept = f"Receipts are kept for {self._days} days" if self._days else "This server makes no receipts"
            raise NotFound(f"There is no receipt for {id[:80]!r}. {kept}.", param="id")
        return read_description(ReceiptDescription, msgspec.json.decode(row.document))

    def remove_old_if_due(self) -> int:
        """Remove what is kept no longer, once in PRUNE_SECONDS at most."""
        now = self._clock().timestamp()
        if now - self._pruned_at < PRUNE_SECONDS:
            return 0
        self._pruned_at = now
        return self.remove_old()

    def remove_old(self) -> int:
        """Remove what is kept no longer, a part at a time, and return how many there were."""
        before, num_removed = int((self._clock() - timedelta(days=self._days)).timestamp()), 0
        with self._database.session() as session:
            below = queries.oldest_kept(session, before, self._max_kept)
        while True:
            with self._database.counting() as session:
                num = queries.remove_some(session, below, _REMOVED_AT_ONCE)
            num_removed += num
            if num == 0:
                return num_removed
