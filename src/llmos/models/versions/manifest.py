"""The manifest of a version: everything that its digest depends on, in a canonical form."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.store.blobs import StoredFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """The parent and the recipe of a derived version. The same parent and recipe give the same version."""

    parent: str
    """The parent's digest."""
    recipe: Mapping[str, Any]
    license: str | None
    sampling: Mapping[str, float]
    """Sampling parameters for requests that don't set them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The files of a version, and how it was derived if it was."""

    files: Sequence[StoredFile]
    adapts: str | None = None
    """For an adapter, the digest of the version that it adapts. On another version it is another adapter."""
    derivation: Derivation | None = None
    """None for a version that was published as it is."""

    @property
    def digest(self) -> str:
        """sha256:<hex> of the canonical form."""
        return f"sha256:{hashlib.sha256(self.canonical()).hexdigest()}"

    def canonical(self) -> bytes:
        """Return the manifest as JSON without spaces, with sorted keys and files."""
        fields: dict[str, Any] = {
            "files": [{"digest": file.digest, "name": file.name, "size": file.size} for file in sorted(self.files)]
        }
        if self.adapts is not None:
            fields["adapts"] = self.adapts
        if self.derivation is not None:
            fields |= {
                "parent": self.derivation.parent,
                "recipe": self.derivation.recipe,
                "license": self.derivation.license,
                "sampling": self.derivation.sampling,
            }
        return canonical_json(fields)


def canonical_json(value: Any) -> bytes:
    """Return the canonical JSON of a value. Raises BadRequest for values without one, such as NaN or bytes."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_to_dict).encode()
    except (TypeError, ValueError) as error:
        raise BadRequest(f"{value!r} can't be written as JSON: {error}.") from error


def _to_dict(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
