"""Hit and Place: what a search finds, and where it stands."""

from collections.abc import Mapping
from dataclasses import dataclass

from llmos.core.errors import BadRequest
from llmos.core.schemas.knowledge import MetadataValue
from llmos.data.documents.document import Document
from llmos.data.knowledge.entries import EntryChunk
from llmos.data.knowledge.versions import KnowledgeVersion, StoredDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a document of a version: what a citation says."""

    version: str
    """NAME@NUMBER."""
    document: str
    digest: str
    """sha256:<hex> of the document's file."""
    page: int | None
    heading: tuple[str, ...]
    """The titles above it, the highest one first."""
    start: int
    """In characters of the document's text."""
    end: int
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk that a search found."""

    text: str
    """As it was embedded: with the headings above it, and with the header of its table."""
    score: float
    cosine: float | None
    bm25: float | None
    place: Place
    metadata: Mapping[str, MetadataValue]
    """The metadata of the document."""


def place_of_chunk(version: KnowledgeVersion, document: StoredDocument, found: EntryChunk) -> Place:
    return Place(
        version=version.ref,
        document=document.name,
        digest=document.digest,
        page=found.chunk.page,
        heading=found.chunk.path,
        start=found.chunk.start,
        end=found.chunk.end,
        quote=found.quote,
    )


def place_in(
    version: KnowledgeVersion, stored: StoredDocument, document: Document, start: int, end: int | None
) -> Place:
    """Return the place text[start:end]. Raises BadRequest for a span that the text doesn't have."""
    if end is None:
        end = len(document.text)
    if not (0 <= start < end <= len(document.text) or (start, end) == (0, len(document.text))):
        raise BadRequest(
            f"{stored.name} has no span from {start:,} to {end:,}: its text has {len(document.text):,} characters.",
            param="start",
        )
    section = document.section_at(start)
    return Place(
        version=version.ref,
        document=stored.name,
        digest=stored.digest,
        page=document.page_at(start),
        heading=() if section is None else section.path,
        start=start,
        end=end,
        quote=document.text[start:end],
    )
