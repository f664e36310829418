"""open_encryption: the encryption of an installation, from its settings."""

import shutil
import tempfile
import weakref
from pathlib import Path

from llmos.core.config import Settings
from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.masters import Masters, MasterSettings
from llmos.core.encryption.ring import KeyRing


def open_encryption(settings: Settings, database: Database) -> Encryption:
    """Return the encryption of what is in `database`. Nothing is read or made before it is used.

    A home that can't be written, and has no key ring, gets one that lasts as long as the database object, like all that
    is kept in such a home.
    """
    ring_path, master_path = settings.key_ring_path, settings.master_key_path
    if database.is_read_only and not ring_path.exists():
        folder = Path(tempfile.mkdtemp(prefix="llmos-keys-"))
        weakref.finalize(database, shutil.rmtree, folder, ignore_errors=True)
        ring_path, master_path = folder / ring_path.name, folder / master_path.name
    masters = Masters(
        MasterSettings(
            path=master_path,
            text=settings.master_key,
            old_text=settings.old_master_key,
            vault_key=settings.vault_key,
            vault_address=settings.vault_address,
            vault_token=settings.vault_token,
            vault_namespace=settings.vault_namespace,
        )
    )
    ring = database
    if database.is_sqlite:
        ring = Database(f"sqlite:///{ring_path}", discards_changes=database.is_read_only)
    return Encryption(database, KeyRing(ring, masters))
