"""Descriptions of knowledge, as the API and the CLI return them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmos.core.schemas.knowledge import (
    Citation,
    DocumentDescription,
    KnowledgeDescription,
    KnowledgeDetails,
    SearchDescription,
    SearchHit,
)
from llmos.core.versioning.labels import Labels
from llmos.data.knowledge.hits import Hit, Place
from llmos.data.knowledge.index import Mode
from llmos.data.knowledge.knowledge import Details
from llmos.data.knowledge.versions import KnowledgeVersion, StoredDocument


def describe_version(version: KnowledgeVersion, labels: Mapping[tuple[str, int], Labels]) -> KnowledgeDescription:
    """Describe a version. `labels`: those of ProjectKnowledge.labels_of()."""
    key = f"{version.project}/{version.knowledge}"
    own, name = labels.get((key, version.number), Labels()), labels.get((key, 0), Labels())
    return KnowledgeDescription(**_fields(version, own, name))


def describe_details(details: Details) -> KnowledgeDetails:
    return KnowledgeDetails(
        **_fields(details.version, details.labels, details.knowledge_labels),
        versions=list(details.versions),
        aliases=list(details.aliases),
        mode=details.mode,
    )


def describe_document(document: StoredDocument) -> DocumentDescription:
    return DocumentDescription(
        name=document.name,
        digest=document.digest,
        format=document.entry.facts.format,
        num_bytes=document.entry.facts.num_bytes,
        num_chunks=document.entry.facts.num_chunks,
        kept=document.entry.facts.kept,
        metadata=dict(document.metadata),
        subject=document.subject,
    )


def describe_place(place: Place) -> Citation:
    return Citation(
        knowledge=place.version,
        document=place.document,
        digest=place.digest,
        page=place.page,
        heading=list(place.heading),
        start=place.start,
        end=place.end,
        quote=place.quote,
    )


def describe_hit(hit: Hit) -> SearchHit:
    return SearchHit(
        text=hit.text,
        score=hit.score,
        cosine=hit.cosine,
        bm25=hit.bm25,
        citation=describe_place(hit.place),
        metadata=dict(hit.metadata),
    )


def describe_search(
    version: KnowledgeVersion, mode: Mode, hits: Sequence[Hit], notes: Sequence[str] = ()
) -> SearchDescription:
    described = [describe_hit(hit) for hit in hits]
    return SearchDescription(version=version.ref, mode=mode, hits=described, notes=list(notes))


def _fields(version: KnowledgeVersion, own: Labels, name: Labels) -> dict[str, Any]:
    return {
        "name": version.knowledge,
        "version": version.ref,
        "digest": version.digest,
        "num_documents": version.num_documents,
        "num_chunks": version.num_chunks,
        "size_bytes": version.size,
        "embedding": version.embedding,
        "embedding_digest": version.embedding_digest,
        "dimensions": version.dimensions,
        "recipe": msgspec.to_builtins(version.recipe),
        "report": dict(version.report),
        "made_by": version.made_by,
        "description": own.description,
        "tags": dict(own.tags),
        "knowledge_description": name.description,
        "knowledge_tags": dict(name.tags),
        "created_at": version.created_at,
    }
