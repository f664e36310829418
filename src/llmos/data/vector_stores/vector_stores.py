"""VectorStores: makes, finds, changes and removes vector stores and the files in them. Any thread may use it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.ids import new_id
from llmos.core.names import check_file_name
from llmos.data import queries as file_queries
from llmos.data.knowledge.knowledge import Knowledge
from llmos.data.knowledge.sources import check_metadata
from llmos.data.tables import FileRow
from llmos.data.vector_stores import queries
from llmos.data.vector_stores.queries import Window
from llmos.data.vector_stores.records import (
    Attachment,
    Chunking,
    FileBatch,
    FileCounts,
    Part,
    StoreFile,
    VectorStore,
    batch_of,
    file_of,
    store_of,
)
from llmos.data.vector_stores.tables import VectorStoreBatchRow, VectorStoreFileRow, VectorStoreRow

PURPOSES = ("assistants", "user_data")
"""The purposes of files that may be put into vector stores."""

MAX_FILES = 10_000
"""The most files of a vector store."""

JobState = Callable[[str], str | None]
"""Returns the state of a job; None if it doesn't exist any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The part of a list that is asked for, by the ids of objects."""

    limit: int = 20
    newest_first: bool = True
    after: str | None = None
    before: str | None = None


class VectorStores:
    """The vector stores of all projects. One of another project doesn't exist for a project."""

    def __init__(self, database: Database, knowledge: Knowledge, *, clock: Clock = utc_now) -> None:
        self.database, self._knowledge, self._clock = database, knowledge, clock

    def create(
        self,
        project: str,
        *,
        name: str = "",
        metadata: Mapping[str, str] | None = None,
        chunking: Chunking | None = None,
        expires_after_days: int | None = None,
    ) -> VectorStore:
        """Make an empty vector store."""
        now = self._clock()
        self._remove_expired(project)
        with self.database.transaction() as session:
            row = VectorStoreRow(
                id=new_id("vs_"),
                project=project,
                name=name,
                fields=dict(metadata or {}),
                max_tokens=None if chunking is None else chunking.max_tokens,
                overlap_tokens=None if chunking is None else chunking.overlap_tokens,
                expires_after_days=expires_after_days,
                last_active_at=now,
                created_at=now,
            )
            session.add(row)
            session.flush()
            describe_action(row.id)
            return store_of(row, {})

    def get(self, project: str, id: str) -> VectorStore:
        """Raises NotFound."""
        with self.database.session() as session:
            return _described(session, _existing(session, project, id))

    def get_live(self, project: str, id: str) -> VectorStore:
        """Return a vector store that hasn't expired. Raises NotFound, and Conflict for one that has."""
        store = self.get(project, id)
        self._check_live(store)
        return store

    def list(self, project: str, page: Page) -> Part[VectorStore]:
        """Raises NotFound where `after` or `before` doesn't exist."""
        with self.database.session() as session:
            window = _window(page, lambda id: _existing(session, project, id).number)
            rows = queries.stores(session, project, window)
            part = _part(rows, window)
            counts = queries.counts(session, [row.number for row in part.items])
            return Part([store_of(row, counts.get(row.number, {})) for row in part.items], part.has_more)

    def update(self, project: str, id: str, changes: Mapping[str, Any]) -> VectorStore:
        """Change `name`, `fields` (the metadata) and `expires_after_days`. Raises NotFound."""
        with self.database.transaction() as session:
            row = _existing(session, project, id, lock=True)
            for column, value in changes.items():
                setattr(row, column, value)
            row.last_active_at = self._clock()
            return _described(session, row)

    def touch(self, project: str, id: str) -> None:
        """Note that a vector store is used now."""
        with self.database.transaction() as session:
            if (row := queries.store(session, project, id)) is not None:
                row.last_active_at = self._clock()

    def remove(self, project: str, id: str) -> None:
        """Remove a vector store. Its files stay in /v1/files. Raises NotFound."""
        with self.database.transaction(frees_space=True) as session:
            row = _existing(session, project, id, lock=True)
            queries.remove_contents(session, row.number)
            session.delete(row)
        self.remove_knowledge(project, id)

    def remove_project(self, project: str) -> None:
        """Remove all vector stores of a project. Their knowledge goes with that of the project."""
        with self.database.transaction(frees_space=True) as session:
            for row in queries.stores_of(session, project):
                queries.remove_contents(session, row.number)
                session.delete(row)

    def attach(
        self, project: str, id: str, attachments: Sequence[Attachment], *, is_batch: bool
    ) -> tuple[FileBatch | None, Sequence[StoreFile]]:
        """Put files into a vector store, where they wait for the next job; one that is in it takes the new attributes.

        Raises NotFound for an unknown vector store or file, BadRequest for a file with another purpose, for attributes
        that can't be kept and for a file that is named twice, and Conflict for a vector store that has expired.
        """
        with self.database.transaction() as session:
            row = _existing(session, project, id, lock=True)
            self._check_live(_described(session, row))
            batch = None
            if is_batch:
                batch = VectorStoreBatchRow(id=new_id("vsfb_"), store=row.number, created_at=self._clock())
                session.add(batch)
                session.flush()
            _check_twice(attachments)
            added = [self._attach(session, row, each, batch) for each in attachments]
            session.flush()
            if FileCounts.of(queries.counts(session, [row.number]).get(row.number, {})).total > MAX_FILES:
                raise BadRequest(f"A vector store has at most {MAX_FILES:,} files. Use another one.", param="file_ids")
            row.last_active_at = self._clock()
            described = None if batch is None else _described_batch(session, batch)
            return described, [file_of(each) for each in added]

    def file(self, project: str, id: str, file_id: str) -> StoreFile:
        """Raises NotFound."""
        with self.database.session() as session:
            return file_of(_existing_file(session, _existing(session, project, id), file_id))

    def files(
        self, project: str, id: str, page: Page, *, batch: str | None = None, status: str | None = None
    ) -> Part[StoreFile]:
        """Return a page of the files of a vector store, or of one of its batches. Raises NotFound."""
        with self.database.session() as session:
            row = _existing(session, project, id)
            window = _window(page, lambda file_id: _existing_file(session, row, file_id).number)
            of_batch = None if batch is None else _existing_batch(session, row, batch).number
            part = _part(queries.files(session, row.number, window, batch=of_batch, status=status), window)
            return Part([file_of(each) for each in part.items], part.has_more)

    def searchable(self, project: str, id: str) -> Mapping[str, StoreFile]:
        """Return {document: file} of what a search may find."""
        with self.database.session() as session:
            rows = queries.existing_files(session, _existing(session, project, id).number)
            return {row.document: file_of(row) for row in rows if row.is_searchable}

    def set_attributes(self, project: str, id: str, file_id: str, attributes: Mapping[str, Any]) -> StoreFile:
        """Set what filters compare. It counts with the next version; until then the file is in progress.

        Raises NotFound, and BadRequest for attributes that can't be kept.
        """
        check_metadata(attributes)
        with self.database.transaction() as session:
            row = _existing(session, project, id)
            file = _existing_file(session, row, file_id)
            file.attributes = dict(attributes)
            if file.is_searchable:
                file.status, file.job = "in_progress", None
            row.last_active_at = self._clock()
            return file_of(file)

    def detach(self, project: str, id: str, file_id: str) -> None:
        """Take a file out of a vector store: no search finds it from now on. Raises NotFound."""
        with self.database.transaction(frees_space=True) as session:
            row = _existing(session, project, id)
            session.delete(_existing_file(session, row, file_id))
            row.last_active_at = self._clock()

    def forget_file(self, project: str, file_id: str) -> Sequence[str]:
        """Take a deleted file out of all vector stores, and return their ids."""
        with self.database.transaction(frees_space=True) as session:
            stores = queries.stores_with_file(session, project, file_id)
            for store in stores:
                queries.remove_file(session, store.number, file_id)
            return [store.id for store in stores]

    def batch(self, project: str, id: str, batch_id: str) -> FileBatch:
        """Raises NotFound."""
        with self.database.session() as session:
            return _described_batch(session, _existing_batch(session, _existing(session, project, id), batch_id))

    def cancel_batch(self, project: str, id: str, batch_id: str) -> FileBatch:
        """Cancel the files of a batch that are in progress. Raises NotFound."""
        with self.database.transaction() as session:
            row = _existing(session, project, id)
            batch = _existing_batch(session, row, batch_id)
            for file in queries.files_in_progress(session, row.number, batch=batch.number):
                file.status = "cancelled"
            session.flush()
            return _described_batch(session, batch)

    def wait_for(self, project: str, id: str, job_id: str) -> None:
        """Note which job the files in progress wait for."""
        with self.database.transaction() as session:
            if (row := queries.store(session, project, id)) is not None:
                for file in queries.files_in_progress(session, row.number):
                    file.job = job_id

    def end_abandoned(self, project: str, id: str, state_of: JobState) -> None:
        """Fail the files in progress whose job was cancelled or died."""
        with self.database.transaction() as session:
            if (row := queries.store(session, project, id)) is None:
                return
            for file in queries.files_in_progress(session, row.number):
                if file.job is not None and state_of(file.job) not in ("queued", "running"):
                    file.status, file.error_code = "failed", "server_error"
                    file.error_message = f"The job {file.job} ended before the file was read. Attach it again."

    def remove_knowledge(self, project: str, id: str) -> None:
        """Remove the documents of a vector store."""
        with suppress(NotFound):  # No file was ever read.
            self._knowledge.of(project).remove(id)

    def _remove_expired(self, project: str) -> None:
        """Remove the contents of vector stores that have expired. They themselves stay, and say so."""
        with self.database.transaction(frees_space=True) as session:
            expired = [
                row for row in queries.stores_of(session, project) if store_of(row, {}).has_expired(self._clock())
            ]
            ids = [row.id for row in expired]
            for row in expired:
                queries.remove_contents(session, row.number)
        for id in ids:
            self.remove_knowledge(project, id)

    def _check_live(self, store: VectorStore) -> None:
        if store.has_expired(self._clock()):
            raise Conflict(f"The vector store {store.id} has expired. Make another one.", param="vector_store_id")

    def _attach(
        self, session: Session, store: VectorStoreRow, attachment: Attachment, batch: VectorStoreBatchRow | None
    ) -> VectorStoreFileRow:
        check_metadata(attachment.attributes)
        file = _suitable_file(session, store.project, attachment.file_id)
        row = queries.file(session, store.number, file.id)
        if row is None:
            row = VectorStoreFileRow(
                store=store.number,
                file=file.id,
                filename=file.filename,
                document=_document_name(file),
                is_searchable=False,
                usage_bytes=0,
                created_at=self._clock(),
            )
            session.add(row)
        row.batch = None if batch is None else batch.number
        row.attributes = dict(attachment.attributes)
        row.status, row.error_code, row.error_message, row.job = "in_progress", None, None, None
        return row


