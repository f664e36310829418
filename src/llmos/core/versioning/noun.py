"""Noun: a kind of versioned thing, such as models or datasets, with its tables. Versions: how it finds its versions."""

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.orm import Session

from llmos.core.names import Reference
from llmos.core.versioning.columns import (
    AliasMoveColumns,
    LabelChangeColumns,
    ProjectNameColumns,
    ProjectVersionColumns,
)

VersionRow = TypeVar("VersionRow", bound=ProjectVersionColumns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    name: str
    """The name of the noun in the singular: "model"."""
    command: str
    """The group of commands that handles them: "llmos", "llmos dataset"."""
    names: type[Any]
    """The table of names, whose primary key is the key that aliases and labels belong to."""
    alias_moves: type[AliasMoveColumns]
    label_changes: type[LabelChangeColumns]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectNoun(Noun, Generic[VersionRow]):
    """A noun whose names belong to projects."""

    names: type[ProjectNameColumns]
    versions: type[VersionRow]
    making: str
    """The command that makes one, with {name} in it."""


class Numbered(Protocol):
    """The row of a version."""

    @property
    def number(self) -> int: ...


class Versions(Protocol):
    """Finds the versions of one noun; of datasets, in one project."""

    @property
    def noun(self) -> Noun: ...

    def key(self, name: str) -> str:
        """Return the key under which a name is stored."""

    def version(self, session: Session, reference: Reference) -> Numbered:
        """Return the version that a reference names. Raises NotFound with similar names."""
