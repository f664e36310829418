"""Signing in with a password: who gets a session, what the others learn, and what is reported."""

import pytest

from llmos.core.errors import RateLimited, Unauthenticated
from llmos.security.users.sessions import Sessions
from llmos.security.users.sign_in import SignIn, SignInEvent, Visitor
from llmos.security.users.throttle import NAME_RATE
from llmos.security.users.users import Identity, Users
from support.passwords import CountingPasswords

PASSWORD = "correct horse battery staple"
HERE = Visitor(address="203.0.113.7", request_id="req-1")


@pytest.fixture(autouse=True)
def ann(users: Users) -> None:
    users.create("ann", role="operator", password=PASSWORD)
    users.create("without")
    users.create("disabled", password=PASSWORD)
    users.disable("disabled")
    users.create("removed", password=PASSWORD)
    users.remove("removed")


def test_the_right_password_begins_a_session(sign_in: SignIn, sessions: Sessions, events: list[SignInEvent]) -> None:
    user, token = sign_in.with_password("ann", PASSWORD, HERE)
    found = sessions.find(token)
    assert found is not None
    assert found.user.name == user.name == "ann"
    (event,) = events
    assert (event.kind, event.method, event.user, event.project) == ("signed_in", "password", "ann", "owner")
    assert (event.address, event.request_id, event.reason) == ("203.0.113.7", "req-1", "")


@pytest.mark.parametrize("name", ["ann", "nobody", "without", "disabled", "removed", "", "Ann", "a\0b", "x" * 10_000])
def test_nobody_learns_what_is_wrong_neither_from_words_nor_from_work(
    sign_in: SignIn, passwords: CountingPasswords, name: str
) -> None:
    password = PASSWORD if name != "ann" else "wrong"
    before = passwords.num_verified
    with pytest.raises(Unauthenticated) as error:
        sign_in.with_password(name, password, HERE)
    assert error.value.message == "The user name or the password is wrong."
    assert passwords.num_verified == before + 1, "one hash is verified, whoever it is"


@pytest.mark.parametrize("name", ["ann", "nobody"])
def test_a_name_that_there_is_not_is_throttled_like_any_other(
    sign_in: SignIn, passwords: CountingPasswords, name: str
) -> None:
    for _ in range(NAME_RATE.at_once):
        with pytest.raises(Unauthenticated):
            sign_in.with_password(name, "wrong", HERE)
    before = passwords.num_verified
    with pytest.raises(RateLimited, match="too many failed sign-ins"):
        sign_in.with_password(name, PASSWORD, HERE)
    assert passwords.num_verified == before, "what is throttled costs nothing"


def test_successes_are_not_throttled(sign_in: SignIn) -> None:
    for _ in range(NAME_RATE.at_once * 3):
        sign_in.with_password("ann", PASSWORD, HERE)


def test_failures_are_reported_without_the_password_and_without_names_of_nobody(
    sign_in: SignIn, events: list[SignInEvent]
) -> None:
    for name in ("ann", "My Secret Password!", "disabled"):
        with pytest.raises(Unauthenticated):
            sign_in.with_password(name, "wrong-password", HERE)
    assert [(event.kind, event.user, event.reason) for event in events] == [
        ("refused", "ann", "invalid_api_key"),
        ("refused", None, "invalid_api_key"),
        ("refused", "disabled", "invalid_api_key"),
    ]
    assert "wrong-password" not in str(events)


def test_a_sign_out_is_reported_once(sign_in: SignIn, sessions: Sessions, events: list[SignInEvent]) -> None:
    _, token = sign_in.with_password("ann", PASSWORD, HERE)
    sign_in.sign_out(token, HERE)
    sign_in.sign_out(token, HERE)
    assert sessions.find(token) is None
    assert [event.kind for event in events] == ["signed_in", "signed_out"]


def test_a_person_of_a_provider_gets_a_session(sign_in: SignIn, users: Users, events: list[SignInEvent]) -> None:
    person = Identity(issuer="https://id.example.com", subject="7", name="Ben", role="viewer", project="owner")
    user, _ = sign_in.with_identity(person, HERE)
    assert (user.name, user.role) == ("ben", "viewer")
    users.disable("ben")
    with pytest.raises(Unauthenticated):
        sign_in.with_identity(person, HERE)
    assert [(event.kind, event.method) for event in events] == [("signed_in", "oidc"), ("refused", "oidc")]


def test_a_password_with_an_outdated_hash_gets_a_new_one(users: Users, sign_in: SignIn) -> None:
    from argon2 import PasswordHasher

    from llmos.security.users import queries

    old = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash(PASSWORD)
    with users.database.transaction() as session:
        row = queries.user(session, "ann")
        assert row is not None
        row.password_hash = old
    sign_in.with_password("ann", PASSWORD, HERE)
    with users.database.session() as session:
        row = queries.user(session, "ann")
        assert row is not None
        assert row.password_hash is not None
        assert row.password_hash.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    sign_in.with_password("ann", PASSWORD, HERE)
