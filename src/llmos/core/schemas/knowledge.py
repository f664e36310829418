"""Knowledge: Versions of collections of documents, with searches and citations."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from llmos.core.schemas.base import Description

MetadataValue = str | bool | int | float
"""A value of a document's metadata."""


class KnowledgeDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    version: str = ""
    """NAME@NUMBER."""
    digest: str = ""
    num_documents: int = 0
    num_chunks: int = 0
    size_bytes: int = 0
    """Bytes on disk, some of which may be shared with other Versions."""
    embedding: str = ""
    """The Version of the model that makes the vectors, such as minilm@1."""
    embedding_digest: str = ""
    dimensions: int = 0
    """The length of the vectors; 0 if there are no vectors."""
    recipe: dict[str, Any] = msgspec.field(default_factory=dict)
    """The rules by which documents are cut into chunks: max_tokens, overlap_tokens and the version of the rules."""
    report: dict[str, Any] = msgspec.field(default_factory=dict)
    """Counts from the making of the Version, such as documents that couldn't be read."""
    made_by: str | None = None
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    knowledge_description: str | None = None
    knowledge_tags: dict[str, str] = msgspec.field(default_factory=dict)
    created_at: datetime | None = None


class KnowledgeDetails(KnowledgeDescription, frozen=True, kw_only=True):
    versions: list[str] = msgspec.field(default_factory=list)
    aliases: list[str] = msgspec.field(default_factory=list)
    """The aliases that point at this Version."""
    mode: Literal["hybrid", "text", "vector"] = "hybrid"
    """The default mode of searches: hybrid, unless an evaluation found another mode better."""


class DocumentDescription(Description, frozen=True, kw_only=True):
    """A document of a Version."""

    name: str = ""
    digest: str = ""
    """sha256:<hex> of the file."""
    format: str = ""
    """pdf, docx, html, markdown, text, csv or xlsx."""
    num_bytes: int = 0
    """The size of the file."""
    num_chunks: int = 0
    kept: float = 1.0
    """The share of the file's letters and digits that the index contains, from 0 to 1."""
    metadata: dict[str, MetadataValue] = msgspec.field(default_factory=dict)
    subject: str | None = None
    """The person that the document is about, as a keyed hash."""


class DocumentPage(Description, frozen=True, kw_only=True):
    """Documents of a Version, sorted by name."""

    data: list[DocumentDescription] = msgspec.field(default_factory=list)
    has_more: bool = False
    """There are more documents after the last one."""


class MissingFiles(Description, frozen=True, kw_only=True):
    digests: list[str] = msgspec.field(default_factory=list)
    """The digests of the files that have to be uploaded."""
    other_files: list[str] = msgspec.field(default_factory=list)
    """The names of files that aren't documents, by their suffixes. A sync of a folder leaves them out."""


class Citation(Description, frozen=True, kw_only=True):
    """A passage of a document. It can be looked up as long as the Version exists."""

    knowledge: str = ""
    """The Version, such as faq@7."""
    document: str = ""
    digest: str = ""
    """sha256:<hex> of the document's file."""
    page: int | None = None
    heading: list[str] = msgspec.field(default_factory=list)
    """The headings above the passage, the highest level first."""
    start: int = 0
    """The position of the passage in the document's text, in characters."""
    end: int = 0
    quote: str = ""
    """The text from `start` to `end`."""


class Sentence(Description, frozen=True, kw_only=True):
    """A sentence of an answer from documents."""

    text: str = ""
    citations: Sequence[Citation] = ()
    """The passages that it is based on, the most important first."""
    is_supported: bool = True
    """The sentence is based on a passage, or on the result of a tool."""


def citations_of(sentences: Sequence[Sentence]) -> Sequence[Citation]:
    """Return the passages that sentences are based on, each once."""
    every = [citation for sentence in sentences for citation in sentence.citations]
    return tuple(each for index, each in enumerate(every) if each not in every[:index])


class SearchHit(Description, frozen=True, kw_only=True):
    text: str = ""
    """The text for a model to read: the quote, with the headings above it and the header of its table."""
    score: float = 0.0
    """The score that hits are sorted by; with a reranker, the reranker's score."""
    cosine: float | None = None
    """The similarity of the vectors of the query and the chunk; null if the chunk's vector isn't among the nearest."""
    bm25: float | None = None
    """The score of the words of the query in the chunk; null if it has none of them."""
    citation: Citation = msgspec.field(default_factory=Citation)
    metadata: dict[str, MetadataValue] = msgspec.field(default_factory=dict)
    """The metadata of the document."""


class SearchDescription(Description, frozen=True, kw_only=True):
    """The answer of a search."""

    version: str = ""
    mode: Literal["hybrid", "text", "vector"] = "hybrid"
    """The mode of this search."""
    hits: list[SearchHit] = msgspec.field(default_factory=list)
    answerable: bool | None = None
    """True if the Version probably has an answer, by its threshold; null if it has no threshold."""
    threshold: float | None = None
    measure: float | None = None
    """The value that is compared with the threshold."""
    evaluated: str | None = None
    """The Version whose evaluation set the threshold: this one, or an earlier one with the same embedding model."""
    notes: list[str] = msgspec.field(default_factory=list)
    """Limitations of this search, in sentences, such as a part of the request that was ignored."""
