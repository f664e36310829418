"""Datasets beside the files of a test."""

from llmos.core.store.store import Store
from llmos.data.datasets.datasets import Datasets
from llmos.data.files import Files


def datasets_beside(files: Files) -> Datasets:
    """Return the datasets of the same database, in a store of their own."""
    return Datasets(files.database, Store(files.folder.parent / "store"))
