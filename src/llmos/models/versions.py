"""A Version, as everybody but the database knows it; and what is told when one is shown or removed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from llmos.engine.messages import AdapterFiles
from llmos.models.store import StoredFile
from llmos.models.tables import VersionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    model: str
    number: int
    digest: str
    """sha256:<hex> of the manifest: every file's name, digest and size."""
    created_at: datetime
    files: tuple[StoredFile, ...]
    format: str
    family: str
    license: str | None
    source: str
    """Where it came from: a catalog source, or import:PATH."""
    parameters: int
    quantization: str
    """How most of the parameters are stored."""
    context_length: int | None
    sampling: Mapping[str, float]
    """How its answers are sampled where a request doesn't say."""
    adapts: int | None = None
    """An adapter: the number of the version of the same model that it changes."""

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
class Details:
    """A version, and what is known around it."""

    version: Version
    aliases: tuple[str, ...]
    """Those that point at this version."""
    versions: tuple[str, ...]
    """The refs of all versions of the model."""
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
    )


def manifest_digest(files: Sequence[StoredFile], adapts: str | None = None) -> str:
    """sha256 of the canonical manifest: JSON without spaces, keys and files sorted. `adapts`: an adapter is another one
    on another version, whose digest this is."""
    manifest: dict[str, object] = {
        "files": [{"digest": file.digest, "name": file.name, "size": file.size} for file in sorted(files)]
    }
    if adapts is not None:
        manifest["adapts"] = adapts
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
