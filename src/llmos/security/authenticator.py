"""Authenticator: from the key of a request to its Caller.

A key that was read is remembered, so that most requests ask no database. A key that is revoked, rotated or limited in
this process is read again at once. A change by another process is noticed as soon as the database says that something
changed, but at most once in REREAD_SECONDS for each key.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import PermissionDenied, Unauthenticated
from llmos.security.auth import OwnerKey
from llmos.security.callers import Caller
from llmos.security.keys import Key, Keys
from llmos.security.limits import NO_LIMITS, Allowance
from llmos.security.permissions import Permission
from llmos.security.roles import permissions_of
from llmos.security.tokens import is_token
from llmos.security.wrong_keys import WrongKeys

_log = logging.getLogger(__name__)

REREAD_SECONDS = 1.0
"""Another process's change of a key takes effect within this time. On PostgreSQL, 5 seconds more if a notification was
lost; see core/commits.py."""

USE_SECONDS = 60.0
"""The time at which a key was last used is written at most once in this time."""

MAX_REMEMBERED = 4096

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key as it was read."""

    caller: Caller
    key: Key
    expires_at: datetime | None
    networks: Sequence[Network]
    num_changes: int
    """Keys.num_changes when it was read."""
    state: int | None
    """The database's state when it was read."""
    read_at: float


