"""Queries of the tables of deployments. They never commit: the public methods do."""

from collections.abc import Collection, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.deployments.tables import (
    DeploymentEventRow,
    DeploymentRow,
    ProviderRow,
    RolloutEventRow,
    RolloutRow,
    RouteMoveRow,
    RouteRow,
    RouteTargetRow,
)
from llmos.deployments.targets import REMOTE


def routes(session: Session) -> Sequence[RouteRow]:
    return session.scalars(select(RouteRow).order_by(RouteRow.name)).all()


def deployments(session: Session) -> Sequence[DeploymentRow]:
    """Return the deployments that were not removed, by model and number."""
    statement = select(DeploymentRow).where(DeploymentRow.removed_at.is_(None))
    return session.scalars(statement.order_by(DeploymentRow.model, DeploymentRow.number)).all()


def deployment(session: Session, model: str, number: int) -> DeploymentRow | None:
    """Return a deployment, even a removed one. Locks its row until the transaction ends, if the database can."""
    return session.get(DeploymentRow, (model, number), with_for_update=True)


def deployment_events(session: Session, deployment: str) -> Sequence[DeploymentEventRow]:
    """Return the events of a deployment, oldest first."""
    statement = select(DeploymentEventRow).where(DeploymentEventRow.deployment == deployment)
    return session.scalars(statement.order_by(DeploymentEventRow.id)).all()


def deployment_events_after(session: Session, id: int) -> Sequence[DeploymentEventRow]:
    """Return the events of all deployments that were recorded after the one with this id, oldest first."""
    return session.scalars(
        select(DeploymentEventRow).where(DeploymentEventRow.id > id).order_by(DeploymentEventRow.id)
    ).all()


def last_deployment_event(session: Session) -> int:
    """Return the id of the newest event; 0 where there is none."""
    return session.scalar(select(func.max(DeploymentEventRow.id))) or 0


def forget_old_deployment_events(session: Session, deployment: str, max_kept: int) -> None:
    """Delete all but the newest events of a deployment."""
    of_deployment = DeploymentEventRow.deployment == deployment
    count = session.scalar(select(func.count()).where(of_deployment)) or 0
    if count > max_kept:
        newest = select(DeploymentEventRow.id).where(of_deployment).order_by(DeploymentEventRow.id.desc())
        first_kept = session.scalars(newest.offset(max_kept - 1).limit(1)).one()
        session.execute(delete(DeploymentEventRow).where(of_deployment, DeploymentEventRow.id < first_kept))


def route(session: Session, name: str, *, for_update: bool = False) -> RouteRow | None:
    """`for_update`: lock the row until the transaction ends."""
    return session.get(RouteRow, name, with_for_update=for_update)


def route_names(session: Session) -> Sequence[str]:
    return session.scalars(select(RouteRow.name).order_by(RouteRow.name)).all()


def route_moves(session: Session, name: str, limit: int) -> Sequence[RouteMoveRow]:
    """Return the moves of a route, newest first."""
    statement = select(RouteMoveRow).where(RouteMoveRow.route == name).order_by(RouteMoveRow.id.desc())
    return session.scalars(statement.limit(limit)).all()


def local_targets(session: Session) -> Sequence[tuple[str, str]]:
    """Return each route with each of its targets, fallbacks and shadows that is a model on this machine."""
    is_local = ~RouteTargetRow.target.startswith(REMOTE, autoescape=True)
    statement = select(RouteTargetRow.route, RouteTargetRow.target).where(is_local).order_by(RouteTargetRow.route)
    return [(route, target) for route, target in session.execute(statement)]


def remote_targets(session: Session) -> Sequence[tuple[str, str]]:
    """Return each route with each of its targets that is a provider's model."""
    is_remote = RouteTargetRow.target.startswith(REMOTE, autoescape=True)
    statement = select(RouteTargetRow.route, RouteTargetRow.target).where(is_remote).order_by(RouteTargetRow.route)
    return [(route, target) for route, target in session.execute(statement)]


def providers(session: Session) -> Sequence[ProviderRow]:
    return session.scalars(select(ProviderRow).order_by(ProviderRow.name)).all()


def provider(session: Session, name: str) -> ProviderRow | None:
    return session.get(ProviderRow, name)


def rollouts(
    session: Session, *, route: str | None = None, states: Collection[str] | None = None, for_update: bool = False
) -> Sequence[RolloutRow]:
    """Return the rollouts of a route, or of all; in these states, or in any; oldest first."""
    statement = select(RolloutRow)
    if for_update:
        statement = statement.with_for_update()
    if route is not None:
        statement = statement.where(RolloutRow.route == route)
    if states is not None:
        statement = statement.where(RolloutRow.state.in_(states))
    return session.scalars(statement.order_by(RolloutRow.id)).all()


def rollout_events(session: Session, rollout: int) -> Sequence[RolloutEventRow]:
    """Return the events of a rollout, oldest first."""
    statement = select(RolloutEventRow).where(RolloutEventRow.rollout == rollout)
    return session.scalars(statement.order_by(RolloutEventRow.id)).all()
