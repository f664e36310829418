"""Sessions: they end when they are idle, too old or signed out, and tokens stay out of the database."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.security.users.sessions import (
    IDLE,
    LINK_LIFETIME,
    LONGEST,
    MAX_SESSIONS,
    Sessions,
    csrf_token,
    is_csrf_token,
)
from llmos.security.users.users import User, Users


@pytest.fixture
def ann(users: Users) -> User:
    return users.create("ann", role="viewer")


def test_a_token_finds_its_session_and_no_other_text_does(sessions: Sessions, ann: User) -> None:
    one, other = sessions.begin(ann, "password"), sessions.begin(ann, "oidc")
    found = sessions.find(one)
    assert found is not None
    assert (found.user, found.method, found.ends_at - found.created_at) == (ann, "password", LONGEST)
    sessions.end(one)
    assert sessions.find(one) is None
    assert sessions.find(other) is not None
    for wrong in ("", "x", one[:-1], one + "x", "\ud800", "a\0", csrf_token(other)):
        assert sessions.find(wrong) is None


def test_the_database_has_no_token(sessions: Sessions, ann: User, database: Database) -> None:
    token = sessions.begin(ann, "password")
    with database.session() as session:
        stored = str(session.execute(text("SELECT * FROM user_sessions")).all())
    assert token not in stored
    assert csrf_token(token) not in stored


def test_a_session_that_is_not_used_ends(sessions: Sessions, ann: User, clock: Any) -> None:
    token = sessions.begin(ann, "password")
    for _ in range(3):
        clock.now += IDLE - timedelta(seconds=1)
        assert sessions.find(token) is not None
    clock.now += IDLE
    assert sessions.find(token) is None


def test_a_session_ends_however_busy_it_is(sessions: Sessions, ann: User, clock: Any) -> None:
    token, began = sessions.begin(ann, "password"), clock.now
    while clock.now - began < LONGEST - IDLE / 2:
        clock.now += IDLE / 2
        assert (found := sessions.find(token)) is not None
        assert found.idle_ends_at <= found.ends_at == began + LONGEST
    clock.now = began + LONGEST
    assert sessions.find(token) is None


def test_the_last_use_is_written_once_a_minute(sessions: Sessions, ann: User, database: Database, clock: Any) -> None:
    token = sessions.begin(ann, "password")
    state = database.transaction
    num_written = 0

    def counting(**options: Any) -> Any:
        nonlocal num_written
        num_written += 1
        return state(**options)

    database.transaction = counting  # type: ignore[method-assign]
    for _ in range(120):
        clock.advance(seconds=1)
        sessions.find(token)
    assert num_written == 2


def test_all_sessions_of_a_user_end_together(sessions: Sessions, users: Users, ann: User) -> None:
    tokens = [sessions.begin(ann, "password") for _ in range(3)]
    bobs = sessions.begin(users.create("bob"), "password")
    assert sessions.counts() == {"ann": 3, "bob": 1}
    assert sessions.end_all("ann") == 3
    assert [sessions.find(token) for token in tokens] == [None] * 3
    assert sessions.find(bobs) is not None
    assert sessions.end_all("ann") == 0


def test_a_user_has_only_so_many_sessions_and_ended_ones_are_removed(
    sessions: Sessions, ann: User, database: Database, clock: Any
) -> None:
    tokens = []
    for _ in range(MAX_SESSIONS + 5):
        clock.advance(seconds=1)
        tokens.append(sessions.begin(ann, "password"))
    assert [sessions.find(token) is not None for token in tokens] == [False] * 5 + [True] * MAX_SESSIONS
    clock.now += LONGEST
    sessions.begin(ann, "password")
    with database.session() as session:
        assert session.execute(text("SELECT count(*) FROM user_sessions")).scalar() == 1


def test_a_new_role_counts_for_sessions_that_there_are(sessions: Sessions, users: Users, ann: User) -> None:
    token = sessions.begin(ann, "password")
    users.set_role("ann", "owner")
    found = sessions.find(token)
    assert found is not None
    assert found.user.role == "owner"


def test_a_csrf_token_belongs_to_one_session(sessions: Sessions, ann: User) -> None:
    one, other = sessions.begin(ann, "password"), sessions.begin(ann, "password")
    assert is_csrf_token(csrf_token(one), one)
    assert not is_csrf_token(csrf_token(one), other)
    for wrong in ("", one, csrf_token(one)[:-1], "\ud800"):
        assert not is_csrf_token(wrong, one)


def test_a_link_begins_one_session_and_is_none_itself(sessions: Sessions, ann: User) -> None:
    link, _ = sessions.begin_link(ann)
    assert sessions.find(link) is None
    assert sessions.counts() == {}
    opened = sessions.open_link(link)
    assert opened is not None
    user, token = opened
    assert user == ann
    assert (found := sessions.find(token)) is not None
    assert found.method == "link"
    for wrong in (link, token, "", "x", "\ud800"):
        assert sessions.open_link(wrong) is None
    assert sessions.counts() == {"ann": 1}


def test_a_link_ends_by_itself_and_with_its_user(sessions: Sessions, users: Users, ann: User, clock: Any) -> None:
    link, ends_at = sessions.begin_link(ann)
    assert ends_at == clock.now + LINK_LIFETIME
    clock.now += LINK_LIFETIME
    assert sessions.open_link(link) is None
    link, _ = sessions.begin_link(ann)
    users.disable("ann")
    assert sessions.open_link(link) is None


def test_a_page_that_asks_for_news_keeps_no_session_from_ending(sessions: Sessions, ann: User, clock: Any) -> None:
    token = sessions.begin(ann, "password")
    clock.now += IDLE - timedelta(seconds=1)
    assert (found := sessions.find(token, is_use=False)) is not None
    assert found.idle_ends_at == clock.now + timedelta(seconds=1)
    clock.now += timedelta(seconds=1)
    assert sessions.find(token) is None
