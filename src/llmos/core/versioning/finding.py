"""Picks the version that a reference names among the versions of a name."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from llmos.core.names import NEWEST, Reference


class VersionLike(Protocol):
    """The row of a version."""

    @property
    def number(self) -> int: ...
    @property
    def digest(self) -> str: ...


V = TypeVar("V", bound=VersionLike)


class NoSuchVersion(Exception):
    """The message says what the name has instead."""


def pick(rows: Sequence[V], reference: Reference, aliases: Mapping[str, int]) -> V:
    """Return the version of `rows`, which are those of the reference's name, oldest first. Raises NoSuchVersion.

    `aliases`: {alias: number} of the name.
    """
    name = reference.name
    if reference.alias is not None and (reference.alias != NEWEST or NEWEST in aliases):
        found = [row for row in rows if row.number == aliases.get(reference.alias)]
        known = [f"{name}:{alias}" for alias in aliases] or ["no aliases"]
    elif reference.number is not None:
        found = [row for row in rows if row.number == reference.number]
        known = [f"{name}@{row.number}" for row in rows]
    elif reference.digest is not None:
        found = [row for row in rows if row.digest.startswith(reference.digest)]
        known = [f"{name}@{row.digest[:19]}" for row in rows]
    else:
        found, known = list(rows), []
    if not found:
        what = "version" if reference.alias is None else "alias"
        raise NoSuchVersion(f"{name} has no such {what}. It has {', '.join(known)}.")
    return found[-1]
