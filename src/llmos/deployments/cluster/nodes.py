"""Nodes: which machines belong to the cluster, and the tokens that they join with. Knows no network.

make_token() ──▶ unused ── admit(), within its minutes ──▶ used
admit() ──▶ a member ── remove() ──▶ none: its certificate isn't accepted any more
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound, PermissionDenied
from llmos.core.suggest import did_you_mean
from llmos.deployments.tables import NodeRow, NodeTokenRow

MAX_TOKEN_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A node that has joined, whether it is reachable or not."""

    name: str
    address: str
    joined_at: datetime
    key_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeToken:
    """A token that one node may join with, once. The secret is known at this moment only."""

    id: str
    secret: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A machine that wants to be a node."""

    name: str
    key_digest: str
    """SHA-256 of its public key."""
    address: str


class Nodes:
    """Any thread may call any method."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self.database, self._clock = database, clock

    def make_token(self, minutes: int = 15) -> NodeToken:
        """Return a new token. Raises BadRequest for a time that is too long, or none."""
        if not 1 <= minutes <= MAX_TOKEN_MINUTES:
            raise BadRequest(
                f"A token lives 1 to {MAX_TOKEN_MINUTES:,} minutes, not {minutes:,}: --minutes 15", param="minutes"
            )
        now = self._clock()
        token = NodeToken(
            id=secrets.token_hex(4), secret=secrets.token_urlsafe(32), expires_at=now + timedelta(minutes=minutes)
        )
        with self.database.transaction() as session:
            # A used one stays for as long as it would have lived: its node may ask for its certificate again.
            session.execute(delete(NodeTokenRow).where(NodeTokenRow.expires_at < now - timedelta(days=1)))
            session.add(
                NodeTokenRow(
                    id=token.id, secret_digest=_digest(token.secret), expires_at=token.expires_at, used_at=None
                )
            )
        return token

    def admit(self, token_id: str, secret: str, candidate: Candidate) -> None:
        """Make the candidate a member, and the token a used one.

        The same machine may do this again until the token dies: the answer to it may have been lost. Raises
        PermissionDenied for a token that isn't valid, and Conflict for a name that another machine has.
        """
        with self.database.transaction() as session:
            token, now = session.get(NodeTokenRow, token_id), self._clock()
            expected = token.secret_digest if token is not None else ""
            if not hmac.compare_digest(expected, _digest(secret)) or token is None:
                raise PermissionDenied("The token isn't one of this cluster. Make one at the head: llmos cluster token")
            if token.expires_at <= now:
                raise PermissionDenied(
                    f"The token was valid until {token.expires_at:%H:%M:%S} UTC, and it is {now:%H:%M:%S} at the head."
                    " Make one: llmos cluster token"
                )
            found = session.get(NodeRow, candidate.name)
            if found is not None and found.token_id == token.id and found.key_digest == candidate.key_digest:
                return
            if not self._use(session, token_id, now):
                raise PermissionDenied(
                    "The token was used already; each is for one node. Make one: llmos cluster token"
                )
            if found is not None:
                raise Conflict(
                    f"Another machine is the node {candidate.name}. Choose another name: --name NAME, or first, at the"
                    f" head: llmos cluster leave {candidate.name}"
                )
            session.add(
                NodeRow(
                    name=candidate.name,
                    key_digest=candidate.key_digest,
                    token_id=token_id,
                    address=candidate.address,
                    joined_at=now,
                )
            )

    def check(self, name: str, key_digest: str) -> None:
        """Raise PermissionDenied unless the node is a member, and this is its key."""
        with self.database.session() as session:
            row = session.get(NodeRow, name)
        if row is None or row.key_digest != key_digest:
            raise PermissionDenied(
                f"The node {name} has left the cluster. Join again with a new token: llmos cluster token"
            )

    def list(self) -> Sequence[Member]:
        with self.database.session() as session:
            return [
                Member(name=row.name, address=row.address, joined_at=row.joined_at, key_digest=row.key_digest)
                for row in session.scalars(select(NodeRow).order_by(NodeRow.name))
            ]

    def remove(self, name: str) -> None:
        """End the membership of a node. Servers let its replicas finish, then end them. Raises NotFound."""
        with self.database.transaction(frees_space=True) as session:
            if (row := session.get(NodeRow, name)) is None:
                hint = did_you_mean(name, list(session.scalars(select(NodeRow.name))))
                raise NotFound(f"There is no node {name[:80]}. {hint} See: llmos cluster nodes".replace("  ", " "))
            session.delete(row)

    def _use(self, session: Session, token_id: str, now: datetime) -> bool:
        """Mark the token as used. Return False if it was: of two nodes at once, one gets it."""
        unused = update(NodeTokenRow).where(NodeTokenRow.id == token_id, NodeTokenRow.used_at.is_(None))
        return bool(session.execute(unused.values(used_at=now)).rowcount)  # type: ignore[attr-defined]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
