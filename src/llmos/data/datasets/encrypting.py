"""Encrypts the segments that an earlier version has stored plain. A crash at any point loses nothing: a segment is
encrypted first, and then versions name it."""

from llmos.core.store.blobs_in_use import collect
from llmos.data.datasets import queries
from llmos.data.datasets.datasets import Datasets


def num_plain_segments(datasets: Datasets) -> int:
    """Return how many segments aren't encrypted."""
    with datasets.database.session() as session:
        return len(queries.plain_segments(session))


def encrypt_segments(datasets: Datasets) -> int:
    """Encrypt them, and return how many they were. Raises StoreFailed for a full disk."""
    with datasets.database.session() as session:
        found = queries.plain_segments(session)
    for project, plain in found:
        store = datasets.store.of_project(project)
        with store.publishing(), store.disk_errors():
            sealed, _ = store.add(store.blob_path(plain))
            with datasets.database.transaction() as session:
                queries.replace_blob(session, project, plain, sealed)
    if found:
        collect(datasets.database, datasets.store)
    return len(found)
