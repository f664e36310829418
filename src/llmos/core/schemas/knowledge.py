"""Knowledge: its Versions, their documents, searches and citations."""

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
    """Bytes on the disk, some of which other Versions may share."""
    embedding: str = ""
    """The Version of the model that makes the vectors, such as minilm@1."""
    embedding_digest: str = ""
    dimensions: int = 0
    """The length of the vectors; 0 where nothing is embedded."""
    recipe: dict[str, Any] = msgspec.field(default_factory=dict)
    """How documents are cut into chunks: max_tokens, overlap_tokens and the version of the rules."""
    report: dict[str, Any] = msgspec.field(default_factory=dict)
    """What was counted while it was made, such as documents that could not be read."""
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
    """The mode of searches that ask for none: hybrid, unless an evaluation found another one better."""


class DocumentDescription(Description, frozen=True, kw_only=True):
    """A document of a Version."""

    name: str = ""
    digest: str = ""
    """sha256:<hex> of the file."""
    format: str = ""
    """pdf, docx, html, markdown, text, csv or xlsx."""
    num_bytes: int = 0
    """Bytes of the file."""
    num_chunks: int = 0
    kept: float = 1.0
    """The share of the file's letters and digits that is searched, from 0 to 1."""
    metadata: dict[str, MetadataValue] = msgspec.field(default_factory=dict)
    subject: str | None = None
    """The person that it is about, as a keyed hash."""


class DocumentPage(Description, frozen=True, kw_only=True):
    """Documents of a Version, by name."""

    data: list[DocumentDescription] = msgspec.field(default_factory=list)
    has_more: bool = False
    """There are more documents, behind the last one."""


class MissingFiles(Description, frozen=True, kw_only=True):
    digests: list[str] = msgspec.field(default_factory=list)
    """Those of files that have to be uploaded."""
    other_files: list[str] = msgspec.field(default_factory=list)
    """The names that no document has: their suffixes are those of other files. A sync of a folder leaves them out."""


class Citation(Description, frozen=True, kw_only=True):
    """A place in a document. It can be looked up for as long as the Version exists."""

    knowledge: str = ""
    """The Version, such as faq@7."""
    document: str = ""
    digest: str = ""
    """sha256:<hex> of the document's file."""
    page: int | None = None
    heading: list[str] = msgspec.field(default_factory=list)
    """The titles above it, the highest one first."""
    start: int = 0
    """In characters of the document's text."""
    end: int = 0
    quote: str = ""
    """The text from `start` to `end`."""


class Sentence(Description, frozen=True, kw_only=True):
    """A sentence of an answer out of documents."""

    text: str = ""
    citations: Sequence[Citation] = ()
    """The places that it rests on, the one that matters most first."""
    is_supported: bool = True
    """It rests on a passage, or on what a tool returned."""


def citations_of(sentences: Sequence[Sentence]) -> Sequence[Citation]:
    """Return the places that sentences rest on, each once."""
    every = [citation for sentence in sentences for citation in sentence.citations]
    return tuple(each for index, each in enumerate(every) if each not in every[:index])


class SearchHit(Description, frozen=True, kw_only=True):
    text: str = ""
    """The quote with the headings above it, and with the header of its table: what a model should read."""
    score: float = 0.0
    """Hits are in the order of this score. With a reranker it is the reranker's."""
    cosine: float | None = None
    """The similarity of the vectors of the query and the chunk; null: its vector was not among the nearest."""
    bm25: float | None = None
    """The score of the words; null: it has none of them."""
    citation: Citation = msgspec.field(default_factory=Citation)
    metadata: dict[str, MetadataValue] = msgspec.field(default_factory=dict)
    """That of the document."""


class SearchDescription(Description, frozen=True, kw_only=True):
    """The answer of a search."""

    version: str = ""
    mode: Literal["hybrid", "text", "vector"] = "hybrid"
    """The mode of this search."""
    hits: list[SearchHit] = msgspec.field(default_factory=list)
    answerable: bool | None = None
    """Whether the Version has an answer, by its threshold; null: it has no threshold."""
    threshold: float | None = None
    measure: float | None = None
    """What is compared with the threshold."""
    evaluated: str | None = None
    """The Version whose evaluation set the threshold: this one, or one before it with the same embedding model."""
    notes: list[str] = msgspec.field(default_factory=list)
    """What the search couldn't take into account, in sentences."""
