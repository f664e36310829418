"""Sessions: browsers in which a user has signed in. The database has only a hash of the token in the cookie.

link ──▶ opened once, within minutes ─┐
begin ────────────────────────────────┴▶ works ──┬─▶ idle for too long
                                                 ├─▶ too old, however busy
                                                 └─▶ signed out, here or everywhere; or the user is disabled or
                                                     removed, or has a new password

The CSRF token is a MAC under the session's token: a page of this server can ask for it, a page of another can't.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.security.users import queries
from llmos.security.users.tables import SessionRow
from llmos.security.users.users import User, active_user

IDLE = timedelta(hours=1)
LONGEST = timedelta(hours=12)

LINK_LIFETIME = timedelta(minutes=5)
"""A link that nobody has opened works this long."""

MAX_SESSIONS = 20
"""A user's sessions. Another one ends the oldest."""

_SEEN = timedelta(minutes=1)
"""The time of the last use is written at most once in this time."""

_BYTES = 32

_UNOPENED = "unopened"
"""The method of a link that nobody has opened yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIn:
    """A session with its user."""

    user: User
    method: str
    """password, oidc or link."""
    created_at: datetime
    idle_ends_at: datetime
    """When it ends if it isn't used."""
    ends_at: datetime
    """When it ends in any case."""


class Sessions:
    """Any thread and any process may use it."""

    def __init__(
        self, database: Database, *, idle: timedelta = IDLE, longest: timedelta = LONGEST, clock: Clock = utc_now
    ) -> None:
        self._database, self._clock = database, clock
        self.idle, self.longest = idle, longest

    def begin(self, user: User, method: str) -> str:
        """Start a session and return its token, which only the cookie has."""
        return self._add(user, method, self.longest)

    def begin_link(self, user: User) -> tuple[str, datetime]:
        """Return a token that open_link() takes once, and when it ends."""
        ends_at = self._clock() + LINK_LIFETIME
        return self._add(user, _UNOPENED, LINK_LIFETIME), ends_at

    def open_link(self, token: str) -> tuple[User, str] | None:
        """Return the user that a link signs in, and the token of a new session; None for a link that doesn't work."""
        hashed = _hash(token)
        with self._database.transaction(frees_space=True) as session:
            row = queries.session_of_hash(session, hashed)
            if row is None or row.method != _UNOPENED or row.expires_at <= self._clock():
                return None
            user = active_user(session, row.user)
            # If two requests open the link at the same time, only one of them is signed in.
            if not queries.remove_session(session, hashed) or user is None:
                return None
        return user, self.begin(user, "link")

    def _add(self, user: User, method: str, lifetime: timedelta) -> str:
        token, now = secrets.token_urlsafe(_BYTES), self._clock()
        with self._database.transaction() as session:
            queries.remove_ended_sessions(session, now - self.idle, now)
            for row in queries.sessions_of(session, user.name)[: -(MAX_SESSIONS - 1)]:
                session.delete(row)
            session.add(
                SessionRow(
                    hash=_hash(token),
                    user=user.name,
                    method=method,
                    created_at=now,
                    seen_at=now,
                    expires_at=now + lifetime,
                )
            )
        return token

    def find(self, token: str, *, is_use: bool = True) -> SignedIn | None:
        """Return the session with this token; None if there is none or it has ended. `is_use`: it is used now."""
        now, hashed = self._clock(), _hash(token)
        with self._database.session() as session:
            row = queries.session_of_hash(session, hashed)
            if row is None or row.method == _UNOPENED or row.expires_at <= now or row.seen_at + self.idle <= now:
                return None
            user = active_user(session, row.user)
        if user is None:
            return None
        if is_use and now - row.seen_at >= min(_SEEN, self.idle / 2):
            with self._database.transaction() as session:
                queries.record_seen(session, hashed, now)
        return SignedIn(
            user=user,
            method=row.method,
            created_at=row.created_at,
            idle_ends_at=min((now if is_use else row.seen_at) + self.idle, row.expires_at),
            ends_at=row.expires_at,
        )

    def end(self, token: str) -> None:
        """End the session with this token, if there is one."""
        with self._database.transaction(frees_space=True) as session:
            queries.remove_session(session, _hash(token))

    def end_all(self, user: str) -> int:
        """End all sessions of a user, and return how many there were."""
        with self._database.transaction(frees_space=True) as session:
            return queries.remove_sessions_of(session, user)

    def counts(self) -> dict[str, int]:
        """Return {user: number of sessions}."""
        now = self._clock()
        with self._database.session() as session:
            return queries.num_sessions(session, now - self.idle, now, besides=_UNOPENED)


def csrf_token(token: str) -> str:
    """Return the CSRF token of the session with this token."""
    return urlsafe_b64encode(hmac.digest(token.encode(), b"llmos csrf", "sha256")).decode().rstrip("=")


def is_csrf_token(presented: str, token: str) -> bool:
    return hmac.compare_digest(presented.encode(errors="replace"), csrf_token(token).encode())


def _hash(token: str) -> str:
    return sha256(token.encode(errors="replace")).hexdigest()
