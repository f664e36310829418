"""Passwords: their hashes, and which ones are refused."""

import pytest
from argon2 import PasswordHasher

from llmos.core.errors import BadRequest
from llmos.security.users.passwords import Passwords, check_password
from support.passwords import CountingPasswords


@pytest.mark.thorough
def test_the_hash_is_argon2id_with_the_parameters_of_rfc_9106() -> None:
    hashed = Passwords().hash("correct horse battery staple")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert Passwords().verify(hashed, "correct horse battery staple")
    assert not Passwords().is_outdated(hashed)


def test_equal_passwords_have_different_hashes() -> None:
    passwords = CountingPasswords()
    assert passwords.hash("correct horse") != passwords.hash("correct horse")


@pytest.mark.parametrize("hashed", [None, "", "plain", "$argon2id$v=19$m=8,t=1,p=1$AAAA"])
def test_no_password_fits_a_missing_or_damaged_hash(hashed: str | None) -> None:
    passwords = CountingPasswords()
    for password in ("", "plain", "the password of a user that there is not"):
        assert not passwords.verify(hashed, password)


def test_an_umlaut_is_the_same_however_it_is_typed() -> None:
    passwords = CountingPasswords()
    assert passwords.verify(passwords.hash("gr\u00fcne Wiese am See"), "gru\u0308ne Wiese am See")


def test_a_hash_with_other_parameters_is_outdated() -> None:
    assert Passwords().is_outdated(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("password"))


@pytest.mark.parametrize("password", ["", "short", "a" * 12, "abababababab", "x" * 1025, "administrator"])
def test_a_password_that_is_easily_guessed_is_refused(password: str) -> None:
    with pytest.raises(BadRequest) as error:
        check_password(password, "administrator")
    assert error.value.param == "password"
    assert not password or password not in error.value.message
