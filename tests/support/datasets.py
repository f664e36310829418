"""Datasets and knowledge beside the files of a test."""

from llmos.core.store.blob_keys import BlobKeys
from llmos.core.store.store import Store
from llmos.data.datasets.datasets import Datasets
from llmos.data.files import Files
from llmos.data.knowledge.knowledge import Knowledge


def datasets_beside(files: Files) -> Datasets:
    """Return the datasets of the same database, in a store of their own."""
    return Datasets(files.database, store_beside(files))


def knowledge_beside(files: Files) -> Knowledge:
    """Return the knowledge of the same database, in the store of the datasets."""
    return Knowledge(files.database, store_beside(files))


def store_beside(files: Files) -> Store:
    """Return the store beside the files, whose blobs' keys are under the same key ring."""
    return Store(files.folder.parent / "store", BlobKeys(files.database, lambda: files.encryption))