class Authenticator:
    """Any thread may use it."""

    def __init__(
        self,
        owner_key: OwnerKey,
        keys: Keys,
        *,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._owner_key, self._keys, self._clock, self._monotonic = owner_key, keys, clock, monotonic
        self._wrong_keys = WrongKeys(monotonic=monotonic)
        self._known: dict[bytes, _Entry] = {}
        self._secret = secrets.token_bytes(32)
        self._uses = _Uses(keys, monotonic)

    def remembered(self, presented: str | None, address: str | None) -> Caller | None:
        """Return the caller, or None if the database must be asked: with check().

        Raises as check() does. `address`: the client's IP address.
        """
        self._wrong_keys.check(address, presented)
        if presented is None or not is_token(presented) or self._owner_key.is_it(presented):
            return self._owner(presented, address)
        entry = self._known.get(self._digest(presented))
        return None if entry is None or not self._is_current(entry) else self._checked(entry, presented, address)

    def check(self, presented: str | None, address: str | None) -> Caller:
        """Return the caller that the key belongs to. May read the database.

        Raises Unauthenticated for a missing, unknown, expired or revoked key, PermissionDenied for one that may not be
        used from this address, and RateLimited for an address that has sent too many wrong keys.
        """
        if (caller := self.remembered(presented, address)) is not None:
            return caller
        assert presented is not None, "remembered() has refused it"
        self._keys.database.watch()
        # Read first: a change that comes after them makes the entry outdated.
        num_changes, state, now = self._keys.num_changes, self._keys.database.state(), self._monotonic()
        found = self._keys.find(presented)
        if found is None:
            return self._owner(presented, address)  # Raises, with the same words as for any other wrong key.
        entry = _Entry(
            caller_of(found.key),
            found.key,
            found.expires_at,
            [ip_network(each) for each in found.key.addresses],
            num_changes,
            state,
            now,
        )
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[self._digest(presented)] = entry
        return self._checked(entry, presented, address)

    def id_of(self, presented: str | None) -> str:
        """Return the id of the key with this text, if check() has read it lately, whether or not it works; else ""."""
        if presented is None or not is_token(presented):
            return ""
        entry = self._known.get(self._digest(presented))
        return "" if entry is None else entry.key.id

    def flush(self) -> None:
        """Return when the uses of keys so far are written."""
        self._uses.flush()

    def _digest(self, presented: str) -> bytes:
        """Return under which name an entry is known: faster than the hash in the database, and nobody's but ours."""
        return blake2b(presented.encode(), key=self._secret, digest_size=32).digest()

    def _is_current(self, entry: _Entry) -> bool:
        if entry.num_changes != self._keys.num_changes:
            return False
        is_recent = self._monotonic() - entry.read_at < REREAD_SECONDS
        return is_recent or (entry.state is not None and entry.state == self._keys.database.state())

    def _owner(self, presented: str | None, address: str | None) -> Caller:
        """Return the owner. Raises Unauthenticated, and counts a wrong key, unless it is the owner's key."""
        try:
            caller = self._owner_key.check(presented)
        except Unauthenticated:
            if presented:
                self._wrong_keys.failed(address)
            raise
        self._wrong_keys.worked(address, presented)
        return caller

    def _checked(self, entry: _Entry, presented: str, address: str | None) -> Caller:
        """Return the entry's caller. Raises what is wrong with the key: whoever knows its whole text may know that."""
        key, now = entry.key, self._clock()
        check_works(key, now)
        if entry.expires_at is not None and entry.expires_at <= now:
            raise Unauthenticated(
                f"The API key {key.id} was rotated, and its old text worked until {_day(entry.expires_at)}."
                " Use the new one."
            )
        if entry.networks and not _is_in(address, entry.networks):
            raise PermissionDenied(
                f"The API key {key.id} may not be used from {address or 'an unknown address'}. Use it from a machine"
                " that it was made for, or create a key for this one."
            )
        self._wrong_keys.worked(address, presented)
        self._uses.record(key.id)
        return entry.caller


def check_works(key: Key, now: datetime) -> None:
    """Raise Unauthenticated for a key that is revoked or expired."""
    if key.revoked_at is not None:
        raise Unauthenticated(f"The API key {key.id} was revoked on {_day(key.revoked_at)}. Use another one.")
    if key.expires_at is not None and key.expires_at <= now:
        raise Unauthenticated(f"The API key {key.id} expired on {_day(key.expires_at)}. Create another one.")


def caller_of(key: Key) -> Caller:
    """Return who calls with this key."""
    return Caller(
        project=key.project,
        key_id=key.id,
        permissions=_permissions(key),
        models=frozenset(key.routes),
        app=key.app,
        allowances=tuple(
            Allowance(scope=scope, limits=limits)
            for scope, limits in ((f"key:{key.id}", key.limits), (f"project:{key.project}", key.project_limits))
            if limits != NO_LIMITS
        ),
    )


def _permissions(key: Key) -> frozenset[Permission]:
    permissions = permissions_of(key.role, key.project)
    return permissions if key.permissions is None else permissions & frozenset(key.permissions)


class _Uses:
    """Writes, in a thread of its own, when keys were last used."""

    def __init__(self, keys: Keys, monotonic: Callable[[], float]) -> None:
        self._keys, self._monotonic = keys, monotonic
        self._written_at: dict[str, float] = {}
        self._pending: set[str] = set()
        self._lock = threading.Lock()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="key-uses")
        self._is_writing = False
        self._last: Future[None] | None = None

    def record(self, id: str) -> None:
        now = self._monotonic()
        if now - self._written_at.get(id, -USE_SECONDS) < USE_SECONDS:
            return
        with self._lock:
            self._written_at[id] = now
            self._pending.add(id)
            if not self._is_writing:
                self._is_writing = True
                self._last = self._writer.submit(self._write)

    def flush(self) -> None:
        if (last := self._last) is not None:
            last.result()

    def _write(self) -> None:
        while True:
            with self._lock:
                ids, self._pending = self._pending, set()
                if not ids:
                    self._is_writing = False
                    return
            try:
                self._keys.record_use(ids)
            except Exception:
                # A full or read-only disk must not keep callers out.
                _log.warning("The last use of keys can't be written", exc_info=True)


def _is_in(address: str | None, networks: Sequence[Network]) -> bool:
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        # A socket for both families writes 10.0.0.1 as ::ffff:10.0.0.1, and a link-local address has a zone.
        found = found.ipv4_mapped or IPv6Address(int(found))
    return any(found in network for network in networks if network.version == found.version)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
