"""Queries of the tables in tables.py. None commits: the public functions of the room do."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, func, or_, select, update
from sqlalchemy.orm import Session

from llmos.core.database import Base
from llmos.core.statements import PlainTransaction, Statement, insert_into
from llmos.security.tables import BucketRow, KeyRow, ProjectRow, RunningRow


def project(session: Session, name: str, *, lock: bool = False) -> ProjectRow | None:
    """Return the project, also a removed one."""
    if not name.isprintable():
        return None  # PostgreSQL refuses a text with a NUL, and no name has one.
    return session.get(ProjectRow, name, with_for_update=lock or None)


def projects(session: Session) -> Sequence[ProjectRow]:
    """Return the projects that aren't removed, by name."""
    return session.scalars(select(ProjectRow).where(ProjectRow.removed_at.is_(None)).order_by(ProjectRow.name)).all()


def num_keys(session: Session, now: datetime) -> dict[str, int]:
    """Return {project: number of keys that work}."""
    works = (KeyRow.revoked_at.is_(None), or_(KeyRow.expires_at.is_(None), KeyRow.expires_at > now))
    counts = session.execute(select(KeyRow.project, func.count()).where(*works).group_by(KeyRow.project))
    return {row[0]: row[1] for row in counts}


def key(session: Session, id: str, *, lock: bool = False) -> KeyRow | None:
    if not id.isprintable():
        return None
    statement = select(KeyRow).where(KeyRow.id == id)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def key_of_hmac(session: Session, hmac: str) -> KeyRow | None:
    """Return the key with this HMAC, now or before its last rotation."""
    statement = select(KeyRow).where(or_(KeyRow.hmac == hmac, KeyRow.old_hmac == hmac))
    return session.scalars(statement).one_or_none()


def keys(session: Session, project: str | None) -> Sequence[KeyRow]:
    """Return the keys of one project, or of all, oldest first."""
    statement = select(KeyRow).order_by(KeyRow.number)
    return session.scalars(statement if project is None else statement.where(KeyRow.project == project)).all()


def other_pepper(session: Session, pepper_id: str) -> str | None:
    """Return the id of a key that isn't revoked and was hashed with another pepper, or None."""
    statement = select(KeyRow.id).where(KeyRow.pepper_id != pepper_id, KeyRow.revoked_at.is_(None)).limit(1)
    return session.scalars(statement).one_or_none()


def revoke_keys(session: Session, project: str, now: datetime, actor: str | None) -> None:
    """Revoke the keys of a project that aren't revoked yet."""
    session.execute(
        update(KeyRow)
        .where(KeyRow.project == project, KeyRow.revoked_at.is_(None))
        .values(revoked_at=now, revoked_by=actor)
    )


def use_keys(session: Session, ids: Collection[str], now: datetime) -> None:
    """Store that the keys were used now, unless another server stored a later time."""
    is_later = or_(KeyRow.last_used_at.is_(None), KeyRow.last_used_at < now)
    session.execute(update(KeyRow).where(KeyRow.id.in_(ids), is_later).values(last_used_at=now))


_BUCKETS = Statement(lambda _: select(BucketRow.kind, BucketRow.full_at).where(BucketRow.scope == bindparam("scope")))
_RUNNING = Statement(
    lambda _: select(RunningRow.server_id, RunningRow.num_running, RunningRow.expires_at).where(
        RunningRow.scope == bindparam("scope")
    )
)


def _replace(kind: type[Base], key: Sequence[str], values: Sequence[str]) -> Statement:
    """Return the statement that stores a row in the place of the one with the same key."""

    def make(dialect: str) -> Any:
        statement = insert_into(dialect, cast(Table, kind.__table__))
        return statement.on_conflict_do_update(
            index_elements=key, set_={name: statement.excluded[name] for name in values}
        )

    return Statement(make)


_STORE_BUCKET = _replace(BucketRow, ("scope", "kind"), ("full_at",))
_STORE_RUNNING = _replace(RunningRow, ("scope", "server_id"), ("num_running", "expires_at"))


def buckets(transaction: PlainTransaction, scope: str) -> dict[str, int]:
    """Return when each bucket is full, by its kind."""
    return dict(transaction.rows(_BUCKETS, scope=scope))


def store_bucket(transaction: PlainTransaction, scope: str, kind: str, full_at: int) -> None:
    transaction.run(_STORE_BUCKET, [{"scope": scope, "kind": kind, "full_at": full_at}])


def remove_buckets(session: Session, scope: str) -> None:
    """Forget what a key or a project has used: its limits are others now."""
    session.execute(delete(BucketRow).where(BucketRow.scope == scope))


def running(transaction: PlainTransaction, scope: str) -> list[tuple[str, int, int]]:
    """Return (server, calls that it runs, end of its lease) of all servers."""
    return transaction.rows(_RUNNING, scope=scope)


def store_running(transaction: PlainTransaction, scope: str, server_id: str, num_running: int, expires_at: int) -> None:
    row = {"scope": scope, "server_id": server_id, "num_running": num_running, "expires_at": expires_at}
    transaction.run(_STORE_RUNNING, [row])


def renew_running(session: Session, server_id: str, expires_at: int) -> None:
    """Extend the leases of one server."""
    is_own = (RunningRow.server_id == server_id, RunningRow.num_running > 0)
    session.execute(update(RunningRow).where(*is_own).values(expires_at=expires_at))


def remove_old_counts(session: Session, before: int) -> None:
    """Delete the buckets that were full, and the leases that ended, before this time."""
    session.execute(delete(BucketRow).where(BucketRow.full_at < before))
    session.execute(delete(RunningRow).where(RunningRow.expires_at < before))
