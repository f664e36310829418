"""Users, sessions and the throttle in a database of each kind, with clocks that tests turn."""

from collections.abc import Iterator

import pytest

from llmos.core.database import Database
from llmos.security.users.sessions import Sessions
from llmos.security.users.sign_in import SignIn, SignInEvent
from llmos.security.users.throttle import Throttle
from llmos.security.users.users import Users
from support.passwords import CountingPasswords

PASSWORD = "correct horse battery staple"


@pytest.fixture
def passwords() -> CountingPasswords:
    return CountingPasswords()


@pytest.fixture
def users(database: Database, passwords: CountingPasswords, clock) -> Users:  # type: ignore[no-untyped-def]
    return Users(database, passwords, clock=clock)


@pytest.fixture
def sessions(database: Database, clock) -> Sessions:  # type: ignore[no-untyped-def]
    return Sessions(database, clock=clock)


@pytest.fixture
def throttle(database: Database, clock) -> Throttle:  # type: ignore[no-untyped-def]
    return Throttle(database, clock=lambda: int(clock().timestamp()) * 10**9)


@pytest.fixture
def events() -> list[SignInEvent]:
    return []


@pytest.fixture
def sign_in(users: Users, sessions: Sessions, throttle: Throttle, events: list[SignInEvent]) -> Iterator[SignIn]:
    made = SignIn(users, sessions, throttle, events.append)
    yield made
    made.threads.shutdown()
