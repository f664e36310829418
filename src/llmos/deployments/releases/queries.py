"""Queries of releases of applications. None commits."""

from collections.abc import Collection, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.deployments.releases.tables import AppReleaseEventRow, AppReleaseRow


def of_app(session: Session, project: str, app: str, limit: int) -> Sequence[AppReleaseRow]:
    """Return the releases of an application, newest first."""
    statement = select(AppReleaseRow).where(AppReleaseRow.project == project, AppReleaseRow.app == app)
    return session.scalars(statement.order_by(AppReleaseRow.number.desc()).limit(limit)).all()


def in_states(session: Session, states: Collection[str]) -> Sequence[AppReleaseRow]:
    """Return the releases of all projects that are in one of these states, oldest first."""
    return session.scalars(
        select(AppReleaseRow).where(AppReleaseRow.state.in_(states)).order_by(AppReleaseRow.id)
    ).all()


def locked(session: Session, id: int) -> AppReleaseRow | None:
    """Return a release, locked until the transaction ends."""
    return session.get(AppReleaseRow, id, with_for_update=True, populate_existing=True)


def events(session: Session, ids: Sequence[int]) -> Sequence[AppReleaseEventRow]:
    """Return the events of releases, oldest first."""
    statement = select(AppReleaseEventRow).where(AppReleaseEventRow.release.in_(ids))
    return session.scalars(statement.order_by(AppReleaseEventRow.id)).all()


def next_number(session: Session, project: str, app: str) -> int:
    statement = select(func.max(AppReleaseRow.number)).where(AppReleaseRow.project == project, AppReleaseRow.app == app)
    return (session.scalar(statement) or 0) + 1


def remove_project(session: Session, project: str) -> None:
    """Delete the releases of a project."""
    ids = select(AppReleaseRow.id).where(AppReleaseRow.project == project)
    session.execute(delete(AppReleaseEventRow).where(AppReleaseEventRow.release.in_(ids)))
    session.execute(delete(AppReleaseRow).where(AppReleaseRow.project == project))
