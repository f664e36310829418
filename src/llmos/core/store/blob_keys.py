"""BlobKeys: the data keys of encrypted blobs, in the database and under the keys of projects: that of `owner`, to which
the models of this machine belong, or that of the project whose blob it is."""

import threading
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from llmos.core.actions import apart
from llmos.core.clock import Clock, utc_now
from llmos.core.errors import StoreFailed

if TYPE_CHECKING:
    from llmos.core.database import Database
    from llmos.core.encryption.data_key import DataKey
    from llmos.core.encryption.encryption import Encryption

PROJECT = "owner"

_PREFIX = "blob:"

_ABANDONED = timedelta(days=1)
"""A key without a blob is older than this: a process that encrypts a blob keeps its key first."""


class BlobKeys:
    """Any thread and any process may use it. The encryption opens when it is first used."""

    def __init__(
        self, database: "Database", open_encryption: "Callable[[], Encryption]", *, clock: Clock = utc_now
    ) -> None:
        self._database, self._open_encryption, self._clock = database, open_encryption, clock
        self._opening = threading.Lock()
        self._opened: Encryption | None = None

    def find(self, digest: str) -> "DataKey":
        """Return the key of an encrypted blob. Raises NotFound if it was destroyed, and StoreFailed if it is lost."""
        key = self._encryption.find_key(_object_id(digest))
        if key is None:
            raise StoreFailed(
                f"The key of {digest} isn't in the database, so this encrypted file can't be read. Restore the database"
                " from its backup, or remove the model or the dataset and get it again."
            )
        return key

    def name(self, project: str, digest: str) -> str:
        """Return the name of a project's blob, from the digest of its plain bytes: hmac:<hex>."""
        return f"hmac:{self._encryption.ring.index('blob', project, digest)}"

    def find_or_make(self, digest: str, project: str | None = None) -> "DataKey":
        """Return the key of a blob, which is made and kept if there is none. Raises as find() does.

        `project`: the one whose blob it is; None for a blob of this machine.
        """
        from sqlalchemy.exc import IntegrityError

        object_id, encryption = _object_id(digest), self._encryption
        if (key := encryption.find_key(object_id)) is not None:
            return key
        key = encryption.new_key(object_id)
        row = encryption.wrap(key, project or PROJECT)
        try:
            with apart(), self._database.transaction() as session:
                session.add(row)
        except IntegrityError:  # Another process was faster.
            return self.find(digest)
        return key

    def destroy(self, digests: Collection[str], kept: Collection[str]) -> None:
        """Destroy the keys of removed blobs, and those that a killed process has left. `kept`: blobs that versions
        use. Needs no key ring."""
        from llmos.core.encryption import queries

        with self._database.session() as session:
            rows = queries.object_keys(session, _PREFIX)
        before = self._clock() - _ABANDONED
        removed = set(map(_object_id, digests))
        used = set(map(_object_id, kept))
        gone = [
            row.object_id
            for row in rows
            if row.object_id in removed or (row.object_id not in used and row.created_at < before)
        ]
        if gone:
            with apart(), self._database.transaction(frees_space=True) as session:
                queries.remove_object_keys(session, gone)

    @property
    def _encryption(self) -> "Encryption":
        with self._opening:
            if self._opened is None:
                encryption = self._open_encryption()
                encryption.start()
                self._opened = encryption
            return self._opened


def _object_id(digest: str) -> str:
    return f"{_PREFIX}{digest}"
