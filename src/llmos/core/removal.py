"""Removal of many rows, a part at a time, so that nobody waits long for the database."""

from collections.abc import Callable, Sequence

from sqlalchemy import Select
from sqlalchemy.orm import Session

from llmos.core.database import Database

_IDS_AT_ONCE = 500
"""Every SQLite takes 999 parameters."""


def remove_in_parts(database: Database, remove_some: Callable[[Session], int]) -> int:
    """Remove until a part has no rows, each part in a transaction of its own. Return how many rows there were."""
    num_removed = 0
    while True:
        with database.counting() as session:
            num = remove_some(session)
        num_removed += num
        if num == 0:
            return num_removed


def remove_found(session: Session, ids: Select[str], remove: Callable[[Session, Sequence[str]], object]) -> None:
    """Remove what a query finds by its id until it finds no more, some at a time, in the transaction of the session."""
    while some := session.scalars(ids.limit(_IDS_AT_ONCE)).all():
        remove(session, some)
