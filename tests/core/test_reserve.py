"""The reserve: space that is given up while something is removed from a full disk."""

import subprocess
import sys

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.errors import StoreFailed
from llmos.core.reserve import MAX_BYTES, Reserve


@pytest.fixture(autouse=True)
def _real_size(monkeypatch):
    """Keep as much as a server does, unlike other tests."""
    monkeypatch.setattr("llmos.core.reserve.MAX_BYTES", MAX_BYTES)


def test_the_space_is_free_while_it_is_lent(tmp_path):
    reserve, path = Reserve(tmp_path / "reserve"), tmp_path / "reserve"
    reserve.keep()
    assert path.stat().st_size == MAX_BYTES
    with reserve.lent():
        assert not path.exists()
    assert path.stat().st_size == MAX_BYTES


def test_the_space_is_taken_back_after_an_error(tmp_path):
    reserve = Reserve(tmp_path / "reserve")
    with pytest.raises(ZeroDivisionError), reserve.lent():
        raise ZeroDivisionError
    assert (tmp_path / "reserve").exists()


def test_a_database_without_room_names_its_disk(tmp_path):
    path = tmp_path / "llmos.db"
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    with database.session() as session:
        num_pages = session.execute(text("PRAGMA page_count")).scalar()
    with pytest.raises(StoreFailed, match=rf"The disk of {path} is full.*llmos rm MODEL"):
        _fill(database, num_pages)
    database.close()


def _fill(database, num_pages):
    """Write more into a database than the pages that it may have."""
    with database.transaction() as session:
        session.execute(text(f"PRAGMA max_page_count = {num_pages}"))
        session.execute(text("CREATE TABLE filling (value BLOB)"))
        session.execute(text("INSERT INTO filling VALUES (zeroblob(1000000))"))


def test_a_database_that_can_not_be_written_is_read_from_a_copy(tmp_path, monkeypatch):
    path = tmp_path / "llmos.db"
    before = Database(f"sqlite:///{path}")
    before.upgrade()
    before.close()
    monkeypatch.setattr("llmos.core.database.is_read_only", lambda path: True)
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    with database.session() as session:
        assert session.execute(text("SELECT name FROM routes")).scalar() == "dialogue"
    with pytest.raises(StoreFailed, match="can't be written, so nothing can be changed"), database.transaction():
        pass
    database.close()
    served = Database(f"sqlite:///{path}", discards_changes=True)
    with served.transaction() as session:
        session.execute(text("DELETE FROM route_targets"))
        session.execute(text("DELETE FROM routes"))
    served.close()
    again = Database(f"sqlite:///{path}")
    with again.session() as session:
        assert session.execute(text("SELECT count(*) FROM routes")).scalar() == 1
    again.close()


ON_A_FULL_DISK = """
import os, sys
from pathlib import Path
from llmos.core.config import load_settings
from llmos.core.errors import StoreFailed
from llmos.deployments.routing.routes import Routes
from llmos.models import open_registry

home = Path(sys.argv[1])
settings = load_settings({"LLMOS_HOME": str(home)})
open_registry(settings).database.close()
with open(home / "filling", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
registry = open_registry(settings)
try:
    registry.labels.tag("smollm2", {"a": "b"}, [], actor="ada")
except Exception:
    pass
routes = Routes(registry)
for number in range(20):
    routes.remove("dialogue", actor="ada")
    with registry.database.transaction(frees_space=True) as session:
        from sqlalchemy import text
        session.execute(text("INSERT INTO routes (name, updated_at, sticky) VALUES ('dialogue', '2026-01-01', 'user')"))
        session.execute(text(
            "INSERT INTO route_targets (route, role, place, target, percent)"
            " VALUES ('dialogue', 'weighted', 0, 'smollm2', 100)"
        ))
print("changed")
"""


@pytest.mark.process
def test_routes_can_be_changed_on_a_full_disk(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    command = f'mount -t tmpfs -o size=3m,mode=0700 none {home} && exec {sys.executable} -c "$0" {home}'
    done = subprocess.run(["unshare", "-rm", "sh", "-c", command, ON_A_FULL_DISK], capture_output=True, text=True)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip("this machine allows no mounts of its own")
    assert done.stdout == "changed\n", done.stderr
