"""The blobs that something names, in all rooms that store some. Everything else may be deleted from the store.

A room that names blobs in its tables has a module with

    def digests_in_use(session: Session) -> set[str]
    def blob_users(session: Session, digests: Collection[str]) -> Mapping[str, Sequence[str]]

and is listed here: a room that isn't would lose its blobs as soon as another one deletes something. blob_users() says
for people which versions use a blob: {digest: ["support@1 of acme"]}.
"""

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module

from llmos.core.database import Database
from llmos.core.store.store import Store

ROOMS = (
    "llmos.models.queries",
    "llmos.data.datasets.queries",
    "llmos.data.knowledge.queries",
    "llmos.data.prompts.queries",
    "llmos.data.app_versions.queries",
)


def digests_in_use(database: Database) -> set[str]:
    """Return the digests of all blobs in use."""
    with database.session() as session:
        return {digest for room in ROOMS for digest in import_module(room).digests_in_use(session)}


def blob_users(database: Database, digests: Collection[str]) -> Mapping[str, Sequence[str]]:
    """Return {digest: the versions that use it}, as people call them, of these blobs."""
    users: dict[str, list[str]] = {}
    with database.session() as session:
        for room in ROOMS:
            for digest, names in import_module(room).blob_users(session, digests).items():
                users.setdefault(digest, []).extend(names)
    return users


def collect(database: Database, store: Store) -> int:
    """Delete the blobs that nothing uses, and return the number of bytes freed."""
    return store.collect(lambda: digests_in_use(database))
