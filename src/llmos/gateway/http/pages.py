"""Positions in lists that are returned page by page."""

from collections.abc import Sequence

from llmos.core.errors import BadRequest


def index_of(ids: Sequence[str], id: str, field: str) -> int:
    """Return the index of the object with this id. Raises BadRequest naming `field` if the list doesn't have it."""
    if id not in ids:
        raise BadRequest(f"`{field}` is {id!r:.100}, which is not in the list.", param=field)
    return ids.index(id)
