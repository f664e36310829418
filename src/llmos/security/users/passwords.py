"""Passwords: hashed with Argon2id (RFC 9106), and checked against rules that a new one must meet.

The rules are those of NIST SP 800-63B: a length, no composition, no expiry.
"""

import unicodedata
from typing import TYPE_CHECKING

from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_CHARACTERS = 12
MAX_CHARACTERS = 1024
"""Longer ones would only cost time: the hash has 32 bytes."""


class Passwords:
    """Hashes and verifies. Each takes about 64 MiB and 50 ms of one core, which is what makes guessing expensive."""

    def __init__(self, hasher: "PasswordHasher | None" = None) -> None:
        """`hasher`: by default RFC 9106's second recommendation, for servers with little memory to spare."""
        self._hasher = hasher
        self._nobodys: str | None = None

    def hash(self, password: str) -> str:
        return self._argon2.hash(_normalized(password))

    def verify(self, hashed: str | None, password: str) -> bool:
        """Return whether the password is the one that was hashed.

        None is the hash of a user that there is not. It takes the same time as any other, and no password fits.
        """
        from argon2.exceptions import InvalidHashError, VerificationError

        nobodys = self._hash_of_nobody()  # Before the first verification, whoever it is for.
        try:
            self._argon2.verify(nobodys if hashed is None else hashed, _normalized(password))
        except (VerificationError, InvalidHashError):
            return False
        return hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Return whether the hash was made with other parameters than those of today."""
        return self._argon2.check_needs_rehash(hashed)

    @property
    def _argon2(self) -> "PasswordHasher":
        if self._hasher is None:
            from argon2 import PasswordHasher

            # One lane: its threads would compete with the forward pass for the cores.
            self._hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
        return self._hasher

    def _hash_of_nobody(self) -> str:
        if self._nobodys is None:
            self._nobodys = self.hash("the password of a user that there is not")
        return self._nobodys


def check_password(password: str, user: str) -> str:
    """Return the password. Raises BadRequest for one that is too short or easy to guess."""
    length = len(_normalized(password))
    if not MIN_CHARACTERS <= length <= MAX_CHARACTERS:
        raise BadRequest(
            f"The password has {length:,} characters; it takes {MIN_CHARACTERS} to {MAX_CHARACTERS:,}. A few words that"
            " nobody would guess are better than one word with digits.",
            param="password",
        )
    if "\0" in password or len(set(password)) < 4 or password.lower() == user:
        raise BadRequest("The password is too easy to guess. Choose another one.", param="password")
    return password


def _normalized(password: str) -> str:
    """Return the password as every keyboard gives it: an ü may be typed as one character or as two."""
    return unicodedata.normalize("NFKC", password)
