"""Queries of the table in tables.py. None commits."""

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from llmos.security.oidc.tables import UsedStateRow


def add_state(session: Session, hash: str, expires_at: datetime) -> None:
    """Raises IntegrityError if the state was used before."""
    session.add(UsedStateRow(hash=hash, expires_at=expires_at))
    session.flush()


def remove_old_states(session: Session, now: datetime) -> None:
    session.execute(delete(UsedStateRow).where(UsedStateRow.expires_at <= now))
