"""API keys as texts, and their hashes.

    llmos_<43 characters>   256 random bits in base64url

The database has only HMAC-SHA-256(pepper, key). The pepper is a file of its own, so a copy of the database lets nobody
check a guess, and a key needs no slow hash: it is random, so there is nothing to guess faster.
"""

import hmac
import re
import secrets
from base64 import b64decode, b64encode
from pathlib import Path

from llmos.core.errors import StoreFailed
from llmos.core.key_file import make_key, read_key

PREFIX = "llmos_"

_TOKEN = re.compile(r"llmos_[A-Za-z0-9_-]{43}")
_BYTES = 32


def new_token() -> str:
    return PREFIX + secrets.token_urlsafe(_BYTES)


def is_token(text: str) -> bool:
    """Return whether the text has the form of an API key."""
    return _TOKEN.fullmatch(text) is not None


class Pepper:
    """The server's secret that API keys are hashed with. Created with the first key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._secret: bytes | None = None

    def hash(self, token: str) -> str | None:
        """Return the key's HMAC in hexadecimal digits; None if there is no pepper, so that no key can be right."""
        secret = self._read()
        return None if secret is None else hmac.digest(secret, token.encode(), "sha256").hex()

    def id(self) -> str | None:
        """Return a name of the pepper, which says nothing about it; None if there is none."""
        secret = self._read()
        return None if secret is None else hmac.digest(secret, b"llmos pepper id", "sha256").hex()[:16]

    def make(self) -> None:
        """Create the pepper if it is missing."""
        if self._read() is None:
            make_key(self.path, b64encode(secrets.token_bytes(_BYTES)).decode())

    def _read(self) -> bytes | None:
        if self._secret is None and (text := read_key(self.path)) is not None:
            try:
                secret = b64decode(text, validate=True)
            except ValueError:
                secret = b""
            if len(secret) != _BYTES:
                raise StoreFailed(
                    f"{self.path} is not the secret that API keys are hashed with. Restore the right file; or delete"
                    " it, after which every key must be created again."
                )
            self._secret = secret
        return self._secret
