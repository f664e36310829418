"""API keys: created, rotated, revoked, and found by their text. The text itself is never stored.

create ──▶ works ──▶ expires_at
             │ rotate: a new text; the old one works until the overlap ends
             └ revoke: neither text works again
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest
from ipaddress import ip_network

from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.ids import new_id
from llmos.security import queries
from llmos.security.limits import NO_LIMITS, Limits, check_limits, read_limits
from llmos.security.permissions import OWNER
from llmos.security.projects import existing_project
from llmos.security.roles import DEFAULT_ROLE, check_role
from llmos.security.tables import KeyRow
from llmos.security.tokens import Pepper, new_token

OVERLAP = timedelta(hours=24)
"""The time that the old text of a rotated key works by default."""

MAX_OVERLAP = timedelta(days=30)
MAX_NAME = 100
MAX_ITEMS = 100
"""The limit of a key's routes, and of its addresses."""
MAX_ROUTE = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """The facts about an API key."""

    id: str
    project: str
    name: str
    role: str
    ends_with: str
    """The last characters of its text, to tell keys apart."""
    routes: Sequence[str]
    """The names that it may ask for; empty: all."""
    addresses: Sequence[str]
    """The networks that it may be used from; empty: all."""
    limits: Limits
    project_limits: Limits
    """The limits of its project, which all keys of the project share."""
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    rotated_at: datetime | None
    old_expires_at: datetime | None
    """The time until which the text before the last rotation works."""
    revoked_at: datetime | None
    last_used_at: datetime | None
    permissions: Sequence[str] | None = None
    """The permissions of its role that the key has; None: all."""
    app: str | None = None
    """The application whose process has it."""

    def state(self, now: datetime) -> str:
        """Return active, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundKey:
    """The key that a text belongs to."""

    key: Key
    expires_at: datetime | None
    """The time until which this text works: earlier than the key's for one that was replaced by a rotation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewKey:
    """The options of a key that is to be created."""

    project: str = OWNER
    name: str = ""
    role: str = DEFAULT_ROLE
    expires_at: datetime | None = None
    routes: Sequence[str] = ()
    addresses: Sequence[str] = ()
    limits: Limits = NO_LIMITS
    permissions: Sequence[str] | None = None
    """The permissions of the role that the key gets; None: all."""
    app: str | None = None
    """The application whose process gets it."""


