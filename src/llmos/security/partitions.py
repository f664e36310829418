"""Partitions: the names under which caches keep the work of each project apart.

A name is HMAC-SHA-256(a secret of this server, the project and what the caller chose). The caller's part divides the
project's own partition further; it never reaches another project's, and nobody can compute a name from outside.
"""

import hmac
import secrets

_SECRET_BYTES = 32

_MAX_KNOWN = 1000


class Partitions:
    """The names of one server process.

    The caches that are divided by them live in memory and end with the process, and so does the secret: there is no
    file that could be copied.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(_SECRET_BYTES)
        self._renewals: dict[str, int] = {}
        self._known: dict[str, str] = {}

    def of(self, project: str, salt: str = "") -> str:
        """Return the name of the project's partition, in hexadecimal digits. `salt`: what the caller chose."""
        # A project's name has no line break, so no two pairs give the same text.
        text = f"llmos partition\n{project}\n{self._renewals.get(project, 0)}\n{salt}"
        if (name := self._known.get(text)) is None:
            name = hmac.digest(self._secret, text.encode(), "sha256").hex()
            if not salt:  # Callers may choose any number of others, of any length.
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                self._known[text] = name
        return name

    def renew(self, project: str) -> None:
        """Give the project new partitions. What is in the old ones is never found again, and makes room for others."""
        self._renewals[project] = self._renewals.get(project, 0) + 1
