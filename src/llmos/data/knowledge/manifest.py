"""Manifest of a version: everything that its digest depends on. Nothing of the index is in it."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import msgspec

from llmos.core.canonical import sha256_of
from llmos.core.schemas.knowledge import MetadataValue
from llmos.data.documents.chunks import ChunkRecipe

FORMAT = 1
"""The version of the rules by which documents become a digest."""


class ManifestDocument(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    digest: str
    """sha256:<hex> of the file."""
    parser: int
    """The version of the parsers that read it."""
    metadata: Mapping[str, MetadataValue] = {}
    subject: str | None = None
    """The person that it is about, as a keyed hash."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    recipe: ChunkRecipe
    embedding: str
    """The digest of the model that makes the vectors."""
    documents: Sequence[ManifestDocument] = ()
    """By name."""

    @property
    def digest(self) -> str:
        """sha256:<hex> of the manifest's canonical JSON. Raises BadRequest for metadata that has none."""
        return f"sha256:{sha256_of(msgspec.to_builtins(self))}"


class EntryKey(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the entry of a document depends on."""

    digest: str
    suffix: str
    parser: int
    recipe: ChunkRecipe
    embedding: str

    @classmethod
    def of(cls, document: ManifestDocument, recipe: ChunkRecipe, embedding: str) -> "EntryKey":
        return cls(
            digest=document.digest,
            suffix=suffix_of(document.name),
            parser=document.parser,
            recipe=recipe,
            embedding=embedding,
        )

    @property
    def hex(self) -> str:
        return sha256_of(msgspec.to_builtins(self))


def suffix_of(name: str) -> str:
    """Return the suffix of a document's name in small letters. It decides between kinds of text."""
    return PurePosixPath(name).suffix.lower()
