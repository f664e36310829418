"""The encryption of a test's database, with a key ring and a master key in a folder of the test."""

from pathlib import Path
from typing import Any

from llmos.core.database import Database
from llmos.core.encryption.aead import new_key
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.masters import Masters, MasterSettings
from llmos.core.encryption.ring import KeyRing
from llmos.core.encryption.sealed_path import SealedPath
from llmos.core.store.blob_keys import BlobKeys
from llmos.core.store.store import Store


def open_test_encryption(database: Database, folder: Path, **options: Any) -> Encryption:
    """Return it, not yet started. It is closed with the database.

    `options`: of the ring and the data keys, such as a clock.
    """
    ring = Database(f"sqlite:///{folder / 'keys' / 'ring.db'}")
    _close_with(database, ring)
    masters = Masters(MasterSettings(path=folder / "keys" / "master"))
    return Encryption(database, KeyRing(ring, masters, **options), **options)


def open_test_store(database: Database, folder: Path) -> Store:
    """Return the store in a folder of the test, whose blobs' keys are beside it."""
    encryption = open_test_encryption(database, folder)
    return Store(folder / "store", BlobKeys(database, lambda: encryption))


def _close_with(database: Database, other: Database) -> None:
    close = database.close

    def close_both() -> None:
        other.close()
        close()

    database.close = close_both  # type: ignore[method-assign]


def seal_copy(source: Path, target: Path) -> SealedPath:
    """Write an encrypted copy of a file, under a key of its own."""
    key = DataKey(f"blob:{source.name}", new_key())
    sealed = SealedPath.of(target, lambda: key)
    sealed.write_bytes(source.read_bytes())
    return sealed