class Keys:
    """Any thread and any process may use it."""

    def __init__(self, database: Database, pepper: Pepper, *, clock: Clock = utc_now) -> None:
        self.database, self.pepper, self._clock = database, pepper, clock
        self.num_changes = 0
        """Rises with every change of a key by this process."""

    def create(self, new: NewKey, *, actor: str | None = None) -> tuple[Key, str]:
        """Create a key. Returns its text as well, which can't be read again.

        Raises BadRequest for options that can't be, NotFound for a project that there is not, and Conflict if the keys
        of this database belong to another pepper.
        """
        now = self._clock()
        check_role(new.role, new.project)
        _check_name(new.name)
        check_limits(new.limits)
        if new.expires_at is not None and new.expires_at <= now:
            raise BadRequest(f"`expires_at` is {new.expires_at.isoformat()}, which has passed.", param="expires_at")
        routes, addresses = _check_routes(new.routes), _check_addresses(new.addresses)
        token = new_token()
        with self.database.transaction() as session:
            if new.project != OWNER:
                existing_project(session, new.project, lock=True)
            row = KeyRow(
                id=new_id("key"),
                project=new.project,
                name=new.name,
                role=new.role,
                routes=routes,
                addresses=addresses,
                limits=new.limits.stored(),
                created_at=now,
                created_by=actor,
                expires_at=new.expires_at,
                permissions=None if new.permissions is None else [*new.permissions],
                app=new.app,
            )
            self._set_text(session, row, token)
            session.add(row)
            session.flush()
            describe_action(row.id, project=new.project, role=new.role)
            key = _key(session, row)
        self.num_changes += 1
        return key, token

    def list(self, project: str | None = None) -> Sequence[Key]:
        """Return the keys of a project, or of all, oldest first. Raises NotFound for a project that there is not."""
        with self.database.session() as session:
            if project is not None and project != OWNER:
                existing_project(session, project)
            return [_key(session, row) for row in queries.keys(session, project)]

    def get(self, id: str, *, project: str | None = None) -> Key:
        """Raises NotFound. `project`: only if it belongs to this one, here and below; None: to any."""
        with self.database.session() as session:
            return _key(session, _existing(session, id, project))

    def rotate(self, id: str, *, overlap: timedelta = OVERLAP, project: str | None = None) -> tuple[Key, str]:
        """Give a key a new text, and return that. The old text works until the overlap ends.

        Raises NotFound; Conflict for a key that doesn't work any more; BadRequest for an overlap that is too long.
        """
        if not timedelta() <= overlap <= MAX_OVERLAP:
            raise BadRequest(f"The overlap may be from 0 seconds to {MAX_OVERLAP.days} days.", param="overlap_seconds")
        token = new_token()
        with self.database.transaction() as session:
            row, now = _existing(session, id, project, lock=True), self._clock()
            if (state := _key(session, row).state(now)) != "active":
                raise Conflict(f"{id} is {state}. Create another key: llmos key create", param="id")
            row.old_hmac, row.old_expires_at, row.rotated_at = row.hmac, now + overlap, now
            self._set_text(session, row, token)
            session.flush()
            key = _key(session, row)
        self.num_changes += 1
        return key, token

    def set_limits(self, id: str, limits: Limits, *, project: str | None = None) -> Key:
        """Replace the limits of a key, of which nothing counts as used then. Raises BadRequest and NotFound."""
        check_limits(limits)
        with self.database.transaction() as session:
            row = _existing(session, id, project, lock=True)
            row.limits = limits.stored()
            describe_action(**limits.stored())
            queries.remove_buckets(session, f"key:{id}")
            session.flush()
            key = _key(session, row)
        self.num_changes += 1
        return key

    def revoke(self, id: str, *, actor: str | None = None, project: str | None = None) -> Key:
        """End a key. Does nothing to one that is revoked already. Raises NotFound."""
        with self.database.transaction(frees_space=True) as session:
            row = _existing(session, id, project, lock=True)
            if row.revoked_at is None:
                row.revoked_at, row.revoked_by = self._clock(), actor
            session.flush()
            key = _key(session, row)
        self.num_changes += 1
        return key

    def find(self, token: str) -> FoundKey | None:
        """Return the key with this text, whether or not it works; None if there is none."""
        hashed = self.pepper.hash(token)
        if hashed is None:
            return None
        with self.database.session() as session:
            row = queries.key_of_hmac(session, hashed)
            if row is None:
                return None
            if compare_digest(row.hmac, hashed):
                return FoundKey(key=_key(session, row), expires_at=row.expires_at)
            ends = [each for each in (row.expires_at, row.old_expires_at) if each is not None]
            return FoundKey(key=_key(session, row), expires_at=min(ends))

    def forget(self) -> None:
        """Have remembered keys read again: something else has changed them, such as the end of their project."""
        self.num_changes += 1

    def record_use(self, ids: Collection[str]) -> None:
        """Store that the keys were used now."""
        with self.database.transaction() as session:
            queries.use_keys(session, ids, self._clock())

    def _set_text(self, session: Session, row: KeyRow, token: str) -> None:
        """Store the hash of the text. Raises Conflict if other keys of the database have another pepper."""
        other = queries.other_pepper(session, self.pepper.id() or "")
        if other is not None:
            raise Conflict(
                f"Keys of this database, such as {other}, were hashed with another secret than {self.pepper.path}."
                " Copy that file from the machine that they were created on; or revoke them first.",
            )
        self.pepper.make()
        hashed, pepper_id = self.pepper.hash(token), self.pepper.id()
        assert hashed is not None, "the pepper was made above"
        assert pepper_id is not None
        row.hmac, row.pepper_id, row.ends_with = hashed, pepper_id, token[-4:]


def _existing(session: Session, id: str, project: str | None, *, lock: bool = False) -> KeyRow:
    row = queries.key(session, id, lock=lock)
    if row is None or project not in (None, row.project):
        raise NotFound(f"There is no key {id[:80]!r}. To list them, run: llmos key list", param="id")
    return row


def _check_name(name: str) -> None:
    if len(name) > MAX_NAME or not name.isprintable():
        raise BadRequest(f"`name` takes up to {MAX_NAME} characters, without line breaks.", param="name")


def _check_routes(routes: Sequence[str]) -> list[str]:
    _check_number(routes, "routes")
    for route in routes:
        if not route or len(route) > MAX_ROUTE or not route.isprintable():
            raise BadRequest(
                f"`routes` has {route[:80]!r}; it takes names of routes or models, as calls ask for them.",
                param="routes",
            )
    return list(dict.fromkeys(routes))


def _check_addresses(addresses: Sequence[str]) -> list[str]:
    _check_number(addresses, "addresses")
    networks = []
    for address in addresses:
        try:
            networks.append(str(ip_network(address.strip())))
        except ValueError:
            raise BadRequest(
                f"`addresses` has {address[:80]!r}, which is neither an address nor a network. Write it such as"
                " 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32, without bits behind the prefix.",
                param="addresses",
            ) from None
    return list(dict.fromkeys(networks))


def _check_number(items: Sequence[str], name: str) -> None:
    if len(items) > MAX_ITEMS:
        raise BadRequest(f"`{name}` has {len(items):,} items; it takes {MAX_ITEMS}.", param=name)


def _key(session: Session, row: KeyRow) -> Key:
    project = queries.project(session, row.project)
    return Key(
        id=row.id,
        project=row.project,
        name=row.name,
        role=row.role,
        ends_with=row.ends_with,
        routes=tuple(row.routes),
        addresses=tuple(row.addresses),
        limits=read_limits(row.limits),
        project_limits=NO_LIMITS if project is None else read_limits(project.limits),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        rotated_at=row.rotated_at,
        old_expires_at=row.old_expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        permissions=None if row.permissions is None else tuple(row.permissions),
        app=row.app,
    )
