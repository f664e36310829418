"""Take a model, a version or an alias out of the list. The bytes are collected afterwards."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from llmos.core.errors import Conflict
from llmos.models import queries
from llmos.models.names import parse_reference
from llmos.models.tables import VersionRow
from llmos.models.versions import aliases
from llmos.models.versions.finding import Finder
from llmos.models.versions.versions import Removed, version_of

Refuse = Callable[[Session, str, str | None, Sequence[int]], None]
"""Asked with a model and its alias, or its versions' numbers, that are to go. Raises Conflict, with the next command,
where somebody still needs them."""


def take_from_list(
    session: Session, finder: Finder, ref: str, refuse: Refuse | None, now: datetime, actor: str | None
) -> Removed:
    """See Registry.remove."""
    reference = parse_reference(ref)
    model = reference.model
    queries.lock_model(session, model)
    row = finder.version(session, reference)
    if reference.alias is not None:
        if refuse is not None:
            refuse(session, model, reference.alias, [])
        aliases.move(session, model, reference.alias, None, now, actor)
        return Removed(versions=(), aliases=(reference.alias,), freed_bytes=0)
    pointing = queries.aliases(session, model)
    if reference.number is None and reference.digest is None:
        rows = list(queries.versions(session, model))
    else:
        rows = [row]
        _check_alone(session, row, pointing)
        pointing = {}
    if refuse is not None:
        refuse(session, model, None, [each.number for each in rows])
        for alias in pointing:
            refuse(session, model, alias, [])
    for alias in pointing:
        aliases.move(session, model, alias, None, now, actor)
    removed = [version_of(each).ref for each in rows]
    for each in rows:
        each.removed_at = now
    return Removed(versions=tuple(removed), aliases=tuple(pointing), freed_bytes=0)


def _check_alone(session: Session, row: VersionRow, pointing: dict[str, int]) -> None:
    """Raise Conflict where an adapter changes the version, or an alias points at it."""
    ref = version_of(row).ref
    if adapters := [other for other in queries.versions(session, row.model) if other.adapts == row.number]:
        adapter = version_of(adapters[0]).ref
        raise Conflict(f"{adapter} is an adapter of {ref}. Remove the adapter first: llmos rm {adapter}")
    for alias, number in pointing.items():
        if number == row.number:
            name = f"{row.model}:{alias}"
            raise Conflict(
                f"{ref} is what {name} points at. Point it elsewhere (llmos alias set {name} VERSION)"
                f" or remove the alias first: llmos rm {name}"
            )
