"""What a Version is: everything that its digest depends on, in one canonical form."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmos.core.errors import BadRequest
from llmos.models.store import StoredFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How a version was made from another one. The same parent and recipe give the same version."""

    parent: str
    """The digest of the version that it was made from."""
    recipe: Mapping[str, Any]
    license: str | None
    sampling: Mapping[str, float]
    """How its answers are sampled where a request doesn't say: its generation defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    files: Sequence[StoredFile]
    adapts: str | None = None
    """An adapter: the digest of the version that it changes. It is another one on another version."""
    making: Making | None = None
    """None: it was published so. What its files are says all there is."""

    @property
    def digest(self) -> str:
        """sha256:<hex> of the canonical form."""
        return f"sha256:{hashlib.sha256(self.canonical()).hexdigest()}"

    def canonical(self) -> bytes:
        """JSON without spaces, keys and files sorted."""
        fields: dict[str, Any] = {
            "files": [{"digest": file.digest, "name": file.name, "size": file.size} for file in sorted(self.files)]
        }
        if self.adapts is not None:
            fields["adapts"] = self.adapts
        if self.making is not None:
            fields |= {
                "parent": self.making.parent,
                "recipe": self.making.recipe,
                "license": self.making.license,
                "sampling": self.making.sampling,
            }
        return canonical_json(fields)


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON value. Raises BadRequest for what JSON can't say, such as NaN or bytes."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_mapping).encode()
    except (TypeError, ValueError) as error:
        raise BadRequest(f"{value!r} can't be kept as JSON: {error}.") from error


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
