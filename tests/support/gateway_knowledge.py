"""Knowledge of a test's services, whose vectors are those of the fake pool."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from llmos.data.knowledge.adding import sync_documents
from llmos.data.knowledge.embedder import Vectors
from llmos.data.knowledge.knowledge import ProjectKnowledge
from llmos.data.knowledge.sources import SourceDocument
from llmos.gateway.services import Services
from support.knowledge_fixtures import FakeEmbedder
from support.scripted import MINILM

FILES = {"a.md": "# Tea\n\nSteep it.\n", "b.md": "# Tea\n\nSteep the leaves for two minutes.\n"}


class LengthEmbedder(FakeEmbedder):
    """Makes the vectors that the fake pool makes of a single text."""

    digest = MINILM.digest  # type: ignore[assignment]

    def embed(self, texts: Any, role: Any) -> "Future[Vectors]":
        future: Future[Vectors] = Future()
        future.set_result(np.array([[len(text), 1] for text in texts], np.float32))
        return future


def make_faq(services: Services, folder: Path) -> ProjectKnowledge:
    """Make faq@1 of FILES in the project `owner`. Each has its name as metadata."""
    knowledge, sources = services.data.knowledge.of("owner"), []
    for name, text in FILES.items():
        (folder / name).write_text(text)
        sources.append(SourceDocument(name=name, path=folder / name, metadata={"name": name}))
    sync_documents(knowledge, "faq", sources, lambda ref: LengthEmbedder(ref="minilm@1"))
    return knowledge
