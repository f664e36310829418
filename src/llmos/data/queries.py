"""What the room asks of its tables. Never commits: the public functions do."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.data.tables import ResponseRow


def response(session: Session, tenant: str, id: str, now: datetime) -> ResponseRow | None:
    """A response of the tenant's own that has not expired."""
    return session.scalars(
        select(ResponseRow).where(ResponseRow.id == id, ResponseRow.tenant == tenant, ResponseRow.expires_at > now)
    ).one_or_none()


def remove_expired_responses(session: Session, now: datetime) -> None:
    session.execute(delete(ResponseRow).where(ResponseRow.expires_at <= now))
