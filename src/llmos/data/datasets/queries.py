"""Queries of the tables in tables.py. None commits: the public functions of the room do."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.data.datasets.tables import (
    DatasetAliasMoveRow,
    DatasetLabelChangeRow,
    DatasetRow,
    DatasetSegmentRow,
    DatasetVersionRow,
)


def projects(session: Session) -> set[str]:
    """Return the projects that have a dataset."""
    return set(session.scalars(select(DatasetRow.project).distinct()))


def names(session: Session, project: str) -> list[str]:
    """Return the names of the project's datasets that have a version, sorted."""
    statement = (
        select(DatasetRow.name)
        .join(DatasetVersionRow, DatasetVersionRow.dataset == DatasetRow.key)
        .where(DatasetRow.project == project, DatasetVersionRow.removed_at.is_(None))
    )
    return list(session.scalars(statement.distinct().order_by(DatasetRow.name)))


def versions(session: Session, key: str) -> Sequence[DatasetVersionRow]:
    """Return the versions of a dataset that aren't removed, oldest first."""
    statement = select(DatasetVersionRow).where(
        DatasetVersionRow.dataset == key, DatasetVersionRow.removed_at.is_(None)
    )
    return session.scalars(statement.order_by(DatasetVersionRow.number)).all()


def versions_of_project(session: Session, project: str) -> Sequence[DatasetVersionRow]:
    """Return the versions of all datasets of a project that aren't removed, by name and number."""
    statement = (
        select(DatasetVersionRow)
        .join(DatasetRow, DatasetRow.key == DatasetVersionRow.dataset)
        .where(DatasetRow.project == project, DatasetVersionRow.removed_at.is_(None))
    )
    return session.scalars(statement.order_by(DatasetRow.name, DatasetVersionRow.number)).all()


def version_with_digest(session: Session, key: str, digest: str) -> DatasetVersionRow | None:
    """Return a version of a dataset by its digest, whether it is removed or not."""
    statement = select(DatasetVersionRow).where(DatasetVersionRow.dataset == key, DatasetVersionRow.digest == digest)
    return session.scalars(statement).one_or_none()


def next_number(session: Session, key: str) -> int:
    """Return the number for a new version. Numbers of removed versions are not used again."""
    last = session.scalar(select(func.max(DatasetVersionRow.number)).where(DatasetVersionRow.dataset == key))
    return (last or 0) + 1


def ensure_dataset(session: Session, key: str, project: str, name: str, now: datetime) -> None:
    """Add the dataset's row where it is missing, and lock it until the transaction ends."""
    if session.get(DatasetRow, key, with_for_update=True) is None:
        session.add(DatasetRow(key=key, project=project, name=name, created_at=now))
        session.flush()


def segment_with_rows(session: Session, project: str, rows_digest: str) -> DatasetSegmentRow | None:
    """Return a segment of the project, of a version that isn't removed, that has exactly these rows."""
    statement = (
        select(DatasetSegmentRow)
        .join(DatasetVersionRow, DatasetVersionRow.id == DatasetSegmentRow.version_id)
        .join(DatasetRow, DatasetRow.key == DatasetVersionRow.dataset)
        .where(
            DatasetSegmentRow.rows_digest == rows_digest,
            DatasetRow.project == project,
            DatasetVersionRow.removed_at.is_(None),
        )
    )
    return session.scalars(statement.limit(1)).first()


def remove_project(session: Session, project: str) -> None:
    """Delete every row about the datasets of a project."""
    keys = select(DatasetRow.key).where(DatasetRow.project == project)
    versions = select(DatasetVersionRow.id).where(DatasetVersionRow.dataset.in_(keys))
    session.execute(delete(DatasetSegmentRow).where(DatasetSegmentRow.version_id.in_(versions)))
    for rows in (DatasetAliasMoveRow, DatasetLabelChangeRow):
        session.execute(delete(rows).where(rows.owner.in_(keys)))
    session.execute(delete(DatasetVersionRow).where(DatasetVersionRow.dataset.in_(keys)))
    session.execute(delete(DatasetRow).where(DatasetRow.project == project))


def digests_in_use(session: Session) -> set[str]:
    """Return the digests of all blobs that a version of any dataset uses."""
    statement = select(DatasetSegmentRow.blob).join(DatasetVersionRow).where(DatasetVersionRow.removed_at.is_(None))
    return set(session.scalars(statement))
