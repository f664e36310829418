"""The datasets on a server, with blocking calls."""

import builtins
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Unpack

from llmos.client import dataset_calls as calls
from llmos.client.call import Call
from llmos.client.dataset_calls import ImportSettings
from llmos.client.naming import VersionedNoun
from llmos.client.upload_calls import OnBytes, result_of
from llmos.client.uploads import Uploading
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


class Datasets(VersionedNoun, Uploading):
    """The datasets of the key's project. A name is NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""

    _root = calls.ROOT
    _uploads = calls.UPLOADS

    def list(self) -> builtins.list[DatasetDescription]:
        """Return every Version."""
        return self._client._request(calls.list_datasets())

    def get(self, name: str) -> DatasetDetails:
        """Return a Version with its aliases, siblings and parents."""
        return self._client._request(calls.get_dataset(name))

    def remove(self, name: str) -> RemovalDescription:
        """Remove a dataset (NAME), a Version (NAME@3) or an alias (NAME:ALIAS)."""
        return self._client._request(calls.remove_dataset(name))

    def rows(self, name: str, *, limit: int = 10, skip: int = 0) -> builtins.list[RowDescription]:
        """Return rows, behind the first `skip` ones."""
        return self._client._request(calls.read_rows(name, limit, skip))

    def query(self, name: str, sql: str, *, limit: int = 1000) -> QueryDescription:
        """Return the result of one SELECT on the table `rows`, cut to `limit` rows."""
        return self._client._request(calls.query_dataset(name, sql, limit))

    def diff(self, older: str, newer: str, *, limit: int = 20) -> DifferenceDescription:
        """Return which rows only one of two Versions has, and why they went."""
        return self._client._request(calls.compare(older, newer, limit))

    def add_answers(self, name: str, answers: Sequence[str], *, consent: str | None = None) -> DatasetDescription:
        """Make the next Version, with the conversations of stored answers as rows of the kind `chat`.

        `answers`: their ids, or those of their requests. `consent`: train, eval or none. Raises Conflict where the
        newest Version has them already.
        """
        return self._client._request(calls.add_answers(name, answers, consent))

    def report(
        self, name: str, *, tokens: str | None = None, samples: int = 5, mask: bool = False
    ) -> DatasetReportDescription:
        """Return what a Version has: its rows by language and other columns, their lengths, and where it came from.

        `tokens`: a model whose tokens are counted, too. `samples`: rows to show. `mask`: put placeholders in the place
        of personal data.
        """
        return self._client._request(calls.report_dataset(name, tokens, samples, mask))

    def preview(self, path: Path | str, **settings: Unpack[ImportSettings]) -> PreviewDescription:
        """Send files, and return what their import would do."""
        return self._client._request(calls.preview_import(self.upload(path), settings))

    def import_path(
        self, path: Path | str, name: str, on_bytes: OnBytes | None = None, **settings: Unpack[ImportSettings]
    ) -> DatasetDescription:
        """Send a file, or the files of a folder, and return the Version that they become.

        Raises BadRequest with the first bad lines, unless `on_error` is "skip".
        """
        files = self.upload(path, on_bytes)
        return self._import(calls.start_import(name, files, None, settings), on_bytes)

    def import_location(
        self, location: str, name: str, on_bytes: OnBytes | None = None, **settings: Unpack[ImportSettings]
    ) -> DatasetDescription:
        """Let the server fetch files (hf:, https:, pypi: or s3:), and return the Version that they become."""
        return self._import(calls.start_import(name, [], location, settings), on_bytes)

    def operators(self) -> builtins.list[OperatorDescription]:
        """Return the operators that a recipe may name, with their options."""
        return self._client._request(calls.list_operators())

    def clean(
        self, name: str, operators: calls.Operators, on_progress: OnBytes | None = None, *, as_name: str | None = None
    ) -> DatasetDescription:
        """Run a recipe over a Version and return the new one, of the same dataset or of `as_name`.

        `operators`: {"name": an operator, and its options}, in order.
        """
        job = self._follow(calls.start_cleaning(name, operators, as_name), on_progress)
        return result_of(job, DatasetDescription)

    def check(self, name: str, operators: calls.Operators, on_progress: OnBytes | None = None) -> ForecastDescription:
        """Return what a recipe would do to a Version. Nothing is kept."""
        job = self._follow(calls.start_check(name, operators), on_progress)
        return result_of(job, ForecastDescription)

    def _import(self, call: Call[JobDescription], on_bytes: OnBytes | None) -> DatasetDescription:
        return result_of(self._follow(call, on_bytes), DatasetDescription)

    def export(self, name: str, *, shape: str | None = None, columns: bool = True) -> Iterator[bytes]:
        """Return the rows as JSON Lines, in pieces. `columns`: with those beside the content, for another import."""
        yield from self._client._download(calls.export_dataset(name, shape, columns))
