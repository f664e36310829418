"""Values that a store takes and returns: files, content on its way, and faults."""

from dataclasses import dataclass
from pathlib import Path

from llmos.core.encryption.data_key import DataKey


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedBlob:
    """Content on its way to the store; see Store.stage()."""

    digest: str
    """Its digest, or its name in the project."""
    size: int
    path: Path | None = None
    """The file that becomes the blob; None where the store has the blob already."""
    key: DataKey | None = None
    """The key that the file is encrypted under, if it is."""


@dataclass(frozen=True, slots=True, order=True)
class StoredFile:
    """One file of a version: its name in the model's folder, and its blob."""

    name: str
    digest: str
    """sha256:<hex>"""
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A blob that is missing or damaged."""

    digest: str
    reason: str
    """Completes a sentence about the blob: "is missing"."""
