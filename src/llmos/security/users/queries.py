"""Queries of the tables in tables.py. None commits: the public functions of the room do."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from llmos.security.users.tables import SessionRow, SignInFailuresRow, UserRow


def user(session: Session, name: str, *, lock: bool = False) -> UserRow | None:
    """Return the user, also a removed one."""
    if not name.isprintable():
        return None  # PostgreSQL refuses a text with a NUL, and no name has one.
    statement = select(UserRow).where(UserRow.name == name)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def user_of_subject(session: Session, issuer: str, subject: str) -> UserRow | None:
    """Return the user whom an OIDC provider knows by this id, also a removed one."""
    statement = select(UserRow).where(UserRow.issuer == issuer, UserRow.subject == subject)
    return session.scalars(statement.with_for_update()).one_or_none()


def users(session: Session, project: str | None) -> Sequence[UserRow]:
    """Return the users of one project, or of all, that aren't removed, by name."""
    statement = select(UserRow).where(UserRow.removed_at.is_(None)).order_by(UserRow.name)
    return session.scalars(statement if project is None else statement.where(UserRow.project == project)).all()


def remove_users(session: Session, project: str, now: datetime, actor: str | None) -> None:
    """Remove the users of a project, and end their sessions."""
    names = select(UserRow.name).where(UserRow.project == project)
    session.execute(delete(SessionRow).where(SessionRow.user.in_(names)))
    session.execute(
        update(UserRow)
        .where(UserRow.project == project, UserRow.removed_at.is_(None))
        .values(removed_at=now, removed_by=actor, password_hash=None)
    )


def session_of_hash(session: Session, hash: str) -> SessionRow | None:
    return session.get(SessionRow, hash)


def num_sessions(session: Session, idle_since: datetime, now: datetime, *, besides: str) -> dict[str, int]:
    """Return {user: number of sessions that haven't ended}, without those of the method `besides`.

    `idle_since`: those not seen since then have ended.
    """
    works = (SessionRow.expires_at > now, SessionRow.seen_at > idle_since, SessionRow.method != besides)
    counts = session.execute(select(SessionRow.user, func.count()).where(*works).group_by(SessionRow.user))
    return {row[0]: row[1] for row in counts}


def sessions_of(session: Session, user: str) -> Sequence[SessionRow]:
    """Return a user's sessions, oldest first."""
    statement = select(SessionRow).where(SessionRow.user == user).order_by(SessionRow.created_at, SessionRow.hash)
    return session.scalars(statement).all()


def remove_sessions_of(session: Session, user: str) -> int:
    """Delete a user's sessions, and return how many there were."""
    rows = sessions_of(session, user)
    for row in rows:
        session.delete(row)
    return len(rows)


def remove_session(session: Session, hash: str) -> bool:
    """Delete a session, and return whether it was there."""
    return bool(session.execute(delete(SessionRow).where(SessionRow.hash == hash).returning(SessionRow.hash)).all())


def remove_ended_sessions(session: Session, idle_since: datetime, now: datetime) -> None:
    ended = or_(SessionRow.expires_at <= now, SessionRow.seen_at <= idle_since)
    session.execute(delete(SessionRow).where(ended))


def record_seen(session: Session, hash: str, now: datetime) -> None:
    """Store that a session was used now, unless another server stored a later time."""
    session.execute(update(SessionRow).where(SessionRow.hash == hash, SessionRow.seen_at < now).values(seen_at=now))


def sign_in_failures(session: Session, scopes: Collection[str]) -> Sequence[SignInFailuresRow]:
    return session.scalars(select(SignInFailuresRow).where(SignInFailuresRow.scope.in_(scopes))).all()


def remove_old_failures(session: Session, before: int) -> None:
    """Delete what says nothing any more: the buckets that were full before this time."""
    session.execute(delete(SignInFailuresRow).where(SignInFailuresRow.full_at < before))
