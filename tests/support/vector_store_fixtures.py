"""Fixtures: vector stores in an empty store, on each kind of database, and files to put into them.

The conftest.py of a folder imports what it needs.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from llmos.data.files import Files
from llmos.data.knowledge.knowledge import Knowledge
from llmos.data.vector_stores.records import Attachment, VectorStore
from llmos.data.vector_stores.syncing import sync_files
from llmos.data.vector_stores.vector_stores import VectorStores
from support.encryption import open_test_encryption
from support.knowledge_fixtures import FakeEmbedder
from support.turned_clock import Clock

PROJECT = "acme"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stores(all_knowledge: Knowledge, clock: Clock) -> VectorStores:
    return VectorStores(all_knowledge.database, all_knowledge, clock=clock)


@pytest.fixture
def files(all_knowledge: Knowledge, tmp_path: Path) -> Files:
    return Files(all_knowledge.database, tmp_path / "files", open_test_encryption(all_knowledge.database, tmp_path))


@pytest.fixture
def upload(files: Files) -> Callable[..., str]:
    """Return a function that keeps a file, and returns its id."""

    def upload(name: str, content: str | bytes, *, purpose: str = "assistants", project: str = PROJECT) -> str:
        incoming = files.begin()
        incoming.write(content if isinstance(content, bytes) else content.encode())
        return files.finish(incoming, tenant=project, purpose=purpose, filename=name).id

    return upload


@pytest.fixture
def sync(
    stores: VectorStores, files: Files, all_knowledge: Knowledge, embedder: FakeEmbedder, tmp_path: Path
) -> Callable[[str], object]:
    """Return a function that does what the job does."""

    def sync(id: str) -> object:
        store, knowledge = stores.get(PROJECT, id), all_knowledge.of(PROJECT)
        return sync_files(stores, store, files, knowledge, lambda ref: embedder, tmp_path / "copies")

    return sync


@pytest.fixture
def filled(
    stores: VectorStores, upload: Callable[..., str], sync: Callable[[str], object]
) -> Callable[..., tuple[VectorStore, list[str]]]:
    """Return a function that makes a vector store of files, {name: text}, and returns it with their ids."""

    def filled(texts: dict[str, str | bytes], **fields: object) -> tuple[VectorStore, list[str]]:
        store, ids = stores.create(PROJECT, **fields), [upload(name, text) for name, text in texts.items()]
        stores.attach(PROJECT, store.id, [Attachment(file_id=id) for id in ids], is_batch=False)
        sync(store.id)
        return stores.get(PROJECT, store.id), ids

    return filled
