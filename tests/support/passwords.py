"""Passwords that are hashed quickly, for tests that ask what happens and not how hard a guess is."""

from argon2 import PasswordHasher

from llmos.security.users.passwords import Passwords


class CountingPasswords(Passwords):
    """Counts the hashes that it verifies."""

    def __init__(self) -> None:
        super().__init__(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.num_verified = 0

    def verify(self, hashed: str | None, password: str) -> bool:
        self.num_verified += 1
        return super().verify(hashed, password)


def quick_passwords() -> Passwords:
    return CountingPasswords()
