"""Secrets, such as providers' keys, encrypted with AES-256-GCM under the master key of LLMOS_HOME.

The master key is a file of its own, so a copy of the database alone decrypts nothing. Each secret is bound to its owner
(as associated data) and can't be decrypted for another one.
"""

import secrets
from base64 import b64decode, b64encode
from pathlib import Path

from llmos.core.errors import StoreFailed
from llmos.security.key_file import make_key, read_key

_KEY_BYTES = 32
_NONCE_BYTES = 12


class Secrets:
    """Encrypts and decrypts secrets. Creates the master key, and imports cryptography, with the first secret."""

    def __init__(self, master_key_path: Path) -> None:
        self._path = master_key_path

    def seal(self, secret: str, bound_to: bytes) -> bytes:
        """Return the encrypted secret. The same secret gives another result each time. `bound_to`: its owner."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        encoded = read_key(self._path) or make_key(self._path, b64encode(secrets.token_bytes(_KEY_BYTES)).decode())
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._decoded(encoded)).encrypt(nonce, secret.encode(), bound_to)

    def open(self, sealed: bytes, bound_to: bytes, what: str, advice: str) -> str:
        """Return the secret. Raises StoreFailed if it can't be decrypted; `what` names it, `advice` says what to do."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        encoded = read_key(self._path)
        if encoded is None:
            raise StoreFailed(f"{what} can't be read: the master key {self._path} is missing. {advice}")
        try:
            nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return AESGCM(self._decoded(encoded)).decrypt(nonce, encrypted, bound_to).decode()
        except (InvalidTag, ValueError):
            raise StoreFailed(
                f"{what} can't be read: it was modified, or encrypted under another master key than {self._path}."
                f" {advice}"
            ) from None

    def _decoded(self, encoded: str) -> bytes:
        try:
            key = b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise StoreFailed(
                f"{self._path} is not a master key. Restore the right file, or delete it and set all keys again."
            )
        return key
