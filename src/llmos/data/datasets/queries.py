"""Queries of the segments in tables.py. None commits: the public functions of the room do."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import delete, select, update
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


def plain_segments(session: Session) -> Sequence[tuple[str, str]]:
    """Return (project, blob) of the segments that an earlier version has stored plain."""
    statement = (
        select(DatasetRow.project, DatasetSegmentRow.blob)
        .select_from(DatasetSegmentRow)
        .join(DatasetVersionRow, DatasetVersionRow.id == DatasetSegmentRow.version_id)
        .join(DatasetRow, DatasetRow.key == DatasetVersionRow.owner)
        .where(DatasetSegmentRow.blob.startswith("sha256:"), DatasetVersionRow.removed_at.is_(None))
    )
    return [(project, blob) for project, blob in session.execute(statement.distinct())]


def replace_blob(session: Session, project: str, old: str, new: str) -> None:
    """Let all segments of a project that name a blob name another one."""
    versions = (
        select(DatasetVersionRow.id)
        .join(DatasetRow, DatasetRow.key == DatasetVersionRow.owner)
        .where(DatasetRow.project == project)
    )
    session.execute(
        update(DatasetSegmentRow)
        .where(DatasetSegmentRow.blob == old, DatasetSegmentRow.version_id.in_(versions))
        .values(blob=new)
    )


def digests_in_use(session: Session) -> set[str]:
    """Return the digests of all blobs that a version of any dataset uses."""
    statement = select(DatasetSegmentRow.blob).join(DatasetVersionRow).where(DatasetVersionRow.removed_at.is_(None))
    return set(session.scalars(statement))


def blob_users(session: Session, digests: Collection[str]) -> Mapping[str, Sequence[str]]:
    """Return {digest: the versions that use it, with their projects} of these blobs."""
    statement = (
        select(DatasetSegmentRow.blob, DatasetVersionRow.owner, DatasetVersionRow.number)
        .join(DatasetVersionRow)
        .where(DatasetVersionRow.removed_at.is_(None), DatasetSegmentRow.blob.in_(digests))
    )
    users: dict[str, list[str]] = {}
    for blob, key, number in session.execute(statement.distinct().order_by(DatasetVersionRow.owner)):
        project, _, name = key.partition("/")
        users.setdefault(blob, []).append(f"the dataset {name}@{number} of the project {project}")
    return users
