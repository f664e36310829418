"""Queries of the documents and files in tables.py. None commits: the public functions of the room do."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import and_, delete, select
from sqlalchemy.orm import Session

from llmos.core.versioning import project_queries
from llmos.data.knowledge.tables import (
    KNOWLEDGE,
    DocumentRow,
    EvaluationRow,
    IndexFileRow,
    KnowledgeRow,
    KnowledgeVersionRow,
    PendingEntryRow,
)
from llmos.data.knowledge.versions import EntryFile, entry_columns


def documents(
    session: Session,
    key: str,
    number: int,
    names: Collection[str] | None = None,
    *,
    first: int = 0,
    limit: int | None = None,
) -> Sequence[DocumentRow]:
    """Return the documents of a version by name; only those with one of `names`, if there are some, and only `limit`
    of them from the position `first` on."""
    statement = (
        select(DocumentRow)
        .join(KnowledgeVersionRow, KnowledgeVersionRow.id == DocumentRow.version_id)
        .where(KnowledgeVersionRow.owner == key, KnowledgeVersionRow.number == number, DocumentRow.position >= first)
    )
    if names is not None:
        statement = statement.where(DocumentRow.name.in_(names))
    return session.scalars(statement.order_by(DocumentRow.position).limit(limit)).all()


def document_with_entry(session: Session, project: str, entry_key: str) -> DocumentRow | None:
    """Return a document of the project, of a version that isn't removed, that has this entry."""
    statement = (
        select(DocumentRow)
        .join(KnowledgeVersionRow, KnowledgeVersionRow.id == DocumentRow.version_id)
        .join(KnowledgeRow, KnowledgeRow.key == KnowledgeVersionRow.owner)
        .where(
            DocumentRow.entry_key == entry_key,
            KnowledgeRow.project == project,
            KnowledgeVersionRow.removed_at.is_(None),
        )
    )
    return session.scalars(statement.limit(1)).first()


def documents_with_digest(session: Session, project: str, digest: str) -> Sequence[DocumentRow]:
    """Return the documents of the project, of versions that aren't removed, that were made of a file."""
    statement = (
        select(DocumentRow)
        .join(KnowledgeVersionRow, KnowledgeVersionRow.id == DocumentRow.version_id)
        .join(KnowledgeRow, KnowledgeRow.key == KnowledgeVersionRow.owner)
        .where(
            DocumentRow.digest == digest,
            KnowledgeRow.project == project,
            KnowledgeVersionRow.removed_at.is_(None),
        )
    )
    return session.scalars(statement.order_by(DocumentRow.version_id.desc())).all()


def keep_pending(session: Session, key: str, entry_key: str, entry: EntryFile, now: datetime) -> None:
    """Keep an entry for a version of a name that isn't listed yet."""
    session.merge(PendingEntryRow(owner=key, entry_key=entry_key, created_at=now, **entry_columns(entry)))


def remove_pending_of(session: Session, key: str) -> None:
    session.execute(delete(PendingEntryRow).where(PendingEntryRow.owner == key))


def remove_pending_before(session: Session, moment: datetime) -> None:
    session.execute(delete(PendingEntryRow).where(PendingEntryRow.created_at < moment))


def remove_pending_of_project(session: Session, project: str) -> None:
    session.execute(delete(PendingEntryRow).where(PendingEntryRow.owner.startswith(f"{project}/", autoescape=True)))


def evaluation(session: Session, key: str, number: int) -> EvaluationRow | None:
    """Return the last evaluation of a version."""
    return session.get(EvaluationRow, (key, number))


def last_evaluation(session: Session, key: str, number: int, embedding_digest: str) -> EvaluationRow | None:
    """Return the evaluation of the newest version up to this one that has one, of those with this embedding model."""
    versions = KnowledgeVersionRow
    return session.scalars(
        select(EvaluationRow)
        .join(versions, and_(versions.owner == EvaluationRow.owner, versions.number == EvaluationRow.number))
        .where(EvaluationRow.owner == key, EvaluationRow.number <= number)
        .where(versions.embedding_digest == embedding_digest)
        .order_by(EvaluationRow.number.desc())
        .limit(1)
    ).first()


def remove_project(session: Session, project: str) -> None:
    """Delete every row about the knowledge of a project."""
    versions = (
        select(KnowledgeVersionRow.id)
        .join(KnowledgeRow, KnowledgeRow.key == KnowledgeVersionRow.owner)
        .where(KnowledgeRow.project == project)
    )
    for rows in (DocumentRow, IndexFileRow):
        session.execute(delete(rows).where(rows.version_id.in_(versions)))
    remove_pending_of_project(session, project)
    keys = select(KnowledgeRow.key).where(KnowledgeRow.project == project)
    session.execute(delete(EvaluationRow).where(EvaluationRow.owner.in_(keys)))
    project_queries.remove_project(session, KNOWLEDGE, project)


def digests_in_use(session: Session) -> set[str]:
    """Return the digests of all blobs that a version of any knowledge uses, or one that is being made."""
    found = set(session.scalars(select(PendingEntryRow.entry)))
    for blob, rows in ((DocumentRow.entry, DocumentRow), (IndexFileRow.blob, IndexFileRow)):
        statement = (
            select(blob)
            .join(KnowledgeVersionRow, KnowledgeVersionRow.id == rows.version_id)
            .where(KnowledgeVersionRow.removed_at.is_(None))
        )
        found.update(session.scalars(statement.distinct()))
    return found


def blob_users(session: Session, digests: Collection[str]) -> Mapping[str, Sequence[str]]:
    """Return {digest: the versions that use it, with their projects} of these blobs."""
    users: dict[str, list[str]] = {}
    for blob, rows in ((DocumentRow.entry, DocumentRow), (IndexFileRow.blob, IndexFileRow)):
        statement = (
            select(blob, KnowledgeVersionRow.owner, KnowledgeVersionRow.number)
            .join(KnowledgeVersionRow, KnowledgeVersionRow.id == rows.version_id)
            .where(KnowledgeVersionRow.removed_at.is_(None), blob.in_(digests))
        )
        for digest, key, number in session.execute(statement.distinct().order_by(KnowledgeVersionRow.owner)):
            project, _, name = key.partition("/")
            users.setdefault(digest, []).append(f"the knowledge {name}@{number} of the project {project}")
    return users
