"""LLMOS_HOME is its owner's alone, whatever its modes were before."""

import os
import stat
from pathlib import Path

import pytest

from llmos.core.config import load_settings
from llmos.core.database import Database
from llmos.core.errors import BadRequest
from llmos.core.home import make_private_home
from llmos.models import open_registry


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def a_generous_umask() -> object:
    before = os.umask(0o000)
    yield
    os.umask(before)


def test_a_new_home_and_its_database_are_private_under_any_umask(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    with registry.database.transaction():
        assert mode(home) == 0o700
        databases = sorted(home.glob("llmos.db*"))
        assert [path.name for path in databases] == ["llmos.db", "llmos.db-reserve", "llmos.db-shm", "llmos.db-wal"]
        assert {mode(path) for path in databases} == {0o600}


def test_the_next_start_mends_what_others_may_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = load_settings({"LLMOS_HOME": str(home)})
    registry = open_registry(settings)
    with registry.database.transaction():
        home.chmod(0o755)
        for path in home.glob("llmos.db*"):
            path.chmod(0o644)
        open_registry(settings)
        assert mode(home) == 0o700
        assert {mode(path) for path in home.glob("llmos.db*")} == {0o600}


def test_a_database_elsewhere_is_private_and_its_folder_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Database(f"sqlite:///{tmp_path / 'other.db'}").upgrade()
    assert mode(tmp_path / "other.db") == 0o600
    assert mode(tmp_path) == 0o755


def test_a_folder_that_everybody_uses_is_no_home(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(BadRequest, match="Choose a folder of its own"):
        make_private_home(tmp_path)
    assert mode(tmp_path) == 0o1777
