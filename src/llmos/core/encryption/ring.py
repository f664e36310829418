"""KeyRing: the keys of projects and of the persons whose data they keep, wrapped.

    master key ──wraps──▶ key of the index              HMACs of persons and of contents
               ──wraps──▶ key of a project ──wraps──▶ data keys of its objects
                                           ──wraps──▶ key of a person ──wraps──▶ data keys of that person's objects

The ring is a file of its own, LLMOS_HOME/keys/ring.db, so that a backup of the data has no keys in it: what a destroyed
key has encrypted can't be read in any backup. On PostgreSQL it is a table that pg_dump can leave out.
"""

import hmac
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from llmos.core.actions import apart
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption import ring_queries as queries
from llmos.core.encryption.aead import WrongSeal, new_key, seal, unseal
from llmos.core.encryption.masters import MasterKey, Masters, unwrap_key
from llmos.core.encryption.tables import RingKeyRow
from llmos.core.encryption.vault import VaultMasterKey
from llmos.core.errors import StoreFailed
from llmos.core.ids import new_id

GRACE = timedelta(hours=1)
"""The time that a replaced key stays at least."""

_INDEX = "index"


@dataclass(frozen=True, slots=True)
class RingKey:
    """A key of a project or a person, ready to use."""

    id: str
    key: bytes

    def wrap(self, key: bytes, bound_to: bytes) -> bytes:
        return seal(self.key, key, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Raises WrongSeal."""
        return unseal(self.key, wrapped, bound_to)


class KeyRing:
    """Any thread and any process may use it. Opens when it is first used."""

    def __init__(self, database: Database, masters: Masters, *, clock: Clock = utc_now) -> None:
        self._database, self.masters, self._clock = database, masters, clock
        self._unwrapped: dict[str, bytes] = {}
        """The keys of projects. Those of persons are never held, so that a destroyed one is gone everywhere at once."""
        self._index_key: bytes | None = None

    @property
    def where(self) -> str:
        return self._database.url.render_as_string(hide_password=True)

    def open(self) -> None:
        """Make the ring at the first start, and check that the master key opens it. Raises StoreFailed."""
        active = self._read_index() or self._make_index()
        self.masters.finish(active.wrapped_by)
        master = self.masters.find(active.wrapped_by)
        self._index_key = unwrap_key(master, active.wrapped, _bound_to(active), "The key of the index")

    def is_new(self) -> bool:
        """Return whether there is no ring yet."""
        return self._read_index() is None

    def index(self, kind: str, project: str, value: str | bytes) -> str:
        """Return the HMAC under which a person or a content is found again, in hexadecimal digits."""
        if self._index_key is None:
            self.open()
        assert self._index_key is not None, "the ring is open"
        value = value.encode(errors="surrogatepass") if isinstance(value, str) else value
        return hmac.digest(self._index_key, f"{kind}\n{project}\n".encode() + value, "sha256").hex()

    def project_key(self, project: str) -> RingKey:
        """Return the key for new objects of a project, which is created with the first of them."""
        self._ensure_open()
        with self._database.session() as session:
            row = queries.current(session, "project", project)
        if row is None:
            with apart(), self._database.transaction() as session:
                row = queries.current(session, "project", project) or self._add_project_key(session, project)
        return self._opened(row)

    def subject_key(self, project: str, subject: str) -> RingKey:
        """Return the key for new objects of a person, which is created with the first of them."""
        parent = self.project_key(project)
        with self._database.session() as session:
            row = queries.current(session, "subject", project, subject)
        if row is None:
            with apart(), self._database.transaction() as session:
                row = queries.current(session, "subject", project, subject)
                if row is None:
                    row = self._add(session, new_id("key"), "subject", parent, project=project, subject=subject)
        return self._opened(row)

    def key_for(self, project: str, subjects: Collection[str]) -> RingKey:
        """Return the key for a new object of these persons, or of the project if there are none.

        That of several persons is made of all their keys, so that it is gone when one of them is destroyed.
        """
        if not subjects:
            return self.project_key(project)
        return _combined([self.subject_key(project, subject) for subject in sorted(subjects)])

    def find(self, id: str) -> RingKey | None:
        """Return the key with an id of key_for(); None if it was destroyed, or one that it is made of."""
        keys = [self.get(each) for each in id.split("+")]
        present = [key for key in keys if key is not None]
        return _combined(present) if len(present) == len(keys) else None

    def get(self, id: str) -> RingKey | None:
        """Return a key of a project or a person; None if it was destroyed. Raises StoreFailed."""
        self._ensure_open()
        if (key := self._unwrapped.get(id)) is not None:
            return RingKey(id, key)
        with self._database.session() as session:
            row = queries.key(session, id)
        return None if row is None else self._opened(row)

    def destroy_subject(self, project: str, subject: str) -> list[str]:
        """Destroy the keys of a person, and return their ids."""
        self._ensure_open()
        with self._erasing() as session:
            rows = [row for row in queries.keys(session, "subject", project=project) if row.subject == subject]
            for row in rows:
                session.delete(row)
        return [row.id for row in rows]

    def destroy_project(self, project: str) -> None:
        """Destroy the keys of a project and of its persons."""
        self._ensure_open()
        with self._erasing() as session:
            queries.remove_of_project(session, project)
        self._unwrapped.clear()

    def discard_all(self) -> None:
        """Destroy every key, for a lost master key."""
        with self._erasing() as session:
            queries.make_table(session)
            queries.remove_all(session)
        self._unwrapped.clear()
        self._index_key = None

    def rotate_master(self) -> str:
        """Wrap the keys of projects under a new master key, and return its id. A crash at any point loses nothing.

        A file gets a new key. A key in the environment is replaced by the operator before; Vault is asked to.
        """
        self._ensure_open()
        following = self.masters.next()
        if isinstance(following, VaultMasterKey):
            following.rotate()
        with self._erasing() as session:
            for row in queries.keys(session, _INDEX, "project"):
                key = unwrap_key(self.masters.find(row.wrapped_by), row.wrapped, _bound_to(row), f"The key {row.id}")
                row.wrapped, row.wrapped_by = following.wrap(key, _bound_to(row)), following.id
        self.masters.finish(following.id)
        return following.id

    def replace_project_key(self, project: str) -> RingKey:
        """Make a new key for the project's new objects, and return it. The old keys stay, for what is under them."""
        self._ensure_open()
        now = self._clock()
        with self._database.transaction() as session:
            for row in queries.keys(session, "project", project=project):
                row.replaced_at = row.replaced_at or now
            session.flush()
            fresh = self._add_project_key(session, project)
        return self._opened(fresh)

    def replaced_keys(self, project: str) -> list[RingKey]:
        """Return the project's keys that a rotation has replaced."""
        self._ensure_open()
        with self._database.session() as session:
            rows = [row for row in queries.keys(session, "project", project=project) if row.replaced_at is not None]
        return [self._opened(row) for row in rows]

    def rewrap_subjects(self, old: RingKey, fresh: RingKey) -> None:
        """Wrap the keys of persons that are under the old key of their project under the new one."""
        with self._erasing() as session:
            for row in queries.subjects_under(session, old.id):
                row.wrapped = fresh.wrap(old.unwrap(row.wrapped, _bound_to(row)), _bound_to(row))
                row.wrapped_by = fresh.id

    def destroy_replaced(self, old: RingKey) -> bool:
        """Destroy a key that was replaced an hour ago or earlier. False for a later one.

        Until then, another process may still wrap a data key under it.
        """
        with self._erasing() as session:
            row = queries.key(session, old.id)
            if row is not None:
                assert row.replaced_at is not None, "callers pass replaced keys"
                if row.replaced_at > self._clock() - GRACE:
                    return False
                assert not queries.subjects_under(session, old.id), "callers have wrapped them anew"
                session.delete(row)
        self._unwrapped.pop(old.id, None)
        return True

    def projects(self) -> list[str]:
        """Return the projects that have a key."""
        with self._database.session() as session:
            return sorted({row.project for row in queries.keys(session, "project")})

    def counts(self) -> Mapping[str, int]:
        """Return {kind: number of keys}."""
        with self._database.session() as session:
            return queries.counts(session) if queries.has_table(session) else {}

    def master_id(self) -> str | None:
        """Return the id of the master key that the ring is wrapped under; None if there is no ring yet."""
        if self.is_new():
            return None
        with self._database.session() as session:
            return self._active(session).wrapped_by

    def _ensure_open(self) -> None:
        if self._index_key is None:
            self.open()

    def _read_index(self) -> RingKeyRow | None:
        """Return the index's row; None if there is no ring yet."""
        with self._database.session() as session:
            return queries.key(session, _INDEX) if queries.has_table(session) else None

    def _make_index(self) -> RingKeyRow:
        """Make the ring and the index's row, unless another process was faster, and return that row."""
        with apart(), self._database.transaction() as session:
            queries.make_table(session)
            if (made := queries.key(session, _INDEX)) is not None:
                return made
            master = self.masters.current(may_create=True)
            assert master is not None, "it was created"
            return self._add(session, _INDEX, _INDEX, master)

    def _active(self, session: Session) -> RingKeyRow:
        """Return the index's row, which names the master key of the ring."""
        row = queries.key(session, _INDEX)
        assert row is not None, "open() has made it"
        return row

    def _add_project_key(self, session: Session, project: str) -> RingKeyRow:
        master = self.masters.find(self._active(session).wrapped_by)
        return self._add(session, new_id("key"), "project", master, project=project)

    def _add(
        self,
        session: Session,
        id: str,
        kind: str,
        parent: "MasterKey | RingKey",
        *,
        project: str = "",
        subject: str = "",
    ) -> RingKeyRow:
        row = RingKeyRow(id=id, kind=kind, project=project, subject=subject, created_at=self._clock())
        row.wrapped, row.wrapped_by = parent.wrap(new_key(), _bound_to(row)), parent.id
        session.add(row)
        session.flush()
        return row

    def _opened(self, row: RingKeyRow) -> RingKey:
        """Unwrap a key. Raises StoreFailed."""
        if (known := self._unwrapped.get(row.id)) is not None:
            return RingKey(row.id, known)
        if row.kind == "subject":
            return RingKey(row.id, self._unwrapped_subject(row))
        key = unwrap_key(self.masters.find(row.wrapped_by), row.wrapped, _bound_to(row), f"The key {row.id}")
        self._unwrapped[row.id] = key
        return RingKey(row.id, key)

    def _unwrapped_subject(self, row: RingKeyRow) -> bytes:
        parent = self.get(row.wrapped_by)
        try:
            if parent is not None:
                return parent.unwrap(row.wrapped, _bound_to(row))
        except WrongSeal:
            pass
        raise StoreFailed(
            f"The key {row.id} in the key ring was modified, or its project's key is missing. Restore the key ring from"
            " its backup."
        )

    @contextmanager
    def _erasing(self) -> Iterator[Session]:
        """Open a transaction that overwrites what it removes."""
        with self._database.transaction(frees_space=True) as session:
            if self._database.is_sqlite:
                session.execute(text("PRAGMA secure_delete = ON"))
            yield session


def _combined(keys: Sequence[RingKey]) -> RingKey:
    if len(keys) == 1:
        return keys[0]
    joined = b"".join(key.key for key in keys)
    return RingKey("+".join(key.id for key in keys), hmac.digest(joined, b"llmos keys of several persons", "sha256"))


def _bound_to(row: RingKeyRow) -> bytes:
    return f"key ring\n{row.id}\n{row.kind}\n{row.project}\n{row.subject}".encode()
