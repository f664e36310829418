"""Removes a model, a version or an alias from the list. The blobs are deleted afterwards, by Registry.collect()."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from llmos.core.errors import Conflict
from llmos.core.names import parse_reference
from llmos.core.versioning import aliases
from llmos.core.versioning import queries as naming
from llmos.models import queries
from llmos.models.tables import MODELS, VersionRow
from llmos.models.versions.finding import Finder
from llmos.models.versions.versions import Removed, version_of

Refuse = Callable[[Session, str, str | None, Sequence[int]], None]
"""Called with a model and either an alias, or None and version numbers, that are to be removed. Raises Conflict, with
the next command to run, where something still needs them."""


def remove_from_list(
    session: Session, finder: Finder, ref: str, refuse: Refuse | None, now: datetime, actor: str | None
) -> Removed:
    """Remove what `ref` names, see Registry.remove(). `freed_bytes` of the result is 0."""
    reference = parse_reference(ref)
    model = reference.name
    naming.lock_name(session, MODELS, model)
    row = finder.version(session, reference)
    if reference.alias is not None:
        if refuse is not None:
            refuse(session, model, reference.alias, [])
        aliases.move(session, MODELS, model, reference.alias, None, now, actor)
        return Removed(versions=(), aliases=(reference.alias,), freed_bytes=0)
    removed_aliases = naming.aliases(session, MODELS, model)
    if reference.is_whole:
        rows = list(queries.versions(session, model))
    else:
        rows = [row]
        _check_unused(session, row, removed_aliases)
        removed_aliases = {}
    if refuse is not None:
        refuse(session, model, None, [each.number for each in rows])
        for alias in removed_aliases:
            refuse(session, model, alias, [])
    for alias in removed_aliases:
        aliases.move(session, MODELS, model, alias, None, now, actor)
    for each in rows:
        each.removed_at = now
    refs = tuple(version_of(each).ref for each in rows)
    return Removed(versions=refs, aliases=tuple(removed_aliases), freed_bytes=0)


def _check_unused(session: Session, row: VersionRow, numbers: dict[str, int]) -> None:
    """Raise Conflict where the version has an adapter, or one of the aliases {alias: number} points at it."""
    ref = version_of(row).ref
    if adapters := [other for other in queries.versions(session, row.model) if other.adapts == row.number]:
        adapter = version_of(adapters[0]).ref
        raise Conflict(f"{adapter} is an adapter of {ref}. Remove the adapter first: llmos rm {adapter}")
    for alias, number in numbers.items():
        if number == row.number:
            name = f"{row.model}:{alias}"
            raise Conflict(
                f"The alias {name} points at {ref}. Move it (llmos alias set {name} VERSION)"
                f" or remove it first: llmos rm {name}"
            )
