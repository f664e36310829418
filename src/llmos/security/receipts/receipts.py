"""Receipts: signed, kept for some time, and found by the id of the answer or of the request.

Many are stored together, in a transaction that no other writer waits for (Database.counting): a power cut may lose the
last second of them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import NotFound
from llmos.core.removal import remove_in_parts
from llmos.core.schemas.base import read_description
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.core.statements import PlainTransaction, Values
from llmos.security.receipts import queries
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

    @property
    def keeps(self) -> bool:
        return self._days > 0

    def add(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Sign receipts and store them."""
        signed = self.sign(documents)
        with self._database.plain_counting() as transaction:
            self.add_signed(transaction, signed)

    def sign(self, documents: Sequence[Mapping[str, Any]]) -> Sequence[Values]:
        """Return the receipts, signed, to store them with add_signed()."""
        now = int(self._clock().timestamp())
        return [
            {
                "id": document["id"],
                "request_id": document["request_id"],
                "project": document["project"],
                "at": now,
                "document": self._key.sign_as_text({"type": RECEIPT, **document}),
            }
            for document in documents
        ]

    def add_signed(self, transaction: PlainTransaction, signed: Sequence[Values]) -> None:
        """Store receipts in a transaction."""
        if signed:
            queries.add(transaction, signed)

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

    def kept_since(self) -> int | None:
        """Return when the oldest receipt was made, in seconds since 1970; None if there is none."""
        with self._database.session() as session:
            row = queries.oldest(session)
        return None if row is None else row.at

    def parts_of_ids(self, start: int, end: int, limit: int) -> Iterator[Sequence[str]]:
        """Yield the ids of the answers whose receipts were made in a time, in seconds since 1970, a part at a time."""
        last = 0
        while True:
            with self._database.session() as session:
                rows = queries.ids_between(session, start, end, last, limit)
            if not rows:
                return
            yield [id for _, id in rows]
            last = rows[-1][0]

    def of_answers(self, ids: Collection[str]) -> Mapping[str, Sequence[ReceiptDescription]]:
        """Return the receipts of answers, by their ids, oldest first. A line of a batch that was answered twice has
        two. At most a thousand ids."""
        found: defaultdict[str, list[ReceiptDescription]] = defaultdict(list)
        with self._database.session() as session:
            rows = queries.of_answers(session, ids)
        for id, document in rows:
            found[id].append(read_description(ReceiptDescription, msgspec.json.decode(document)))
        return found

    def remove_old(self) -> int:
        """Remove what is kept no longer, a part at a time, and return how many there were."""
        before = int((self._clock() - timedelta(days=self._days)).timestamp())
        with self._database.session() as session:
            below = queries.oldest_kept(session, before, self._max_kept)
        return remove_in_parts(self._database, lambda session: queries.remove_some(session, below, _REMOVED_AT_ONCE))
