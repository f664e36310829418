"""A Version, as everybody but the database knows it; and what is told when one is shown or removed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from llmos.engine.messages import AdapterFiles
from llmos.models.store import StoredFile
from llmos.models.tables import VersionRow
from llmos.models.versions.manifest import Making, Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    model: str
    number: int
    digest: str
    """sha256:<hex> of the manifest: every file's name, digest and size, and of a made version from what and how."""
    created_at: datetime
    files: tuple[StoredFile, ...]
    format: str
    family: str
    license: str | None
    source: str
    """Where it came from: a catalog source, import:PATH, or made:REF of the version that it was made from."""
    parameters: int
    quantization: str
    """How most of the parameters are stored."""
    context_length: int | None
    sampling: Mapping[str, float]
    """How its answers are sampled where a request doesn't say."""
    adapts: int | None = None
    """An adapter: the number of the version of the same model that it changes."""
    parent: str | None = None
    """Made from another version: its digest."""
    recipe: Mapping[str, Any] | None = None
    """How it was made from that one."""
    made_by: str | None = None
    """Who made it or brought it in, a user's name; None where nobody noted it down."""

    @property
    def ref(self) -> str:
        return f"{self.model}@{self.number}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loadable:
    """What a replica needs to answer for a version. Adapters share the replica of the version that they change."""

    version: Version
    """Whose weights the replica holds."""
    files: Mapping[str, Path]
    adapter: AdapterFiles | None = None
    """What each request takes along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What people say of a model or a version."""

    tags: Mapping[str, str] = field(default_factory=dict)
    """Key to value; a tag that is only a word has the value ""."""
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """A version, and what is known around it."""

    version: Version
    aliases: tuple[str, ...]
    """Those that point at this version."""
    versions: tuple[str, ...]
    """The refs of all versions of the model."""
    made_from: str | None
    """The ref of the version that it was made from; its digest where that one is unknown here."""
    labels: Labels
    """Its own tags and description."""
    model_labels: Labels
    """Those of its model."""
    unsupported: str | None
    """Why this engine can't run it, None where it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    versions: tuple[str, ...]
    aliases: tuple[str, ...]
    freed_bytes: int


def version_of(row: VersionRow) -> Version:
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
    """What the version's digest is of. `adapted`: the digest of the version that an adapter changes."""
    making = None
    if version.parent is not None:
        making = Making(
            parent=version.parent,
            recipe=version.recipe or {},
            license=version.license,
            sampling=version.sampling,
        )
    return Manifest(files=version.files, adapts=adapted, making=making)
