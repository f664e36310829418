"""Removes versions, whole names and aliases of a noun in a project."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from llmos.core.errors import Conflict
from llmos.core.names import Reference
from llmos.core.versioning import project_queries, queries
from llmos.core.versioning.aliases import move as move_alias
from llmos.core.versioning.noun import VersionRow
from llmos.core.versioning.project_finding import ProjectFinder


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """The result of a removal."""

    versions: tuple[str, ...]
    aliases: tuple[str, ...]
    freed_bytes: int = 0


def remove_from_list(
    session: Session, finder: ProjectFinder[VersionRow], reference: Reference, at: datetime, actor: str | None
) -> Removed:
    """Remove a whole name (NAME), one version (NAME@3), or only an alias (NAME:ALIAS) from the database.

    Raises NotFound, and Conflict for a version that an alias points at.
    """
    noun, key = finder.noun, finder.key(reference.name)
    move = partial(move_alias, noun=noun, key=key, number=None, at=at, actor=actor)
    queries.lock_name(session, noun, key)
    row = finder.version(session, reference)
    aliases = queries.aliases(session, noun, key)
    if reference.alias is not None:
        move(session, alias=reference.alias)
        return Removed(versions=(), aliases=(reference.alias,))
    rows = project_queries.versions(session, noun, key) if reference.is_whole else [row]
    if not reference.is_whole:
        _check_no_alias(row, aliases, noun.command)
        aliases = {}
    for alias in aliases:
        move(session, alias=alias)
    for each in rows:
        each.removed_at = at
    return Removed(versions=tuple(each.ref for each in rows), aliases=tuple(aliases))


def _check_no_alias(row: VersionRow, aliases: Mapping[str, int], command: str) -> None:
    """Raise Conflict where one of the aliases {alias: number} points at the version."""
    for alias, number in aliases.items():
        if number == row.number:
            name = f"{row.name}:{alias}"
            raise Conflict(
                f"The alias {name} points at {row.ref}. Move it ({command} alias set {name} VERSION)"
                f" or remove it first: {command} rm {name}"
            )
