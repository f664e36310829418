"""Fixtures: knowledge in an empty store, on each kind of database, and an embedder without a model.

The conftest.py of a folder imports what it needs.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from llmos.core.database import Database
from llmos.core.store.store import Store
from llmos.data.knowledge.adding import AddOptions, sync_documents
from llmos.data.knowledge.embedder import Role, Vectors, unit
from llmos.data.knowledge.knowledge import Knowledge, ProjectKnowledge
from llmos.data.knowledge.sources import SourceDocument
from llmos.data.knowledge.versions import KnowledgeVersion

_WORDS = re.compile(r"[\u4e00-\u9fff]|\w+")
DIMENSIONS = 64


def words(text: str) -> list[str]:
    return _WORDS.findall(text.lower())


def vector_of(text: str) -> Vectors:
    """Return a vector that is near those of texts with the same words."""
    vector = np.full((1, DIMENSIONS), 1e-3, np.float32)
    for word in words(text):
        vector[0, int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % DIMENSIONS] += 1
    return unit(vector)[0]


@dataclass
class FakeEmbedder:
    """Embeds words by their hashes, at once."""

    ref: str = "words@1"
    max_tokens: int = 256
    texts: list[str] = field(default_factory=list)
    """The embedded texts."""

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.ref.encode()).hexdigest()}"

    def count_tokens(self, text: str) -> int:
        return len(words(text))

    def unknown_share(self, text: str) -> float:
        return 0.0

    def embed(self, texts: Sequence[str], role: Role) -> "Future[Vectors]":
        self.texts += texts
        future: Future[Vectors] = Future()
        future.set_result(np.stack([vector_of(text) for text in texts]))
        return future


@pytest.fixture
def all_knowledge(database: Database, store: Store) -> Knowledge:
    knowledge = Knowledge(database, store)
    yield knowledge
    knowledge.close()


@pytest.fixture
def knowledge(all_knowledge: Knowledge) -> ProjectKnowledge:
    return all_knowledge.of()


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def sources(tmp_path: Path) -> Callable[..., list[SourceDocument]]:
    """Return a function that writes files, {name: text}, and returns them as sources."""

    def write(files: dict[str, str | bytes], **fields: object) -> list[SourceDocument]:
        folder = tmp_path / "sources"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [SourceDocument(name=name, path=folder / name, **fields) for name in files]

    return write


@pytest.fixture
def sync(
    knowledge: ProjectKnowledge, embedder: FakeEmbedder, sources: Callable[..., list[SourceDocument]]
) -> Callable[..., KnowledgeVersion]:
    """Return a function that makes a version of files, {name: text}."""

    def sync(
        files: dict[str, str | bytes], name: str = "faq", metadata: dict[str, object] | None = None, **options: object
    ) -> KnowledgeVersion:
        found = sources(files, metadata=metadata)
        return sync_documents(knowledge, name, found, lambda ref: embedder, AddOptions(**options))

    return sync
