"""Removal of a model, a version or an alias, unless a deployment or a route uses it."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from llmos.core.errors import Conflict
from llmos.deployments import queries
from llmos.deployments.desired.deployments import Deployments
from llmos.models.registry import Registry
from llmos.models.versions.versions import Removed


def remove(registry: Registry, ref: str, *, actor: str | None = None) -> Removed:
    """Remove what `ref` names, as Registry.remove does.

    Raises Conflict, with the next command, and removes nothing if a deployment or a route uses the alias or the
    version. A route to the plain name of a model stays, and answers its callers that the model is gone.
    """
    deployments = Deployments(registry.database, registry)

    def refuse(session: Session, model: str, alias: str | None, numbers: Sequence[int]) -> None:
        deployments.refuse_removal(session, model, alias, numbers)
        if alias is not None:
            _refuse_routed(session, f"{model}:{alias}")
        for number in numbers:
            _refuse_routed(session, f"{model}@{number}")

    return registry.remove(ref, refuse, actor=actor)


def _refuse_routed(session: Session, target: str) -> None:
    if routes := queries.routes_to(session, target):
        raise Conflict(
            f"The route {routes[0]} points at {target}. Point it elsewhere first: llmos route set {routes[0]} MODEL"
        )
