"""Imports whose process dies at any point, or that find no room: the versions before stay, the next import works."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmos.core.errors import StoreFailed
from llmos.data.datasets import segments
from llmos.data.datasets.folder import find_layout
from llmos.data.datasets.importing import import_files
from llmos.data.datasets.records import ImportOptions

PROGRAM = """
import os, sys
from pathlib import Path
from llmos.core.database import Database
from llmos.core.store import blob_files, store as store_module
from support.encryption import open_test_store
from llmos.data.datasets import datasets as datasets_module, segments
from llmos.data.datasets.datasets import Datasets
from llmos.data.datasets.folder import find_layout
from llmos.data.datasets.importing import import_files
from llmos.data.datasets.records import ImportOptions

def die(*arguments, **options):
    os._exit(9)

segments.TARGET_BYTES = 300
counts = []
def third_time(real):
    def call(*arguments, **options):
        counts.append(1)
        return real(*arguments, **options) if len(counts) < 3 else die()
    return call

{moment}
database = Database(sys.argv[1])
datasets = Datasets(database, open_test_store(database, Path(sys.argv[2]))).of()
import_files(datasets, "notes", find_layout(Path(sys.argv[3])), ImportOptions(), source="test")
"""

MOMENTS = {
    "while a segment is written": "blob_files.SealedWriter.append = third_time(blob_files.SealedWriter.append)",
    "before a blob has its name": "store_module.os.replace = third_time(os.replace)",
    "before the version is recorded": "datasets_module.project_queries.ensure_name = die",
    "before the record is committed": "datasets_module.describe_action = die",
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("".join(f"note {number}\n" for number in range(80)))
    return path


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(segments, "TARGET_BYTES", 300)


def load(datasets, path):
    return import_files(datasets, "notes", find_layout(path), ImportOptions(), source="test")


def assert_sound(datasets, store):
    """Assert that all versions can be read whole, and that nothing but them is left after a collection."""
    for version in datasets.list():
        assert len(list(datasets.rows(version))) == version.num_rows
    datasets.remove("scrap")
    used = {segment.blob for version in datasets.list() for segment in version.segments}
    assert {digest for digest, _ in store.digests()} == used
    assert not [each for each in store.path.rglob("*") if each.suffix in (".parquet", ".making", ".copy")]


@pytest.mark.process
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_import_leaves_the_versions_before(datasets, store, write, database_url, path, small_segments, moment):
    before = write("one", "two")
    write("scrap", name="scrap")
    script = PROGRAM.format(moment=MOMENTS[moment])
    command = [sys.executable, "-c", script, database_url, str(store.path.parent), str(path)]
    died = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}, check=False)
    assert died.returncode == 9
    assert [version.ref for version in datasets.list()] == ["notes@1", "scrap@1"]
    assert datasets.resolve("notes") == before
    assert load(datasets, path).ref == "notes@2"
    assert_sound(datasets, store)


@pytest.mark.parametrize("number", [1, 4])
def test_a_full_disk_leaves_the_versions_before(datasets, store, write, path, small_segments, monkeypatch, number):
    before = write("one", "two")
    write("scrap", name="scrap")
    real, counts = os.fsync, []

    def full(handle):
        counts.append(handle)
        if len(counts) >= number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patched:
        patched.setattr("llmos.core.disk.os.fsync", full)
        with pytest.raises(StoreFailed, match=r"disk of .* is full"):
            load(datasets, path)
    assert [version.ref for version in datasets.list()] == ["notes@1", "scrap@1"]
    assert datasets.resolve("notes") == before
    assert load(datasets, path).ref == "notes@2"
    assert_sound(datasets, store)


def test_two_imports_at_once_are_two_versions(datasets, write, path, small_segments):
    with datasets.writing("notes", "text", source="one") as one, datasets.writing("notes", "text", source="two") as two:
        for row in datasets.rows(load(datasets, path)):
            one.add(row)
            two.add(row.map_texts(str.upper))
        assert {one.finish().number, two.finish().number} == {1, 2}
