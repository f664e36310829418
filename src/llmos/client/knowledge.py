"""The knowledge on a server, with blocking calls."""

import builtins
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from llmos.client import knowledge_calls as calls
from llmos.client.knowledge_calls import AddSettings, SearchSettings
from llmos.client.naming import VersionedNoun
from llmos.client.upload_calls import OnBytes, result_of
from llmos.client.uploads import Uploading
from llmos.core.schemas.knowledge import (
    Citation,
    DocumentDescription,
    KnowledgeDescription,
    KnowledgeDetails,
    SearchDescription,
)
from llmos.core.schemas.knowledge_eval import KnowledgeEvalDescription
from llmos.core.schemas.models import RemovalDescription

if TYPE_CHECKING:
    from llmos.client.blocking import Client


class Knowledge(VersionedNoun, Uploading):
    """The knowledge of the key's project. A name is NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""

    _root = calls.ROOT
    _uploads = calls.UPLOADS

    def list(self) -> builtins.list[KnowledgeDescription]:
        """Return every Version."""
        return self._client._request(calls.list_knowledge())

    def get(self, name: str) -> "KnowledgeVersion":
        """Return the Version behind a name. Raises NotFound with similar names."""
        return KnowledgeVersion(self._client, self.details(name))

    def details(self, name: str) -> KnowledgeDetails:
        """Return what is known of a Version, with its aliases and siblings."""
        return self._client._request(calls.get_knowledge(name))

    def remove(self, name: str) -> RemovalDescription:
        """Remove everything under a name (NAME), a Version (NAME@3) or an alias (NAME:ALIAS)."""
        return self._client._request(calls.remove_knowledge(name))

    def documents(self, name: str) -> Iterator[DocumentDescription]:
        """Yield the documents of a Version, by name. They are asked for a thousand at a time."""
        after, has_more = None, True
        while has_more:
            page = self._client._request(calls.list_documents(name, after, calls.PAGE))
            yield from page.data
            has_more = page.has_more
            after = page.data[-1].name if page.data else None

    def passage(self, name: str, document: str, *, start: int = 0, end: int | None = None) -> Citation:
        """Return the passage that a citation points to, or without a span the whole text of a document: `.quote`."""
        return self._client._request(calls.read_passage(name, document, start, end))

    def search(self, name: str, query: str, **settings: Unpack[SearchSettings]) -> SearchDescription:
        """Return the passages that fit a question best, best first: `.hits`, each with `.text` and `.citation`.

        The settings are those of `SearchSettings`.
        """
        return self._client._request(calls.search(name, query, settings))

    def add(
        self,
        name: str,
        paths: Path | str | Sequence[Path | str],
        on_progress: OnBytes | None = None,
        **settings: Unpack[AddSettings],
    ) -> KnowledgeDescription:
        """Add files, or the files of folders, or replace the documents with their names, and return the new Version.

        The settings are those of `AddSettings`. Raises BadDocument for documents that can't be read, unless `on_error`
        is "skip". Sends only files that the server doesn't have: after a break, call it again.
        """
        return self._make(name, calls.files_at(paths), on_progress, settings, replaces=False)

    def sync(
        self, name: str, folder: Path | str, on_progress: OnBytes | None = None, **settings: Unpack[AddSettings]
    ) -> KnowledgeDescription:
        """Make the documents equal to the files of a folder, and return the new Version. Otherwise like add()."""
        return self._make(name, calls.files_at(folder), on_progress, settings, replaces=True)

    def remove_documents(self, name: str, documents: Sequence[str]) -> KnowledgeDescription:
        """Return a new Version without these documents of the newest one."""
        return self._client._request(calls.remove_documents(name, documents))

    def evaluate(self, name: str, cases: str, on_progress: OnBytes | None = None) -> KnowledgeEvalDescription:
        """Measure a Version with the questions of a dataset, set its threshold, and return the report.

        `cases`: a dataset of the kind case. `.figures` have a `.sentence` each.
        """
        job = self._follow(calls.start_evaluation(name, cases), on_progress)
        return result_of(job, KnowledgeEvalDescription)

    def evaluation(self, name: str) -> KnowledgeEvalDescription:
        """Return the last report of a Version. Raises NotFound if it was never evaluated."""
        return self._client._request(calls.get_evaluation(name))

    def _make(
        self,
        name: str,
        files: Sequence[calls.FileToAdd],
        on_progress: OnBytes | None,
        settings: AddSettings,
        *,
        replaces: bool,
    ) -> KnowledgeDescription:
        found = [self._client._request(call) for call in calls.find_missing(files)]
        documents = calls.documents_among(files, found)
        for each in calls.files_to_send(documents, found):
            self._send_one(each.file, each.digest, on_progress)
        job = self._follow(calls.start_sync(name, documents, settings, replaces=replaces), on_progress)
        return result_of(job, KnowledgeDescription)


class KnowledgeVersion:
    """A Version of knowledge, which never changes."""

    def __init__(self, client: "Client", info: KnowledgeDetails) -> None:
        self._client = client
        self.info = info
        self.version = info.version

    def __repr__(self) -> str:
        return f"KnowledgeVersion(version={self.version!r})"

    def search(self, query: str, **settings: Unpack[SearchSettings]) -> SearchDescription:
        """Return the passages that fit a question best, best first."""
        return self._client.knowledge.search(self.version, query, **settings)

    def documents(self) -> Iterator[DocumentDescription]:
        """Yield the documents, by name."""
        return self._client.knowledge.documents(self.version)

    def passage(self, document: str, *, start: int = 0, end: int | None = None) -> Citation:
        """Return the passage that a citation points to, or without a span the whole text of a document."""
        return self._client.knowledge.passage(self.version, document, start=start, end=end)
