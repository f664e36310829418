"""API keys: created, found by their text, rotated and revoked; the text is nowhere on the disk."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound, StoreFailed
from llmos.security.keys import Keys, NewKey
from llmos.security.projects import Projects
from llmos.security.tokens import Pepper, is_token, new_token


def test_a_key_has_256_random_bits_and_is_found_by_its_text(keys: Keys) -> None:
    key, token = keys.create(NewKey(name="CI"), actor="ann")
    assert is_token(token)
    assert token.startswith("llmos_")
    assert (key.project, key.role, key.name, key.created_by) == ("owner", "developer", "CI", "ann")
    assert token.endswith(key.ends_with)
    found = keys.find(token)
    assert found is not None
    assert found.key == key
    assert len({new_token() for _ in range(100)}) == 100


def test_no_other_text_finds_a_key(keys: Keys) -> None:
    assert keys.find(new_token()) is None  # There is no pepper yet.
    _, token = keys.create(NewKey())
    last = "B" if token[-1] == "A" else "A"
    for wrong in (new_token(), token[:-1] + last, token.swapcase(), token.lower()):
        assert keys.find(wrong) is None


def test_the_text_is_stored_neither_in_the_database_nor_in_a_file(
    keys: Keys, database: Database, tmp_path: Path
) -> None:
    _, token = keys.create(NewKey())
    with database.session() as session:
        rows = [dict(row._mapping) for row in session.execute(text("SELECT * FROM api_keys"))]
    assert token not in str(rows)
    assert token.removeprefix("llmos_") not in str(rows)
    assert (tmp_path / "keys" / "pepper").stat().st_mode & 0o777 == 0o600
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or token.encode() not in file.read_bytes()


def test_a_rotated_key_keeps_its_id_and_its_old_text_works_until_the_overlap_ends(keys: Keys, clock: Any) -> None:
    key, old = keys.create(NewKey(routes=["dialogue"]))
    rotated, new = keys.rotate(key.id, overlap=timedelta(hours=1))
    assert (rotated.id, rotated.routes, rotated.old_expires_at) == (key.id, ("dialogue",), clock() + timedelta(hours=1))
    found_old, found_new = keys.find(old), keys.find(new)
    assert found_old is not None
    assert found_new is not None
    assert (found_old.expires_at, found_new.expires_at) == (clock() + timedelta(hours=1), None)
    keys.rotate(key.id)
    assert keys.find(old) is None, "only the last text overlaps"


def test_the_old_text_of_a_key_never_outlives_the_key(keys: Keys, clock: Any) -> None:
    expires_at = clock() + timedelta(minutes=10)
    key, old = keys.create(NewKey(expires_at=expires_at))
    keys.rotate(key.id, overlap=timedelta(hours=1))
    found = keys.find(old)
    assert found is not None
    assert found.expires_at == expires_at


def test_what_does_not_work_any_more_is_not_rotated(keys: Keys, clock: Any) -> None:
    key, _ = keys.create(NewKey(expires_at=clock() + timedelta(hours=1)))
    assert key.state(clock()) == "active"
    clock.advance(hours=1)
    assert keys.get(key.id).state(clock()) == "expired"
    with pytest.raises(Conflict, match="is expired"):
        keys.rotate(key.id)
    revoked = keys.revoke(keys.create(NewKey())[0].id)
    with pytest.raises(Conflict, match="is revoked"):
        keys.rotate(revoked.id)


def test_a_key_is_revoked_once(keys: Keys, clock: Any) -> None:
    key, token = keys.create(NewKey())
    revoked = keys.revoke(key.id, actor="ann")
    clock.advance(hours=1)
    assert keys.revoke(key.id).revoked_at == revoked.revoked_at
    found = keys.find(token)
    assert found is not None
    assert found.key.revoked_at is not None


def test_keys_of_another_project_are_not_found(keys: Keys, projects: Projects) -> None:
    projects.create("acme")
    key, _ = keys.create(NewKey(project="acme"))
    assert keys.get(key.id, project="acme") == keys.get(key.id) == key
    for ask in (keys.get, keys.revoke, keys.rotate):
        with pytest.raises(NotFound):
            ask(key.id, project="other")
        with pytest.raises(NotFound):
            ask("key-\0", project="other")
    assert keys.get(key.id).revoked_at is None
    mine, _ = keys.create(NewKey())
    assert [each.id for each in keys.list("owner")] == [mine.id]
    assert [each.id for each in keys.list()] == [key.id, mine.id]
    with pytest.raises(NotFound, match="Did you mean acme"):
        keys.list("acne")


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"addresses": ["10.0.0.1/8"]}, "without bits behind the prefix"),
        ({"addresses": ["somewhere"]}, "neither an address nor a network"),
        ({"addresses": ["10.0.0.1"] * 101}, "takes 100"),
        ({"routes": [""]}, "names of routes"),
        ({"routes": ["a\nb"]}, "names of routes"),
        ({"name": "a\nb"}, "line breaks"),
        ({"role": "admin"}, "no role"),
    ],
)
def test_options_that_mean_nothing_are_refused(keys: Keys, options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(BadRequest, match=wrong):
        keys.create(NewKey(**options))
    assert keys.list() == []


def test_a_key_can_not_expire_in_the_past_or_belong_to_nothing(keys: Keys, clock: Any) -> None:
    with pytest.raises(BadRequest, match="has passed"):
        keys.create(NewKey(expires_at=clock()))
    with pytest.raises(NotFound, match="no project 'acme'"):
        keys.create(NewKey(project="acme"))
    key, _ = keys.create(NewKey())
    with pytest.raises(BadRequest, match="30 days"):
        keys.rotate(key.id, overlap=timedelta(days=31))


def test_keys_are_not_mixed_with_those_of_another_pepper(keys: Keys, database: Database, tmp_path: Path) -> None:
    first, _ = keys.create(NewKey())
    elsewhere = Keys(database, Pepper(tmp_path / "elsewhere"))
    with pytest.raises(Conflict, match=rf"such as {first.id}, were hashed with another secret"):
        elsewhere.create(NewKey())
    assert not (tmp_path / "elsewhere").exists()
    keys.revoke(first.id)
    elsewhere.create(NewKey())


def test_a_damaged_pepper_is_named(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("not base64")
    with pytest.raises(StoreFailed, match="Restore the right file"):
        Pepper(tmp_path / "pepper").hash(new_token())


def test_the_last_use_is_stored_and_never_goes_back(keys: Keys, clock: Any) -> None:
    key, _ = keys.create(NewKey())
    clock.advance(hours=1)
    keys.record_use([key.id])
    used_at = keys.get(key.id).last_used_at
    assert used_at == clock()
    clock.advance(hours=-1)
    keys.record_use([key.id])
    assert keys.get(key.id).last_used_at == used_at
