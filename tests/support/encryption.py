"""The encryption of a test's database, with a key ring and a master key in a folder of the test."""

from pathlib import Path
from typing import Any

from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.masters import Masters, MasterSettings
from llmos.core.encryption.ring import KeyRing


def open_test_encryption(database: Database, folder: Path, **options: Any) -> Encryption:
    """Return it, not yet started. `options`: of the ring and the data keys, such as a clock."""
    ring = Database(f"sqlite:///{folder / 'keys' / 'ring.db'}")
    masters = Masters(MasterSettings(path=folder / "keys" / "master"))
    return Encryption(database, KeyRing(ring, masters, **options), **options)
