"""The requests of /v1/vector_stores."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, field

from llmos.core.errors import BadRequest
from llmos.data.vector_stores.records import Attachment, Chunking
from llmos.data.vector_stores.vector_stores import Page
from llmos.gateway.http.requests import Hint, RequestObject, Unsupported, Variants, described

MAX_BATCH = 2000

Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
Attributes = Annotated[dict[str, str | float | bool], Meta(max_length=16)]

_ALIKE = "all files of a vector store are cut alike. Send `chunking_strategy` when you create it."


class AutoChunking(RequestObject, kw_only=True, tag_field="type", tag="auto"):
    """The chunking that suits the embedding model: 256 tokens with minilm."""


class StaticSizes(RequestObject, kw_only=True):
    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)]
    """The most tokens of a chunk. The limit of the embedding model applies as well."""
    chunk_overlap_tokens: Annotated[int, Meta(ge=0, le=2048)]
    """The most tokens of the previous chunk that a chunk repeats; at most half of max_chunk_size_tokens."""


class StaticChunking(RequestObject, kw_only=True, tag_field="type", tag="static"):
    static: StaticSizes

    objects: ClassVar = {"static": StaticSizes}


_CHUNKING = Variants({"auto": AutoChunking, "static": StaticChunking})


class ExpiresAfter(RequestObject, kw_only=True):
    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


class VectorStoreRequest(RequestObject, kw_only=True):
    name: Annotated[str, Meta(max_length=256)] = ""
    file_ids: Annotated[list[str], Meta(max_length=MAX_BATCH)] = field(default_factory=list)
    """Files with the purpose `assistants` or `user_data`."""
    chunking_strategy: AutoChunking | StaticChunking | None = None
    """The way in which all files of the vector store are cut into chunks."""
    expires_after: ExpiresAfter | None = None
    metadata: Metadata = field(default_factory=dict)

    objects: ClassVar = {"expires_after": ExpiresAfter}
    variants: ClassVar = {"chunking_strategy": _CHUNKING}
    unsupported: ClassVar = {"description": Hint(("",))}

    def chunking(self) -> Chunking | None:
        """Raises BadRequest for chunks that overlap by more than half."""
        if not isinstance(self.chunking_strategy, StaticChunking):
            return None
        sizes = self.chunking_strategy.static
        if 2 * sizes.chunk_overlap_tokens > sizes.max_chunk_size_tokens:
            raise BadRequest(
                "`chunking_strategy.static.chunk_overlap_tokens` may be half of `max_chunk_size_tokens` at most.",
                param="chunking_strategy.static.chunk_overlap_tokens",
            )
        return Chunking(max_tokens=sizes.max_chunk_size_tokens, overlap_tokens=sizes.chunk_overlap_tokens)


class VectorStoreUpdate(RequestObject, kw_only=True):
    name: Annotated[str, Meta(max_length=256)] | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None

    objects: ClassVar = {"expires_after": ExpiresAfter}

    def changes(self) -> dict[str, Any]:
        """Return the columns to be changed."""
        days = None if self.expires_after is None else self.expires_after.days
        given = {"name": self.name, "fields": self.metadata, "expires_after_days": days}
        return {column: value for column, value in given.items() if value is not None}


class VectorStoreFileRequest(RequestObject, kw_only=True):
    file_id: str
    attributes: Attributes = field(default_factory=dict)
    """The values that filters of searches compare."""

    unsupported: ClassVar = {"chunking_strategy": Unsupported(_ALIKE, ({"type": "auto"},))}

    def attachment(self) -> Attachment:
        return Attachment(file_id=self.file_id, attributes=self.attributes)


class VectorStoreFileUpdate(RequestObject, kw_only=True):
    attributes: Attributes


class VectorStoreFileBatchRequest(RequestObject, kw_only=True):
    file_ids: Annotated[list[str], Meta(max_length=MAX_BATCH)] = field(default_factory=list)
    files: Annotated[list[VectorStoreFileRequest], Meta(max_length=MAX_BATCH)] = field(default_factory=list)
    """The files with their own attributes, in place of `file_ids`."""
    attributes: Attributes = field(default_factory=dict)
    """The attributes of every file in `file_ids`."""

    lists: ClassVar = {"files": VectorStoreFileRequest}
    unsupported: ClassVar = VectorStoreFileRequest.unsupported

    def attachments(self) -> Sequence[Attachment]:
        """Raises BadRequest for both lists, and for none."""
        if bool(self.file_ids) == bool(self.files):
            raise BadRequest("Send either `file_ids` or `files`, with at least one file.", param="file_ids")
        if self.files:
            return [each.attachment() for each in self.files]
        return [Attachment(file_id=id, attributes=self.attributes) for id in self.file_ids]


class VectorStoreRanking(RequestObject, kw_only=True):
    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    """This server has one ranking: by words and vectors."""
    score_threshold: Annotated[float, Meta(ge=0, le=1)] = 0
    """Leave out passages with a lower score."""

    unsupported: ClassVar = {"hybrid_search": Unsupported("words and vectors weigh the same. Leave it out.")}


class VectorStoreSearchRequest(RequestObject, kw_only=True):
    query: str | Annotated[list[str], Meta(min_length=1, max_length=8)]
    """A question, or several: their results are joined by reciprocal ranks."""
    filters: dict[str, Any] | None = None
    """On attributes: {"type": "eq", "key": …, "value": …}; also ne, gt, gte, lt, lte, in, nin; and, or with
    `filters`."""
    max_num_results: Annotated[int, Meta(ge=1, le=50)] = 10
    ranking_options: VectorStoreRanking = field(default_factory=VectorStoreRanking)

    objects: ClassVar = {"ranking_options": VectorStoreRanking}
    unsupported: ClassVar = {"rewrite_query": Hint((False,))}  # The question is searched for as it is.

    @property
    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else self.query


class VectorStoresQuery(RequestObject, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    """By time of creation."""
    after: str | None = None
    """Return the objects after the one with this id."""
    before: str | None = None
    """Return the objects before the one with this id."""

    def page(self) -> Page:
        return Page(limit=self.limit, newest_first=self.order == "desc", after=self.after, before=self.before)


class VectorStoreFilesQuery(VectorStoresQuery, kw_only=True):
    filter: Annotated[str, described(enum=["in_progress", "completed", "failed", "cancelled"])] | None = None
    """Only files with this status."""

    def status(self) -> str | None:
        """Raises BadRequest for a status that doesn't exist."""
        if self.filter not in (None, "in_progress", "completed", "failed", "cancelled"):
            raise BadRequest(
                f"`filter` is {self.filter!r:.80}; it accepts in_progress, completed, failed and cancelled.",
                param="filter",
            )
        return self.filter
