"""Queries of the files of applications. None commits: the public functions of the room do."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core.versioning import project_queries
from llmos.data.app_versions.tables import APPS, AppFileRow, AppRow, AppVersionRow


def live_digests(session: Session) -> set[tuple[str, str]]:
    """Return (project, digest) of all versions that aren't removed."""
    statement = (
        select(AppRow.project, AppVersionRow.digest)
        .join(AppVersionRow, AppVersionRow.owner == AppRow.key)
        .where(AppVersionRow.removed_at.is_(None))
    )
    return {(project, digest) for project, digest in session.execute(statement)}


def remove_project(session: Session, project: str) -> None:
    """Delete every row about the applications of a project."""
    versions = select(AppVersionRow.id).join(AppRow, AppRow.key == AppVersionRow.owner).where(AppRow.project == project)
    session.execute(delete(AppFileRow).where(AppFileRow.version_id.in_(versions)))
    project_queries.remove_project(session, APPS, project)


def digests_in_use(session: Session) -> set[str]:
    """Return the digests of all blobs that a version of any application uses."""
    files = select(AppFileRow.blob).join(AppVersionRow).where(AppVersionRow.removed_at.is_(None))
    manifests = select(AppVersionRow.manifest_blob).where(AppVersionRow.removed_at.is_(None))
    return {*session.scalars(files.distinct()), *session.scalars(manifests)}


def blob_users(session: Session, digests: Collection[str]) -> Mapping[str, Sequence[str]]:
    """Return {digest: the versions that use it, with their projects} of these blobs."""
    files = select(AppFileRow.blob, AppVersionRow.owner, AppVersionRow.number).join(AppVersionRow)
    manifests = select(AppVersionRow.manifest_blob, AppVersionRow.owner, AppVersionRow.number)
    users: dict[str, list[str]] = {}
    for statement, blob in ((files, AppFileRow.blob), (manifests, AppVersionRow.manifest_blob)):
        found = statement.where(AppVersionRow.removed_at.is_(None), blob.in_(digests)).distinct()
        for digest, key, number in session.execute(found.order_by(AppVersionRow.owner, AppVersionRow.number)):
            project, _, name = key.partition("/")
            users.setdefault(digest, []).append(f"the app {name}@{number} of the project {project}")
    return users
