"""The datasets on a server, for asyncio programs: the same calls as in datasets.py, awaited."""

import builtins
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Unpack

from llmos.client import dataset_calls as calls
from llmos.client.async_naming import AsyncVersionedNoun
from llmos.client.async_uploads import AsyncUploading
from llmos.client.call import Call
from llmos.client.dataset_calls import ImportSettings
from llmos.client.upload_calls import OnBytes, result_of
from llmos.core.schemas.dataset_cleaning import ForecastDescription, OperatorDescription
from llmos.core.schemas.dataset_reports import DatasetReportDescription
from llmos.core.schemas.datasets import (
    DatasetDescription,
    DatasetDetails,
    DifferenceDescription,
    PreviewDescription,
    QueryDescription,
    RowDescription,
)
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.models import RemovalDescription


class AsyncDatasets(AsyncVersionedNoun, AsyncUploading):
    """The datasets of the key's project. A name is NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""

    _root = calls.ROOT
    _uploads = calls.UPLOADS

    async def list(self) -> builtins.list[DatasetDescription]:
        """Return every Version."""
        return await self._client._request(calls.list_datasets())

    async def get(self, name: str) -> DatasetDetails:
        """Return a Version with its aliases, siblings and parents."""
        return await self._client._request(calls.get_dataset(name))

    async def remove(self, name: str) -> RemovalDescription:
        """Remove a dataset (NAME), a Version (NAME@3) or an alias (NAME:ALIAS)."""
        return await self._client._request(calls.remove_dataset(name))

    async def rows(self, name: str, *, limit: int = 10, skip: int = 0) -> builtins.list[RowDescription]:
        """Return rows, behind the first `skip` ones."""
        return await self._client._request(calls.read_rows(name, limit, skip))

    async def query(self, name: str, sql: str, *, limit: int = 1000) -> QueryDescription:
        """Return the result of one SELECT on the table `rows`, cut to `limit` rows."""
        return await self._client._request(calls.query_dataset(name, sql, limit))

    async def diff(self, older: str, newer: str, *, limit: int = 20) -> DifferenceDescription:
        """Return which rows only one of two Versions has, and why they went."""
        return await self._client._request(calls.compare(older, newer, limit))

    async def add_answers(self, name: str, answers: Sequence[str], *, consent: str | None = None) -> DatasetDescription:
        """Make the next Version, with the conversations of stored answers as rows of the kind `chat`.

        `answers`: their ids, or those of their requests. `consent`: train, eval or none. Raises Conflict where the
        newest Version has them already.
        """
        return await self._client._request(calls.add_answers(name, answers, consent))

    async def report(
        self, name: str, *, tokens: str | None = None, samples: int = 5, mask: bool = False
    ) -> DatasetReportDescription:
        """Return what a Version has: its rows by language and other columns, their lengths, and where it came from.

        `tokens`: a model whose tokens are counted, too. `samples`: rows to show. `mask`: put placeholders in the place
        of personal data.
        """
        return await self._client._request(calls.report_dataset(name, tokens, samples, mask))

    async def preview(self, path: Path | str, **settings: Unpack[ImportSettings]) -> PreviewDescription:
        """Send files, and return what their import would do."""
        return await self._client._request(calls.preview_import(await self.upload(path), settings))

    async def import_path(
        self, path: Path | str, name: str, on_bytes: OnBytes | None = None, **settings: Unpack[ImportSettings]
    ) -> DatasetDescription:
        """Send a file, or the files of a folder, and return the Version that they become.

        Raises BadRequest with the first bad lines, unless `on_error` is "skip".
        """
        files = await self.upload(path, on_bytes)
        return await self._import(calls.start_import(name, files, None, settings), on_bytes)

    async def import_location(
        self, location: str, name: str, on_bytes: OnBytes | None = None, **settings: Unpack[ImportSettings]
    ) -> DatasetDescription:
        """Let the server fetch files (hf:, https:, pypi: or s3:), and return the Version that they become."""
        return await self._import(calls.start_import(name, [], location, settings), on_bytes)

    async def operators(self) -> builtins.list[OperatorDescription]:
        """Return the operators that a recipe may name, with their options."""
        return await self._client._request(calls.list_operators())

    async def clean(
        self, name: str, operators: calls.Operators, on_progress: OnBytes | None = None, *, as_name: str | None = None
    ) -> DatasetDescription:
        """Run a recipe over a Version and return the new one, of the same dataset or of `as_name`.

        `operators`: {"name": an operator, and its options}, in order.
        """
        job = await self._follow(calls.start_cleaning(name, operators, as_name), on_progress)
        return result_of(job, DatasetDescription)

    async def check(
        self, name: str, operators: calls.Operators, on_progress: OnBytes | None = None
    ) -> ForecastDescription:
        """Return what a recipe would do to a Version. Nothing is kept."""
        job = await self._follow(calls.start_check(name, operators), on_progress)
        return result_of(job, ForecastDescription)

    async def _import(self, call: Call[JobDescription], on_bytes: OnBytes | None) -> DatasetDescription:
        return result_of(await self._follow(call, on_bytes), DatasetDescription)

    async def export(self, name: str, *, shape: str | None = None, columns: bool = True) -> AsyncIterator[bytes]:
        """Return the rows as JSON Lines, in pieces. `columns`: with those beside the content, for another import."""
        async for piece in self._client._download(calls.export_dataset(name, shape, columns)):
            yield piece
