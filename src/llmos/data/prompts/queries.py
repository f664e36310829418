"""Queries of the blobs of prompts. None commits: the public functions of the room do."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.data.prompts.tables import PromptVersionRow


def digests_in_use(session: Session) -> set[str]:
    """Return the digests of all blobs that a version of any prompt uses."""
    return set(session.scalars(select(PromptVersionRow.blob).where(PromptVersionRow.removed_at.is_(None))))


def blob_users(session: Session, digests: Collection[str]) -> Mapping[str, Sequence[str]]:
    """Return {digest: the versions that use it, with their projects} of these blobs."""
    statement = (
        select(PromptVersionRow.blob, PromptVersionRow.owner, PromptVersionRow.number)
        .where(PromptVersionRow.removed_at.is_(None), PromptVersionRow.blob.in_(digests))
        .order_by(PromptVersionRow.owner, PromptVersionRow.number)
    )
    users: dict[str, list[str]] = {}
    for blob, key, number in session.execute(statement):
        project, _, name = key.partition("/")
        users.setdefault(blob, []).append(f"the prompt {name}@{number} of the project {project}")
    return users
