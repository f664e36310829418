"""Removal of many rows, a part at a time, so that nobody waits long for the database."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from llmos.core.database import Database


def remove_in_parts(database: Database, remove_some: Callable[[Session], int]) -> int:
    """Remove until a part has no rows, each part in a transaction of its own. Return how many rows there were."""
    num_removed = 0
    while True:
        with database.counting() as session:
            num = remove_some(session)
        num_removed += num
        if num == 0:
            return num_removed
