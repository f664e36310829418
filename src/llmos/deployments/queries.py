"""What the deployments ask of their tables. Never commits: the public functions do."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.deployments.tables import DeploymentEventRow, DeploymentRow, RouteRow


def routes(session: Session) -> Sequence[RouteRow]:
    return session.scalars(select(RouteRow).order_by(RouteRow.name)).all()


def route(session: Session, name: str) -> RouteRow | None:
    return session.get(RouteRow, name)


def deployments(session: Session) -> Sequence[DeploymentRow]:
    """Those that there are, by name and number."""
    statement = select(DeploymentRow).where(DeploymentRow.removed_at.is_(None))
    return session.scalars(statement.order_by(DeploymentRow.model, DeploymentRow.number)).all()


def deployment(session: Session, model: str, number: int) -> DeploymentRow | None:
    """A deployment, removed ones included. Locked, where the database locks rows, until the transaction ends."""
    return session.get(DeploymentRow, (model, number), with_for_update=True)


def deployment_events(session: Session, deployment: str) -> Sequence[DeploymentEventRow]:
    """What happened to a deployment, oldest first."""
    statement = select(DeploymentEventRow).where(DeploymentEventRow.deployment == deployment)
    return session.scalars(statement.order_by(DeploymentEventRow.id)).all()


def forget_old_deployment_events(session: Session, deployment: str, max_kept: int) -> None:
    """Keep the newest events of a deployment."""
    of_deployment = DeploymentEventRow.deployment == deployment
    count = session.scalar(select(func.count()).where(of_deployment)) or 0
    if count > max_kept:
        newest = select(DeploymentEventRow.id).where(of_deployment).order_by(DeploymentEventRow.id.desc())
        first_kept = session.scalars(newest.offset(max_kept - 1).limit(1)).one()
        session.execute(delete(DeploymentEventRow).where(of_deployment, DeploymentEventRow.id < first_kept))
