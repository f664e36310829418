"""What is kept but never shown again: other people's keys, encrypted (AES-256-GCM) under the master key of LLMOS_HOME.

The master key is a file of its own, so that a copy of the database opens nothing. What a secret belongs to is bound to
it (associated data): moved elsewhere, it can't be read.
"""

import secrets
from base64 import b64decode, b64encode
from pathlib import Path

from llmos.core.errors import StoreFailed
from llmos.security.key_file import make_key, read_key

_KEY_BYTES = 32
_NONCE_BYTES = 12


class Secrets:
    """Makes the master key when the first secret comes. cryptography is loaded only then: most runs have none."""

    def __init__(self, master_key_path: Path) -> None:
        self._path = master_key_path

    def seal(self, secret: str, bound_to: bytes) -> bytes:
        """Return the secret encrypted. Twice the same secret looks different each time."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        spelled = read_key(self._path) or make_key(self._path, b64encode(secrets.token_bytes(_KEY_BYTES)).decode())
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._decoded(spelled)).encrypt(nonce, secret.encode(), bound_to)

    def open(self, sealed: bytes, bound_to: bytes, what: str, advice: str) -> str:
        """Return the secret. Raises StoreFailed, saying which it is and what to do, where it can't be read."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        spelled = read_key(self._path)
        if spelled is None:
            raise StoreFailed(f"{what} can't be read: the master key {self._path} is gone. {advice}")
        try:
            nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return AESGCM(self._decoded(spelled)).decrypt(nonce, encrypted, bound_to).decode()
        except (InvalidTag, ValueError):
            raise StoreFailed(
                f"{what} can't be read: it was changed, or encrypted under another master key than {self._path}."
                f" {advice}"
            ) from None

    def _decoded(self, spelled: str) -> bytes:
        try:
            key = b64decode(spelled, validate=True)
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise StoreFailed(
                f"{self._path} holds no master key. Put the right file back, or remove it and give all keys anew."
            )
        return key
