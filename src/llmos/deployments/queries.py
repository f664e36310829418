"""What the deployments ask of their tables. Never commits: the public functions do."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.deployments.tables import RouteRow


def routes(session: Session) -> Sequence[RouteRow]:
    return session.scalars(select(RouteRow).order_by(RouteRow.name)).all()


def route(session: Session, name: str) -> RouteRow | None:
    return session.get(RouteRow, name)
