"""Manifest of a version: everything that its digest depends on.

The digest is logical: it is made of rows, not of files. It depends neither on the cut into segments, nor on how many
threads wrote them, nor on the version of any library.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmos.core.canonical import sha256_of
from llmos.data.datasets.contents import Kind

FORMAT = 1
"""The version of the rules by which rows become a digest."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    kind: Kind
    num_rows: int
    rows: str
    """sha256:<hex> of the ids and columns of all rows, in order; see rows.records_of()."""
    license: str | None = None
    parents: Sequence[str] = ()
    """The digests of the versions that it was made from."""
    recipe: Mapping[str, Any] | None = None
    """The recipe by which it was made from them; None for rows that were imported."""

    @property
    def digest(self) -> str:
        """sha256:<hex> of the manifest's canonical JSON. Raises BadRequest for a recipe that has none."""
        return f"sha256:{sha256_of(msgspec.to_builtins(self))}"
