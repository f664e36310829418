"""NamedNoun: a noun whose names have versions, as the endpoints of aliases and labels present it."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from llmos.core.versioning.names import Names
from llmos.security.permissions import Permission


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedNoun:
    one: str
    """The noun in the singular, with its article: "a dataset"."""
    path: str
    """The path of its endpoints: "/llmos/v1/datasets"."""
    prefix: str
    """The prefix of the names of its actions and operations: "dataset_", as in dataset_alias.set."""
    tags: tuple[str, str]
    """The sections of the API document for its aliases and for its labels."""
    version: str
    """A reference for examples: "support@1"."""
    read: Permission
    write: Permission
    names_of: Callable[[Request], Names]
    """Return the names that the caller of a request may use."""
    remove_alias: Callable[[Request, str, str], object] | None = None
    """Remove the alias `name:alias` for the caller; None where nothing else needs to know of it."""
