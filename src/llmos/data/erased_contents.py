"""ErasedContents: what was erased on request and isn't taken again. Known by HMACs, which say nothing about it."""

import hashlib
from collections.abc import Callable, Collection
from typing import BinaryIO

from llmos.core.database import Database
from llmos.core.encryption.ring import KeyRing
from llmos.data import queries

_READ_BYTES = 1 << 20


class ErasedContents:
    """Any thread may use it."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database, self._ring = database, ring

    def hmac(self, project: str, digest: bytes) -> str:
        """Return the name of a content, of which `digest` is the SHA-256."""
        return self._ring.index("content", project, digest)

    def has_any(self, project: str) -> bool:
        with self._database.session() as session:
            return queries.has_blocked(session, project)

    def are_blocked(self, project: str, digests: Collection[bytes]) -> bool:
        """Return whether one of these contents was erased."""
        with self._database.session() as session:
            return bool(queries.blocked(session, [self.hmac(project, digest) for digest in digests]))

    def checker(self, project: str) -> Callable[[bytes], bool] | None:
        """Return a function that says whether the content with this SHA-256 was erased. None: none was."""
        if not self.has_any(project):
            return None
        return lambda digest: self.are_blocked(project, [digest])


def digest_of(file: BinaryIO) -> bytes:
    """Return the SHA-256 of what is left to read."""
    digest = hashlib.sha256()
    while piece := file.read(_READ_BYTES):
        digest.update(piece)
    return digest.digest()
