"""Knowledge of the project `owner` in this machine's database."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.cli.control.local_names import LocalNames
from llmos.core.progress import Progress
from llmos.core.schemas.knowledge import (
    Citation,
    DocumentDescription,
    KnowledgeDescription,
    KnowledgeDetails,
    SearchDescription,
)
from llmos.core.schemas.knowledge_eval import KnowledgeEvalDescription
from llmos.core.schemas.models import RemovalDescription
from llmos.core.versioning.descriptions import describe_removal
from llmos.core.who import this_user

if TYPE_CHECKING:
    from typing import Unpack

    from llmos.cli.control.local import LocalControl
    from llmos.cli.pipeline_backend import PipelineEmbedding
    from llmos.client.knowledge_calls import AddSettings, SearchSettings
    from llmos.data.knowledge.knowledge import ProjectKnowledge
    from llmos.data.knowledge.sources import SourceDocument
    from llmos.data.knowledge.versions import KnowledgeVersion


class LocalKnowledge(LocalNames):
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def names(self) -> "ProjectKnowledge":
        from llmos.data.knowledge import open_knowledge

        registry = self._control.registry
        return open_knowledge(registry.database, registry.store).of()

    def list(self) -> Sequence[KnowledgeDescription]:
        from llmos.data.knowledge.descriptions import describe_version

        versions = self.names.list()
        labels = self.names.labels_of(versions)
        return [describe_version(version, labels) for version in versions]

    def details(self, name: str) -> KnowledgeDetails:
        from llmos.data.knowledge.descriptions import describe_details

        return describe_details(self.names.show(name))

    def remove(self, name: str) -> RemovalDescription:
        return describe_removal(self.names.remove(name, actor=this_user()))

    def documents(self, name: str) -> Iterator[DocumentDescription]:
        from llmos.data.knowledge.descriptions import describe_document

        return map(describe_document, self.names.documents(self.names.resolve(name)))

    def passage(self, name: str, document: str, *, start: int = 0, end: int | None = None) -> Citation:
        from llmos.data.knowledge.descriptions import describe_place

        return describe_place(self.names.passage(self.names.resolve(name), document, start, end))

    def search(self, name: str, query: str, **settings: "Unpack[SearchSettings]") -> SearchDescription:
        from llmos.gateway.knowledge_search import Search

        version = self.names.resolve(name)
        with self._embedding() as embedding:
            return embedding.search(self.names, version, Search(query=query, **settings))

    def evaluate(self, name: str, cases: str, progress: Progress) -> KnowledgeEvalDescription:
        from llmos.data.datasets import open_datasets
        from llmos.data.knowledge.evaluation.cases import read_cases
        from llmos.data.knowledge.evaluations import evaluate_version
        from llmos.gateway.knowledge_embedder import embedder_opener

        registry = self._control.registry
        datasets = open_datasets(self._control.settings, registry.database).of()
        version, dataset = self.names.resolve(name), datasets.resolve(cases)
        with self._embedding() as embedding:
            return evaluate_version(
                self.names,
                version,
                read_cases(datasets.rows(dataset)),
                embedder_opener(registry, embedding.embed),
                cases_ref=dataset.ref,
                actor=this_user(),
                progress=progress,
            )

    def evaluation(self, name: str) -> KnowledgeEvalDescription:
        from llmos.data.knowledge.evaluations import get_report

        return get_report(self.names, self.names.resolve(name))

    def add(
        self,
        name: str,
        paths: Path | str | Sequence[Path | str],
        progress: Progress,
        **settings: "Unpack[AddSettings]",
    ) -> KnowledgeDescription:
        from llmos.data.knowledge.adding import add_documents

        return self._make(add_documents, name, self._sources(paths, settings), progress, settings)

    def sync(
        self, name: str, folder: Path | str, progress: Progress, **settings: "Unpack[AddSettings]"
    ) -> KnowledgeDescription:
        from llmos.data.knowledge.adding import sync_documents

        return self._make(sync_documents, name, self._sources(folder, settings), progress, settings)

    def remove_documents(self, name: str, documents: Sequence[str]) -> KnowledgeDescription:
        from llmos.data.knowledge.adding import remove_documents

        return self._described(remove_documents(self.names, name, documents, actor=this_user()))

    def _make(
        self,
        change: "Callable[..., KnowledgeVersion]",
        name: str,
        sources: "Sequence[SourceDocument]",
        progress: Progress,
        settings: "AddSettings",
    ) -> KnowledgeDescription:
        from llmos.data.knowledge.adding import AddOptions
        from llmos.gateway.knowledge_embedder import embedder_opener

        options = AddOptions(
            embedding=settings.get("embedding"),
            max_tokens=settings.get("max_tokens"),
            overlap_tokens=settings.get("overlap_tokens"),
            on_error=settings.get("on_error", "stop"),
        )
        with self._embedding() as embedding:
            opener = embedder_opener(self._control.registry, embedding.embed)
            return self._described(
                change(self.names, name, sources, opener, options, actor=this_user(), progress=progress)
            )

    def _sources(self, paths: Path | str | Sequence[Path | str], settings: "AddSettings") -> "Sequence[SourceDocument]":
        from llmos.data.knowledge.sources import find_documents

        several = [paths] if isinstance(paths, Path | str) else paths
        subject = settings.get("subject")
        hashed = None if subject is None else self._control.keys_of_data.ring.index("subject", "owner", subject)
        return [
            source
            for path in several
            for source in find_documents(Path(path), metadata=settings.get("metadata"), subject=hashed)
        ]

    def _described(self, version: "KnowledgeVersion") -> KnowledgeDescription:
        from llmos.data.knowledge.descriptions import describe_version

        return describe_version(version, self.names.labels_of([version]))

    def _embedding(self) -> "PipelineEmbedding":
        # The pipeline takes long to import, and most commands need none.
        from llmos.cli.pipeline_backend import PipelineEmbedding

        return PipelineEmbedding(self._control.settings)