def _existing(session: Session, project: str, id: str, *, lock: bool = False) -> VectorStoreRow:
    row = queries.store(session, project, id, lock=lock)
    if row is None:
        raise NotFound(
            f"There is no vector store {id[:80]!r}. GET /v1/vector_stores lists them.", param="vector_store_id"
        )
    return row


def _existing_file(session: Session, store: VectorStoreRow, file_id: str) -> VectorStoreFileRow:
    row = queries.file(session, store.number, file_id)
    if row is None:
        raise NotFound(f"The vector store {store.id} has no file {file_id[:80]!r}.", param="file_id")
    return row


def _existing_batch(session: Session, store: VectorStoreRow, id: str) -> VectorStoreBatchRow:
    row = queries.batch(session, store.number, id)
    if row is None:
        raise NotFound(f"The vector store {store.id} has no batch {id[:80]!r}.", param="batch_id")
    return row


def _suitable_file(session: Session, project: str, id: str) -> FileRow:
    row = file_queries.owned(session, FileRow, project, id)
    if row is None:
        raise NotFound(f"There is no file {id[:80]!r}. GET /v1/files lists the files.", param="file_id")
    if row.purpose not in PURPOSES:
        raise BadRequest(
            f"{id} has the purpose `{row.purpose}`; a vector store takes files that were uploaded with the purpose"
            f" {' or '.join(f'`{each}`' for each in PURPOSES)}.",
            param="file_id",
        )
    return row


