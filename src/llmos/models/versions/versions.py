"""The Version and related values, independent of the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from llmos.core.store.blobs import StoredFile
from llmos.core.versioning.labels import Labels
from llmos.engine.messages import AdapterFiles
from llmos.models.tables import VersionRow
from llmos.models.versions.manifest import Derivation, Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Immutable weights, tokenizer and template of a model."""

    model: str
    number: int
    digest: str
    """sha256:<hex> of the manifest, which lists the files and, of a derived version, its parent and recipe."""
    created_at: datetime
    files: tuple[StoredFile, ...]
    format: str
    family: str
    license: str | None
    source: str
    """Its origin: a location such as hf:OWNER/NAME, import:PATH, archive:FILE, or made:REF of the parent."""
    parameters: int
    quantization: str
    """The dtype of most parameters."""
    context_length: int | None
    sampling: Mapping[str, float]
    """Sampling parameters for requests that don't set them."""
    adapts: int | None = None
    """For an adapter, the number of the version of the same model that it adapts."""
    parent: str | None = None
    """For a derived version, the parent's digest."""
    recipe: Mapping[str, Any] | None = None
    """For a derived version, how it was made from the parent."""
    made_by: str | None = None
    """The name of the user who made or imported it; None where that is unknown."""

    @property
    def ref(self) -> str:
        """MODEL@NUMBER."""
        return f"{self.model}@{self.number}"

    @property
    def parent_ref(self) -> str | None:
        """The reference by which the parent was named when this version was made here; None for other versions."""
        kind, _, ref = self.source.partition(":")
        return ref if kind == "made" else None

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loadable:
    """The files that a replica loads to serve a version. Adapters share the replica of the version that they adapt."""

    version: Version
    """The version whose weights the replica loads."""
    files: Mapping[str, Path]
    adapter: AdapterFiles | None = None
    """The adapter that each request names, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """A version with its relations, for display."""

    version: Version
    aliases: tuple[str, ...]
    """The aliases that point at this version."""
    versions: tuple[str, ...]
    """The references of all versions of the model."""
    made_from: str | None
    """The parent's reference, or its digest where the parent is unknown here; None without a parent."""
    labels: Labels
    """The labels of the version."""
    model_labels: Labels
    """The labels of its model."""
    task: str | None
    """Its task: "generate", "embed" or "rerank". None: this engine doesn't have its family."""
    unsupported: str | None
    """The reason why this engine can't run it, or None."""
    warnings: Sequence[str]
    """Differences from other models, in sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """The result of a removal."""

    versions: tuple[str, ...]
    aliases: tuple[str, ...]
    freed_bytes: int


def version_of(row: VersionRow) -> Version:
    """Return the version in a database row."""
    return Version(
        model=row.model,
        number=row.number,
        digest=row.digest,
        created_at=row.created_at,
        files=tuple(sorted(StoredFile(file.name, file.digest, file.size) for file in row.files)),
        format=row.format,
        family=row.family,
        license=row.license,
        source=row.source,
        parameters=row.parameters,
        quantization=row.quantization,
        context_length=row.context_length,
        sampling=row.sampling,
        adapts=row.adapts,
        parent=row.parent,
        recipe=row.recipe,
        made_by=row.made_by,
    )


def manifest_of(version: Version, adapted: str | None) -> Manifest:
    """Return the version's manifest. `adapted`: the digest of the version that an adapter adapts, else None."""
    derivation = None
    if version.parent is not None:
        derivation = Derivation(
            parent=version.parent,
            recipe=version.recipe or {},
            license=version.license,
            sampling=version.sampling,
        )
    return Manifest(files=version.files, adapts=adapted, derivation=derivation)
