"""Stores cards in the database: one for each version that was measured, by its digest."""

import msgspec
from sqlalchemy import select

from llmos.core.database import Database
from llmos.core.schemas.cards import Card
from llmos.models.cards.card import from_json, to_json
from llmos.models.tables import CardRow
from llmos.models.versions.versions import Version


class Cards:
    """The cards of all versions. Any thread and any process may use it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, version: Version) -> Card | None:
        """Return the version's card, or None. Raises Conflict for a card that a newer LLMOS wrote."""
        with self._database.session() as session:
            row = session.get(CardRow, version.digest)
            # The card may have been measured under another name of the same version.
            return None if row is None else msgspec.structs.replace(from_json(row.card), version=version.ref)

    def put(self, version: Version, card: Card) -> None:
        """Store the version's card and replace an older one."""
        with self._database.transaction() as session:
            row = session.get(CardRow, version.digest, with_for_update=True)
            if row is None:
                session.add(row := CardRow(digest=version.digest))
            row.measured_at, row.card = card.measured_at, to_json(card).decode()

    def measured(self) -> set[str]:
        """Return the digests of the versions that have a card."""
        with self._database.session() as session:
            return set(session.scalars(select(CardRow.digest)))
