"""Queries of the segments in tables.py. None commits: the public functions of the room do."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core.versioning import project_queries
from llmos.data.datasets.tables import DATASETS, DatasetRow, DatasetSegmentRow, DatasetVersionRow


def segment_with_rows(session: Session, project: str, rows_digest: str) -> DatasetSegmentRow | None:
    """Return a segment of the project, of a version that isn't removed, that has exactly these rows."""
    statement = (
        select(DatasetSegmentRow)
        .join(DatasetVersionRow, DatasetVersionRow.id == DatasetSegmentRow.version_id)
        .join(DatasetRow, DatasetRow.key == DatasetVersionRow.owner)
        .where(
            DatasetSegmentRow.rows_digest == rows_digest,
            DatasetRow.project == project,
            DatasetVersionRow.removed_at.is_(None),
        )
    )
    return session.scalars(statement.limit(1)).first()


def remove_project(session: Session, project: str) -> None:
    """Delete every row about the datasets of a project."""
    versions = (
        select(DatasetVersionRow.id)
        .join(DatasetRow, DatasetRow.key == DatasetVersionRow.owner)
        .where(DatasetRow.project == project)
    )
    session.execute(delete(DatasetSegmentRow).where(DatasetSegmentRow.version_id.in_(versions)))
    project_queries.remove_project(session, DATASETS, project)


def digests_in_use(session: Session) -> set[str]:
    """Return the digests of all blobs that a version of any dataset uses."""
    statement = select(DatasetSegmentRow.blob).join(DatasetVersionRow).where(DatasetVersionRow.removed_at.is_(None))
    return set(session.scalars(statement))
