"""The answers of /v1/vector_stores."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from llmos.data.vector_stores.records import FileBatch, FileCounts, StoreFile, VectorStore
from llmos.gateway.wires.openai.pages import ListPage
from llmos.gateway.wires.openai.passages import FoundPassage

Status = Literal["in_progress", "completed", "failed", "cancelled"]


class FileCountsObject(msgspec.Struct, kw_only=True):
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class ExpiresAfterObject(msgspec.Struct, kw_only=True):
    anchor: Literal["last_active_at"] = "last_active_at"
    days: int


class VectorStoreObject(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    usage_bytes: int
    file_counts: FileCountsObject
    status: Literal["expired", "in_progress", "completed"]
    expires_after: ExpiresAfterObject | None
    expires_at: int | None
    last_active_at: int
    metadata: dict[str, str]


class VectorStoreObjects(ListPage, kw_only=True):
    data: list[VectorStoreObject]


class VectorStoreDeleted(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
    deleted: Literal[True] = True


class VectorStoreFileError(msgspec.Struct, kw_only=True):
    code: str
    """server_error, unsupported_file or invalid_file."""
    message: str


class VectorStoreFileObject(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    vector_store_id: str
    status: str
    last_error: VectorStoreFileError | None
    usage_bytes: int
    attributes: dict[str, str | float | bool]
    chunking_strategy: dict[str, Any]


class VectorStoreFileObjects(ListPage, kw_only=True):
    data: list[VectorStoreFileObject]


class VectorStoreFileDeleted(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: Literal[True] = True


class VectorStoreFileBatchObject(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: Status
    file_counts: FileCountsObject


class VectorStoreText(msgspec.Struct, kw_only=True):
    type: Literal["text"] = "text"
    text: str


class VectorStoreFileContent(msgspec.Struct, kw_only=True):
    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[VectorStoreText]
    has_more: bool = False
    next_page: str | None = None


class VectorStoreSearchResult(msgspec.Struct, kw_only=True):
    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | float | bool]
    content: list[VectorStoreText]


class VectorStoreSearchPage(msgspec.Struct, kw_only=True):
    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[VectorStoreSearchResult]
    has_more: bool = False
    next_page: str | None = None


def render_store(store: VectorStore, now: datetime) -> VectorStoreObject:
    if store.has_expired(now):
        status: Literal["expired", "in_progress", "completed"] = "expired"
    else:
        status = "in_progress" if store.counts.in_progress else "completed"
    return VectorStoreObject(
        id=store.id,
        created_at=int(store.created_at.timestamp()),
        name=store.name,
        usage_bytes=store.counts.usage_bytes,
        file_counts=_counts(store.counts),
        status=status,
        expires_after=None if store.expires_after_days is None else ExpiresAfterObject(days=store.expires_after_days),
        expires_at=None if store.expires_at is None else int(store.expires_at.timestamp()),
        last_active_at=int(store.last_active_at.timestamp()),
        metadata=dict(store.metadata),
    )


def render_file(store: VectorStore, file: StoreFile) -> VectorStoreFileObject:
    error = None
    if file.error_code is not None:
        error = VectorStoreFileError(code=file.error_code, message=file.error_message or "")
    return VectorStoreFileObject(
        id=file.file_id,
        created_at=int(file.created_at.timestamp()),
        vector_store_id=store.id,
        status=file.status,
        last_error=error,
        usage_bytes=file.usage_bytes,
        attributes=dict(file.attributes),
        chunking_strategy=_chunking(store),
    )


def render_batch(store: VectorStore, batch: FileBatch) -> VectorStoreFileBatchObject:
    return VectorStoreFileBatchObject(
        id=batch.id,
        created_at=int(batch.created_at.timestamp()),
        vector_store_id=store.id,
        status=_status(batch.counts),
        file_counts=_counts(batch.counts),
    )


def render_result(passage: FoundPassage) -> VectorStoreSearchResult:
    return VectorStoreSearchResult(
        file_id=passage.file_id,
        filename=passage.filename,
        score=passage.score,
        attributes=passage.attributes,
        content=[VectorStoreText(text=passage.text)],
    )


def _status(counts: FileCounts) -> Status:
    """Return the status of a batch: what all of its files have, as soon as none is in progress."""
    if counts.in_progress:
        return "in_progress"
    if counts.cancelled:
        return "cancelled"
    return "failed" if counts.failed and not counts.completed else "completed"


def _counts(counts: FileCounts) -> FileCountsObject:
    return FileCountsObject(
        in_progress=counts.in_progress,
        completed=counts.completed,
        failed=counts.failed,
        cancelled=counts.cancelled,
        total=counts.total,
    )


def _chunking(store: VectorStore) -> dict[str, Any]:
    if store.max_tokens is None:
        return {"type": "other"}
    sizes = {"max_chunk_size_tokens": store.max_tokens, "chunk_overlap_tokens": store.overlap_tokens or 0}
    return {"type": "static", "static": sizes}
