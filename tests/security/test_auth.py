"""The owner's key: created, found again, and checked."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmos.core.config import Settings, load_settings
from llmos.core.errors import BadRequest, Conflict, Unauthenticated
from llmos.security.auth import open_owner_key, presented_key


def settings(home: Path, key: str | None = None) -> Settings:
    return load_settings({"LLMOS_HOME": str(home)} | ({"LLMOS_OWNER_KEY": key} if key is not None else {}))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_first_start_creates_a_key_that_only_the_owner_can_read(tmp_path: Path) -> None:
    key = open_owner_key(settings(tmp_path))
    path = tmp_path / "keys" / "owner"
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    key.check(path.read_text().strip())
    assert [each.name for each in path.parent.iterdir()] == ["owner"]


def test_the_second_start_finds_the_key_of_the_first(tmp_path: Path) -> None:
    open_owner_key(settings(tmp_path))
    made = (tmp_path / "keys" / "owner").read_text()
    open_owner_key(settings(tmp_path)).check(made.strip())
    assert (tmp_path / "keys" / "owner").read_text() == made


def test_two_homes_have_different_keys(tmp_path: Path) -> None:
    open_owner_key(settings(tmp_path / "a"))
    other = open_owner_key(settings(tmp_path / "b"))
    with pytest.raises(Unauthenticated):
        other.check((tmp_path / "a" / "keys" / "owner").read_text().strip())


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        keys = list(threads.map(lambda _: open_owner_key(settings(tmp_path)), range(64)))
    on_disk = (tmp_path / "keys" / "owner").read_text().strip()
    for key in keys:
        key.check(on_disk)


CHOSEN = "a-key-that-was-chosen"


def test_a_key_in_the_environment_is_stored_where_there_is_none(tmp_path: Path) -> None:
    open_owner_key(settings(tmp_path, CHOSEN)).check(CHOSEN)
    assert (tmp_path / "keys" / "owner").read_text() == f"{CHOSEN}\n"
    assert mode(tmp_path / "keys" / "owner") == 0o600
    open_owner_key(settings(tmp_path)).check(CHOSEN)
    open_owner_key(settings(tmp_path, CHOSEN)).check(CHOSEN)


def test_a_key_on_disk_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "owner"
    open_owner_key(settings(tmp_path))
    made = path.read_text()
    with pytest.raises(Conflict, match=f"rm {path}"):
        open_owner_key(settings(tmp_path, CHOSEN))
    assert path.read_text() == made
    path.unlink()
    open_owner_key(settings(tmp_path, CHOSEN)).check(CHOSEN)


@pytest.mark.parametrize("short", ["s", "short", "fifteen-letters"])
def test_a_short_key_is_refused_and_not_stored(tmp_path: Path, short: str) -> None:
    with pytest.raises(BadRequest, match=r"LLMOS_OWNER_KEY has .* at least 16"):
        open_owner_key(settings(tmp_path, short))
    assert not (tmp_path / "keys" / "owner").exists()
    (tmp_path / "keys").mkdir(exist_ok=True)
    (tmp_path / "keys" / "owner").write_text(short)
    with pytest.raises(BadRequest, match=r"keys/owner has .* at least 16"):
        open_owner_key(settings(tmp_path))


def test_a_readable_key_file_is_made_private_again(tmp_path: Path) -> None:
    open_owner_key(settings(tmp_path))
    path = tmp_path / "keys" / "owner"
    path.chmod(0o644)
    open_owner_key(settings(tmp_path))
    assert mode(path) == 0o600


def test_an_empty_key_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "owner"
    path.parent.mkdir()
    path.write_text("\n")
    key = open_owner_key(settings(tmp_path))
    assert len(path.read_text().strip()) > 32
    key.check(path.read_text().strip())


@pytest.mark.parametrize(
    "unsendable", ["a key of two words", "ein-langer-schlüssel", "a-key-with-a\nline-break", "a-key-with-a-tab\t"]
)
def test_a_key_that_a_header_can_not_carry_is_refused(tmp_path: Path, unsendable: str) -> None:
    with pytest.raises(BadRequest, match="LLMOS_OWNER_KEY"):
        open_owner_key(settings(tmp_path, unsendable))


@pytest.mark.parametrize("wrong", [None, "", "a", CHOSEN[:-1], f"{CHOSEN}2", CHOSEN.upper(), "schlüssel", "\udcff"])
def test_any_other_key_is_refused(tmp_path: Path, wrong: str | None) -> None:
    with pytest.raises(Unauthenticated, match="LLMOS_HOME/keys/owner"):
        open_owner_key(settings(tmp_path, CHOSEN)).check(wrong)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer abc"},
        {"authorization": "bearer  abc "},
        {"x-api-key": "abc"},
        {"api-key": "abc"},
        {"authorization": "Bearer abc", "x-api-key": "other", "api-key": "other"},
    ],
)
def test_the_key_comes_in_the_header_of_any_client(headers: dict[str, str]) -> None:
    assert presented_key(headers) == "abc"


def test_another_scheme_is_refused() -> None:
    assert presented_key({}) is None
    with pytest.raises(Unauthenticated, match="Bearer"):
        presented_key({"authorization": "Basic YTpi"})
