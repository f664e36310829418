"""Records of vector stores, files and batches, independent of the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from llmos.core.schemas.knowledge import MetadataValue
from llmos.data.vector_stores.tables import VectorStoreBatchRow, VectorStoreFileRow, VectorStoreRow

STATUSES = ("in_progress", "completed", "failed", "cancelled")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCounts:
    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    usage_bytes: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled

    @classmethod
    def of(cls, counts: Mapping[str, tuple[int, int]]) -> "FileCounts":
        """`counts`: those of queries.counts()."""
        numbers = {status: counts.get(status, (0, 0))[0] for status in STATUSES}
        return cls(**numbers, usage_bytes=sum(usage for _, usage in counts.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorStore:
    id: str
    """Its documents are those of the knowledge with this name."""
    project: str
    name: str
    metadata: Mapping[str, str]
    max_tokens: int | None
    overlap_tokens: int | None
    expires_after_days: int | None
    last_active_at: datetime
    created_at: datetime
    counts: FileCounts

    @property
    def expires_at(self) -> datetime | None:
        if self.expires_after_days is None:
            return None
        return self.last_active_at + timedelta(days=self.expires_after_days)

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFile:
    """A file in a vector store."""

    file_id: str
    filename: str
    document: str
    """The name of its document in the knowledge."""
    attributes: Mapping[str, MetadataValue]
    status: str
    is_searchable: bool
    error_code: str | None
    error_message: str | None
    usage_bytes: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBatch:
    id: str
    created_at: datetime
    counts: FileCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that is to be put into a vector store."""

    file_id: str
    attributes: Mapping[str, MetadataValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    max_tokens: int
    overlap_tokens: int


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """A part of a list."""

    items: Sequence[T]
    has_more: bool


def store_of(row: VectorStoreRow, counts: Mapping[str, tuple[int, int]]) -> VectorStore:
    return VectorStore(
        id=row.id,
        project=row.project,
        name=row.name,
        metadata=row.fields,
        max_tokens=row.max_tokens,
        overlap_tokens=row.overlap_tokens,
        expires_after_days=row.expires_after_days,
        last_active_at=row.last_active_at,
        created_at=row.created_at,
        counts=FileCounts.of(counts),
    )


def file_of(row: VectorStoreFileRow) -> StoreFile:
    return StoreFile(
        file_id=row.file,
        filename=row.filename,
        document=row.document,
        attributes=row.attributes,
        status=row.status,
        is_searchable=row.is_searchable,
        error_code=row.error_code,
        error_message=row.error_message,
        usage_bytes=row.usage_bytes,
        created_at=row.created_at,
    )


def batch_of(row: VectorStoreBatchRow, counts: Mapping[str, tuple[int, int]]) -> FileBatch:
    return FileBatch(id=row.id, created_at=row.created_at, counts=FileCounts.of(counts))
