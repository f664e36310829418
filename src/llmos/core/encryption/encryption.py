"""Encryption: gives every kept object a data key of its own, and finds it again.

key = encryption.new_key("resp_1")                     random, nobody's yet
row = encryption.wrap(key, "acme", subject=None)       outside of a transaction: it may write to the key ring
session.add(row)                                       in the transaction that keeps the object
encryption.key_of(session, "resp_1").open(sealed)
"""

from collections.abc import Collection

from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption import queries
from llmos.core.encryption.aead import WrongSeal, new_key
from llmos.core.encryption.data_key import DataKey, modified
from llmos.core.encryption.ring import KeyRing, RingKey
from llmos.core.encryption.tables import ObjectKeyRow
from llmos.core.errors import BadRequest, NotFound, StoreFailed

MAX_SUBJECTS = 16
"""The persons whose data one object may have."""

_REWRAPPED_AT_ONCE = 500


class Encryption:
    """Any thread and any process may use it."""

    def __init__(self, database: Database, ring: KeyRing, *, clock: Clock = utc_now) -> None:
        self._database, self.ring, self._clock = database, ring, clock

    def start(self) -> None:
        """Make the master key and the key ring at the first start. Raises StoreFailed if one of them is lost."""
        if self.ring.is_new() and self.has_objects():
            raise StoreFailed(
                f"The key ring {self.ring.where} is missing, and what is kept is encrypted under its keys. Restore it"
                " from its backup. If it is lost for good, so is what is kept: `llmos encryption discard` deletes that,"
                " and the server starts again."
            )
        self.ring.open()

    def has_objects(self) -> bool:
        """Return whether anything is encrypted."""
        with self._database.session() as session:
            return queries.num_objects(session) > 0

    def new_key(self, object_id: str) -> DataKey:
        return DataKey(object_id, new_key())

    def wrap(self, key: DataKey, project: str, *, subjects: Collection[str] = ()) -> ObjectKeyRow:
        """Return the row that keeps a data key. `subjects`: HMACs of the persons whose data the object has.

        Raises BadRequest for more than MAX_SUBJECTS of them.
        """
        if len(subjects) > MAX_SUBJECTS:
            raise BadRequest(
                f"This has data of {len(subjects)} persons; at most {MAX_SUBJECTS} can be stored together."
                " Begin a new conversation, or set `store` to false.",
                param="user",
            )
        parent = self.ring.key_for(project, subjects)
        return ObjectKeyRow(
            object_id=key.object_id,
            project=project,
            key_id=parent.id,
            wrapped=parent.wrap(key.key, _bound_to(key.object_id, project)),
            created_at=self._clock(),
        )

    def key_of(self, session: Session, object_id: str) -> DataKey | None:
        """Return the data key of an object; None if it isn't encrypted.

        Raises NotFound if the key was destroyed, and StoreFailed if it was modified or the master key is lost.
        """
        row = queries.object_key(session, object_id)
        return None if row is None else self.unwrap(row)

    def unwrap(self, row: ObjectKeyRow) -> DataKey:
        """Return the data key that a row keeps. Raises what key_of() raises."""
        parent = self.ring.find(row.key_id)
        if parent is None:
            raise NotFound(
                f"The content of {row.object_id} was erased: the key that it was encrypted under is destroyed."
            )
        return self._unwrapped(row, parent)

    def find_key(self, object_id: str) -> DataKey | None:
        """key_of() in a session of its own."""
        with self._database.session() as session:
            return self.key_of(session, object_id)

    def rotate_project(self, project: str) -> int:
        """Wrap the project's data keys under a new key. Return how many data keys. No data are written again.

        A crash at any point loses nothing: each data key names the key that it is wrapped under, and the old keys stay
        until nothing names them. The next rotation, or finish_rotation(), continues.
        """
        self.ring.replace_project_key(project)
        return self.finish_rotation(project)

    def finish_rotation(self, project: str) -> int:
        """Wrap what is left under old keys of the project, and destroy those that were replaced long enough ago."""
        num_wrapped = 0
        for old in self.ring.replaced_keys(project):
            fresh = self.ring.project_key(project)
            self.ring.rewrap_subjects(old, fresh)
            num_wrapped += self._rewrap_all(old, fresh)
            self.ring.destroy_replaced(old)
        return num_wrapped

    def _rewrap_all(self, old: RingKey, fresh: RingKey) -> int:
        num_wrapped = 0
        while True:
            with self._database.transaction() as session:
                rows = queries.wrapped_under(session, old.id, _REWRAPPED_AT_ONCE)
                for row in rows:
                    key = self._unwrapped(row, old)
                    row.wrapped, row.key_id = fresh.wrap(key.key, _bound_to(row.object_id, row.project)), fresh.id
            if not rows:
                return num_wrapped
            num_wrapped += len(rows)

    def _unwrapped(self, row: ObjectKeyRow, parent: RingKey) -> DataKey:
        try:
            return DataKey(row.object_id, parent.unwrap(row.wrapped, _bound_to(row.object_id, row.project)))
        except WrongSeal:
            raise modified(row.object_id) from None


def _bound_to(object_id: str, project: str) -> bytes:
    return f"data key\n{project}\n{object_id}".encode()
