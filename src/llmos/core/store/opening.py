"""open_store: the store of an installation, with the keys of its encrypted blobs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmos.core.config import Settings
from llmos.core.store.blob_keys import BlobKeys
from llmos.core.store.store import Store

if TYPE_CHECKING:
    from llmos.core.database import Database
    from llmos.core.encryption.encryption import Encryption


def open_store(settings: Settings, database: "Database", encrypts: Callable[[], bool] = lambda: False) -> Store:
    """Open the store. The keys are opened when one is first needed. `encrypts`: whether new blobs are encrypted."""
    return Store(
        settings.store_path, BlobKeys(database, lambda: _open_encryption(settings, database)), encrypts=encrypts
    )


def _open_encryption(settings: Settings, database: "Database") -> "Encryption":
    from llmos.core.encryption.opening import open_encryption  # It takes long to import, and most commands need none.

    return open_encryption(settings, database)
