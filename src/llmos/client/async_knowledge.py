"""The knowledge on a server, for asyncio programs: the same calls as in knowledge.py, awaited."""

import builtins
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from llmos.client import knowledge_calls as calls
from llmos.client.async_naming import AsyncVersionedNoun
from llmos.client.async_uploads import AsyncUploading
from llmos.client.knowledge_calls import AddSettings, SearchSettings
from llmos.client.upload_calls import OnBytes, result_of
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
    from llmos.client.asynchronous import AsyncClient


class AsyncKnowledge(AsyncVersionedNoun, AsyncUploading):
    """The knowledge of the key's project. A name is NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""

    _root = calls.ROOT
    _uploads = calls.UPLOADS

    async def list(self) -> builtins.list[KnowledgeDescription]:
        """Return every Version."""
        return await self._client._request(calls.list_knowledge())

    async def get(self, name: str) -> "AsyncKnowledgeVersion":
        """Return the Version behind a name. Raises NotFound with similar names."""
        return AsyncKnowledgeVersion(self._client, await self.details(name))

    async def details(self, name: str) -> KnowledgeDetails:
        """Return what is known of a Version, with its aliases and siblings."""
        return await self._client._request(calls.get_knowledge(name))

    async def remove(self, name: str) -> RemovalDescription:
        """Remove everything under a name (NAME), a Version (NAME@3) or an alias (NAME:ALIAS)."""
        return await self._client._request(calls.remove_knowledge(name))

    async def documents(self, name: str) -> AsyncIterator[DocumentDescription]:
        """Yield the documents of a Version, by name. They are asked for a thousand at a time."""
        after, has_more = None, True
        while has_more:
            page = await self._client._request(calls.list_documents(name, after, calls.PAGE))
            for document in page.data:
                yield document
            has_more = page.has_more
            after = page.data[-1].name if page.data else None

    async def passage(self, name: str, document: str, *, start: int = 0, end: int | None = None) -> Citation:
        """Return the passage that a citation points to, or without a span the whole text of a document: `.quote`."""
        return await self._client._request(calls.read_passage(name, document, start, end))

    async def search(self, name: str, query: str, **settings: Unpack[SearchSettings]) -> SearchDescription:
        """Return the passages that fit a question best, best first: `.hits`, each with `.text` and `.citation`.

        The settings are those of `SearchSettings`.
        """
        return await self._client._request(calls.search(name, query, settings))

    async def add(
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
        return await self._make(name, calls.files_at(paths), on_progress, settings, replaces=False)

    async def sync(
        self, name: str, folder: Path | str, on_progress: OnBytes | None = None, **settings: Unpack[AddSettings]
    ) -> KnowledgeDescription:
        """Make the documents equal to the files of a folder, and return the new Version. Otherwise like add()."""
        return await self._make(name, calls.files_at(folder), on_progress, settings, replaces=True)

    async def remove_documents(self, name: str, documents: Sequence[str]) -> KnowledgeDescription:
        """Return a new Version without these documents of the newest one."""
        return await self._client._request(calls.remove_documents(name, documents))

    async def evaluate(self, name: str, cases: str, on_progress: OnBytes | None = None) -> KnowledgeEvalDescription:
        """Measure a Version with the questions of a dataset, set its threshold, and return the report.

        `cases`: a dataset of the kind case. `.figures` have a `.sentence` each.
        """
        job = await self._follow(calls.start_evaluation(name, cases), on_progress)
        return result_of(job, KnowledgeEvalDescription)

    async def evaluation(self, name: str) -> KnowledgeEvalDescription:
        """Return the last report of a Version. Raises NotFound if it was never evaluated."""
        return await self._client._request(calls.get_evaluation(name))

    async def _make(
        self,
        name: str,
        files: Sequence[calls.FileToAdd],
        on_progress: OnBytes | None,
        settings: AddSettings,
        *,
        replaces: bool,
    ) -> KnowledgeDescription:
        found = [await self._client._request(call) for call in calls.find_missing(files)]
        documents = calls.documents_among(files, found)
        for each in calls.files_to_send(documents, found):
            await self._send_one(each.file, each.digest, on_progress)
        job = await self._follow(calls.start_sync(name, documents, settings, replaces=replaces), on_progress)
        return result_of(job, KnowledgeDescription)


class AsyncKnowledgeVersion:
    """A Version of knowledge, which never changes."""

    def __init__(self, client: "AsyncClient", info: KnowledgeDetails) -> None:
        self._client = client
        self.info = info
        self.version = info.version

    def __repr__(self) -> str:
        return f"AsyncKnowledgeVersion(version={self.version!r})"

    async def search(self, query: str, **settings: Unpack[SearchSettings]) -> SearchDescription:
        """Return the passages that fit a question best, best first."""
        return await self._client.knowledge.search(self.version, query, **settings)

    def documents(self) -> AsyncIterator[DocumentDescription]:
        """Yield the documents, by name."""
        return self._client.knowledge.documents(self.version)

    async def passage(self, document: str, *, start: int = 0, end: int | None = None) -> Citation:
        """Return the passage that a citation points to, or without a span the whole text of a document."""
        return await self._client.knowledge.passage(self.version, document, start=start, end=end)
