"""Queries of the names and versions of a noun in projects. None commits."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.core.versioning.noun import ProjectNoun, VersionRow


def projects(session: Session, noun: ProjectNoun[VersionRow]) -> set[str]:
    """Return the projects that have a name."""
    return set(session.scalars(select(noun.names.project).distinct()))


def names(session: Session, noun: ProjectNoun[VersionRow], project: str) -> list[str]:
    """Return the names of a project that have a version, sorted."""
    statement = (
        select(noun.names.name)
        .join(noun.versions, noun.versions.owner == noun.names.key)
        .where(noun.names.project == project, noun.versions.removed_at.is_(None))
    )
    return list(session.scalars(statement.distinct().order_by(noun.names.name)))


def versions(session: Session, noun: ProjectNoun[VersionRow], key: str) -> Sequence[VersionRow]:
    """Return the versions of a name that aren't removed, oldest first."""
    statement = select(noun.versions).where(noun.versions.owner == key, noun.versions.removed_at.is_(None))
    return session.scalars(statement.order_by(noun.versions.number)).all()


def versions_of_project(session: Session, noun: ProjectNoun[VersionRow], project: str) -> Sequence[VersionRow]:
    """Return the versions of all names of a project that aren't removed, by name and number."""
    statement = (
        select(noun.versions)
        .join(noun.names, noun.names.key == noun.versions.owner)
        .where(noun.names.project == project, noun.versions.removed_at.is_(None))
    )
    return session.scalars(statement.order_by(noun.names.name, noun.versions.number)).all()


def version_with_number(session: Session, noun: ProjectNoun[VersionRow], key: str, number: int) -> VersionRow | None:
    """Return a version of a name by its number, whether it is removed or not."""
    statement = select(noun.versions).where(noun.versions.owner == key, noun.versions.number == number)
    return session.scalars(statement).one_or_none()


def version_with_digest(session: Session, noun: ProjectNoun[VersionRow], key: str, digest: str) -> VersionRow | None:
    """Return the newest version of a name with a digest, whether it is removed or not."""
    statement = select(noun.versions).where(noun.versions.owner == key, noun.versions.digest == digest)
    return session.scalars(statement.order_by(noun.versions.number.desc()).limit(1)).first()


def next_number(session: Session, noun: ProjectNoun[VersionRow], key: str) -> int:
    """Return the number for a new version. Numbers of removed versions are not used again."""
    last = session.scalar(select(func.max(noun.versions.number)).where(noun.versions.owner == key))
    return (last or 0) + 1


def ensure_name(session: Session, noun: ProjectNoun[VersionRow], key: str, now: datetime) -> None:
    """Add the row of a name where it is missing, and lock it until the transaction ends."""
    if session.get(noun.names, key, with_for_update=True) is None:
        project, _, name = key.partition("/")
        session.add(noun.names(key=key, project=project, name=name, created_at=now))
        session.flush()


def remove_project(session: Session, noun: ProjectNoun[VersionRow], project: str) -> None:
    """Delete every row about the names of a project. The noun has deleted the rows that belong to its versions."""
    keys = select(noun.names.key).where(noun.names.project == project)
    for rows in (noun.alias_moves, noun.label_changes, noun.versions):
        session.execute(delete(rows).where(rows.owner.in_(keys)))
    session.execute(delete(noun.names).where(noun.names.project == project))