def _document_name(file: FileRow) -> str:
    """Return a name that no other file has. Its suffix says what the file is."""
    name = PurePosixPath(file.filename.replace("\\", "/")).name
    try:
        return check_file_name(f"{file.id}/{name}")
    except BadRequest:
        return f"{file.id}/file"


def _check_twice(attachments: Sequence[Attachment]) -> None:
    counts = Counter(each.file_id for each in attachments)
    if twice := next((id for id, count in counts.items() if count > 1), None):
        raise BadRequest(f"The file {twice[:80]!r} is there twice. Send it once.", param="file_ids")


def _described(session: Session, row: VectorStoreRow) -> VectorStore:
    return store_of(row, queries.counts(session, [row.number]).get(row.number, {}))


def _described_batch(session: Session, row: VectorStoreBatchRow) -> FileBatch:
    return batch_of(row, queries.counts(session, [row.store], batch=row.number).get(row.store, {}))


def _window(page: Page, number_of: Callable[[str], int]) -> Window:
    return Window(
        limit=page.limit,
        newest_first=page.newest_first,
        after=None if page.after is None else number_of(page.after),
        before=None if page.before is None else number_of(page.before),
    )


def _part(rows: Sequence[Any], window: Window) -> Part[Any]:
    """Return the rows of a window without the one beyond it."""
    has_more = len(rows) > window.limit
    is_backwards = window.before is not None and window.after is None
    return Part(rows[-window.limit :] if is_backwards else rows[: window.limit], has_more)
