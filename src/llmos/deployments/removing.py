"""Removal of a model, a version or an alias, unless a deployment or a route uses it."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from llmos.core.errors import Conflict
from llmos.core.names import Reference, parse_reference
from llmos.deployments import queries
from llmos.deployments.desired.deployments import Deployments
from llmos.models import queries as model_queries
from llmos.models.registry import Registry
from llmos.models.versions.versions import Removed


def remove(registry: Registry, ref: str, *, actor: str | None = None) -> Removed:
    """Remove what `ref` names, as Registry.remove does.

    Raises Conflict, with the next command, and removes nothing if a deployment uses the alias or the version, or if a
    target of a route, a fallback or a shadow would lead to nothing. A route to the plain name of a model needs one of
    its versions, whichever that is.
    """
    deployments = Deployments(registry.database, registry)

    def refuse(session: Session, model: str, alias: str | None, numbers: Sequence[int]) -> None:
        deployments.refuse_removal(session, model, alias, numbers)
        for route, target in queries.local_targets(session):
            if (reference := parse_reference(target)).name == model and _needs(session, reference, alias, numbers):
                raise Conflict(
                    f"The route {route} points at {target}. Remove the route first, with llmos route rm {route}, or "
                    f"point it elsewhere: llmos route set {route} MODEL"
                )

    return registry.remove(ref, refuse, actor=actor)


def _needs(session: Session, reference: Reference, alias: str | None, numbers: Sequence[int]) -> bool:
    """Return whether a reference to this model leads to nothing without the alias, or without the versions."""
    if alias is not None:
        return reference.alias == alias
    if reference.number is not None:
        return reference.number in numbers
    rows = model_queries.versions(session, reference.name)
    if reference.digest is not None:
        rows = [row for row in rows if row.digest.startswith(reference.digest)]
    elif reference.is_whole:
        rows = [row for row in rows if row.adapts is None]
    else:
        return False  # The alias keeps its version, unless it is removed as well.
    return bool(rows) and all(row.number in numbers for row in rows)
