"""The writer of the ledger: groups, failures of the database and of the disk, crashes and shutdown."""

import errno
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import ProgrammingError

from llmos.billing import queries
from llmos.billing.entries import Entry
from llmos.billing.ledger import Ledger, Stored
from llmos.billing.ledger_writer import LedgerWriter
from llmos.billing.refused import RefusedEntries
from llmos.billing.spill import RESERVED_BYTES, Spill
from llmos.core.database import Database
from llmos.core.errors import StoreFailed
from support.ledger import check_sums, entry, stored


class FailingLedger(Ledger):
    """A ledger whose database fails while `is_broken`."""

    is_broken = False
    num_tries = 0

    def add(self, entries: Any) -> Stored:
        self.num_tries += 1
        if self.is_broken:
            raise StoreFailed("The disk is full.")
        return super().add(entries)


class FullSpill(Spill):
    def append(self, entries: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def failing(database: Database) -> FailingLedger:
    return FailingLedger(database)


def ids(database: Database) -> list[str]:
    return [row.call_id for row in stored(database)]


def test_what_gathers_during_a_transaction_is_one_transaction(database: Database, tmp_path: Path) -> None:
    groups: list[int] = []

    class Watched(Ledger):
        def add(self, entries: Any) -> Stored:
            if not groups:
                for n in range(20):
                    writer.add([entry(f"later-{n}")])
            groups.append(len(entries))
            return super().add(entries)

    writer = LedgerWriter(Watched(database), tmp_path)
    writer.add([entry("first")]).result()
    writer.flush()
    assert groups == [1, 20]
    assert len(stored(database)) == 21
    writer.close()


def test_while_the_database_fails_entries_go_to_the_disk_and_come_back(
    failing: FailingLedger, database: Database, tmp_path: Path
) -> None:
    writer = LedgerWriter(failing, tmp_path, retry_seconds=0)
    failing.is_broken = True
    writer.add([entry("a")]).result()
    writer.add([entry("b")]).result()
    assert ids(database) == []
    assert writer.has_set_aside
    failing.is_broken = False
    writer.add([entry("c")]).result()
    assert sorted(ids(database)) == ["a", "b", "c"]
    assert not writer.has_set_aside
    check_sums(database)
    writer.close()
    assert Spill(tmp_path).is_empty()


def test_a_database_that_fails_is_not_asked_for_each_entry(failing: FailingLedger, tmp_path: Path) -> None:
    failing.is_broken = True
    writer = LedgerWriter(failing, tmp_path, monotonic=lambda: 0.0)
    for n in range(20):
        writer.add([entry(str(n))]).result()
    assert failing.num_tries == 1
    writer.close()


def test_where_the_disk_fails_too_memory_keeps_them_up_to_a_limit(
    failing: FailingLedger, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmos.billing.ledger_writer.Spill", FullSpill)
    failing.is_broken = True
    writer = LedgerWriter(failing, tmp_path, retry_seconds=0, max_kept=2)
    writer.add([entry("a")]).result()
    assert not writer.is_full
    writer.add([entry("b")]).result()
    assert writer.is_full
    failing.is_broken = False
    writer.add([entry("c")]).result()
    assert not writer.is_full
    assert ids(database) == ["a", "b", "c"]
    writer.close()


HUGE = 2**80
"""A number that no database takes."""


def test_an_entry_that_the_database_refuses_is_set_apart_and_the_rest_is_stored(
    ledger: Ledger, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = LedgerWriter(ledger, tmp_path)
    numbers = {"b": HUGE, "d": HUGE}
    writer.add([entry(each, output_tokens=numbers.get(each, 3)) for each in "abcde"]).result()
    assert sorted(ids(database)) == ["a", "c", "e"]
    refused = RefusedEntries(tmp_path)
    assert [path.name for path in refused.paths()] == ["b.0.json", "d.0.json"]
    assert f"in {refused.paths()[0]} until the next start" in caplog.text
    writer.add([entry("f")]).result()
    assert "f" in ids(database)
    assert Spill(tmp_path).is_empty()
    check_sums(database)
    writer.close()


def test_refused_entries_are_tried_again_at_the_next_start(ledger: Ledger, database: Database, tmp_path: Path) -> None:
    refused = RefusedEntries(tmp_path)
    refused.add(entry("a"), "It was refused for what is mended now.")
    refused.add(entry("b", output_tokens=HUGE), "It is too large.")
    writer = LedgerWriter(ledger, tmp_path)
    writer.start()
    writer.close()
    assert ids(database) == ["a"]
    assert [path.name for path in refused.paths()] == ["b.0.json"]


def test_while_the_database_takes_nothing_no_entry_counts_as_refused(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(database)
    monkeypatch.setattr(queries, "add_entries", failing_query)
    writer = LedgerWriter(ledger, tmp_path)
    writer.add([entry("a"), entry("b")]).result()
    assert RefusedEntries(tmp_path).is_empty()
    monkeypatch.undo()
    writer.close()
    assert sorted(ids(database)) == ["a", "b"]


def failing_query(*_: Any) -> Any:
    raise ProgrammingError("INSERT", {}, Exception("The table has gone."))


def test_entries_that_wait_for_a_slow_database_survive_a_crash(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """A copy of the folder is what a crash leaves."""
    next_process = Database(database_url)
    left = tmp_path / "left"
    is_written, may_go = threading.Event(), threading.Event()

    class Slow(Ledger):
        def add(self, entries: Any) -> Any:
            is_written.set()
            may_go.wait()
            return super().add(entries)

    writer = LedgerWriter(Slow(database), tmp_path / "ledger")
    stored = writer.add([entry("a")])
    is_written.wait()
    writer.secure([entry("a")])
    shutil.copytree(tmp_path / "ledger", left)
    after_crash = LedgerWriter(Ledger(next_process), left)
    after_crash.start()
    after_crash.close()
    next_process.close()
    assert ids(database) == ["a"]
    may_go.set()
    stored.result()
    writer.close()
    assert ids(database) == ["a"]
    assert Spill(tmp_path / "ledger").is_empty()
    check_sums(database)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
@pytest.mark.process
def test_a_disk_that_fills_up_has_room_for_the_entries_of_running_calls(tmp_path: Path) -> None:
    mounting = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = 'mount -t tmpfs -o size=2m tmpfs "$0"'
    if subprocess.run([*mounting, "sh", "-c", mount, tmp_path], capture_output=True, check=False).returncode:
        pytest.skip("This user can't mount anything.")
    command = [*mounting, "sh", "-c", f'{mount} && exec "$@"', tmp_path, sys.executable, "-c", ON_FULL_DISK, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


ON_FULL_DISK = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from llmos.billing.spill import RESERVED_BYTES, Spill
from support.ledger import entry

folder = Path(sys.argv[1])
spill = Spill(folder)
spill.reserve()
with (folder / "ballast").open("wb", buffering=0) as ballast:
    try:
        while ballast.write(bytes(1 << 16)):
            pass
    except OSError:
        pass
entries = [entry(str(n)) for n in range(1000)]
for each in entries:
    spill.append([each])
for _ in range(2):  # The room isn't given up in between: something else would take it.
    read = []
    Spill(folder).read_back(read.extend)
    assert read == [], "the file is locked"
    spill.read_back(read.extend)
    assert read == entries
    with (folder / "ballast").open("ab", buffering=0) as ballast:
        try:
            while ballast.write(bytes(4096)):
                pass
        except OSError:
            pass
    for each in entries:
        spill.append([each])
"""


def test_room_that_nobody_needed_is_given_back(ledger: Ledger, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    writer = LedgerWriter(ledger, folder)
    writer.start()
    assert Spill(folder).is_empty()
    assert [path.stat().st_size for path in folder.iterdir()] == [RESERVED_BYTES]
    writer.close()
    assert [*folder.iterdir()] == []


def test_shutdown_stores_what_waits(database: Database, tmp_path: Path) -> None:
    writer = LedgerWriter(Ledger(database), tmp_path)
    for n in range(50):
        writer.add([entry(str(n))])
    writer.close()
    assert len(stored(database)) == 50


def test_shutdown_without_a_database_leaves_them_to_the_next_start(
    failing: FailingLedger, database: Database, tmp_path: Path
) -> None:
    failing.is_broken = True
    writer = LedgerWriter(failing, tmp_path)
    writer.add([entry("a")])
    writer.close()
    failing.is_broken = False
    writer = LedgerWriter(failing, tmp_path)
    writer.start()
    writer.close()
    assert ids(database) == ["a"]
    assert Spill(tmp_path).is_empty()


def test_a_crash_between_storing_and_removing_the_file_doubles_nothing(ledger: Ledger, tmp_path: Path) -> None:
    spill = Spill(tmp_path)
    spill.append([entry("a"), entry("b")])
    spill.close()
    ledger.add([entry("a"), entry("b")])  # And then the process was killed.
    added: list[int] = []
    Spill(tmp_path).read_back(lambda entries: added.append(ledger.add(entries).num_new))
    assert added == [0]


def test_a_line_that_a_crash_has_cut_costs_no_other(tmp_path: Path) -> None:
    spill = Spill(tmp_path)
    spill.append([entry("a")])
    spill.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + b'{"call_id": "half')
    read: list[Entry] = []
    Spill(tmp_path).read_back(read.extend)
    assert read == [entry("a")]
    assert Spill(tmp_path).is_empty()


def test_entries_that_are_read_back_are_left_until_they_are_stored(tmp_path: Path) -> None:
    """Whoever finds none left enters what dead servers had drafted, which would then stand in their place."""
    dead = Spill(tmp_path)
    dead.append([entry("1")])
    dead.close()
    seen: list[bool] = []
    spill = Spill(tmp_path)
    assert spill.read_back(lambda _: seen.append(spill.is_empty())) == 1
    assert (seen, spill.is_empty()) == ([False], True)
    with pytest.raises(StoreFailed):
        _fail_to_read_back(tmp_path)
    assert not Spill(tmp_path).is_empty()


def _fail_to_read_back(folder: Path) -> None:
    dead = Spill(folder)
    dead.append([entry("2")])
    dead.close()

    def fail(_: Sequence[Entry]) -> None:
        raise StoreFailed("The disk is full.")

    Spill(folder).read_back(fail)


def test_the_file_of_a_running_writer_is_its_own(tmp_path: Path) -> None:
    running = Spill(tmp_path)
    running.append([entry("a")])
    read: list[Entry] = []
    Spill(tmp_path).read_back(read.extend)
    assert read == []
    running.append([entry("b")])
    running.read_back(read.extend)
    assert read == [entry("a"), entry("b")]
    running.close()
    assert Spill(tmp_path).is_empty()


def test_one_who_stops_waiting_stops_nobody_else(database: Database, tmp_path: Path) -> None:
    writer = LedgerWriter(Ledger(database), tmp_path)
    writer.add([entry("a")]).cancel()
    writer.add([entry("b")]).result()
    writer.close()
    assert sorted(ids(database)) == ["a", "b"]
