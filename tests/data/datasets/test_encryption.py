"""Encrypted segments: no row is in the clear in any file, each project has keys of its own, all else is as before."""

import os
import shutil
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest

from llmos.core.encryption import queries as key_queries
from llmos.core.encryption import ring as ring_module
from llmos.core.encryption.tables import ObjectKeyRow
from llmos.core.errors import NotFound, StoreFailed
from llmos.core.store.blobs_in_use import ROOMS, blob_users
from llmos.core.store.store import Store
from llmos.data.datasets import segments
from llmos.data.datasets.comparing import compare
from llmos.data.datasets.encrypting import encrypt_segments, num_plain_segments
from llmos.data.datasets.forgetting import forget_rows
from llmos.data.datasets.queries import replace_blob
from llmos.data.datasets.querying import run_query
from support.encryption import open_test_encryption, open_test_store
from support.operating import text_row

MARKER = "Zq8-unlikely-row"


def write_to(datasets, *rows, name="notes"):
    with datasets.writing(name, "text", source="test") as writer:
        for row in rows:
            writer.add(text_row(row) if isinstance(row, str) else row)
        return writer.finish()


def texts(datasets, version):
    return [row.texts[0] for row in datasets.rows(version)]


def keys(database):
    with database.session() as session:
        return {row.object_id: row for row in key_queries.object_keys(session, "blob:")}


def plain_files(folder: Path) -> list[str]:
    """Return the files with rows in the clear: Parquet begins with PAR1, and has the least values of columns as they
    are."""
    contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [path.name for path, content in contents.items() if b"PAR1" in content or MARKER.encode() in content]


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(segments, "TARGET_BYTES", 300)


# --- on the disk


def test_no_row_is_in_the_clear_at_any_moment(all_datasets, datasets, tmp_path, small_segments, monkeypatch):
    moments, real = [], os.fsync

    def watching(handle):
        moments.append(plain_files(tmp_path))
        real(handle)

    monkeypatch.setattr("os.fsync", watching)
    rows = [text_row(f"{MARKER} {n}", origin=MARKER, subject="ann" if n == 7 else None) for n in range(40)]
    first = write_to(datasets, *rows)
    with datasets.writing("notes", "text", parents=[first], recipe={"operators": []}) as writer:
        for row in datasets.rows(first):
            writer.drop(row, "test", "odd", MARKER) if row.origin == "none" else writer.add(row)
        writer.drop(rows[0], "test", "odd", MARKER)
        writer.finish()
    assert forget_rows(all_datasets, "owner", "ann") == {"notes@1": 1, "notes@2": 1}
    assert len(moments) > 5
    assert not any(moments)
    assert plain_files(tmp_path) == []


def test_reading_leaves_nothing_on_the_disk(datasets, store, write, tmp_path, small_segments, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = write(*[f"{MARKER} {n}" for n in range(40)]), write(f"{MARKER} 7")
    before = sorted(tmp_path.rglob("*"))
    assert texts(datasets, first)[:2] == [f"{MARKER} 0", f"{MARKER} 1"]
    assert compare(store, first, second).num_removed == 39
    assert sorted(tmp_path.rglob("*")) == before


def test_blobs_of_projects_are_apart_and_their_names_say_nothing(all_datasets, datasets, store):
    mine, theirs = (write_to(each, "the same") for each in (datasets, all_datasets.of("acme")))
    assert mine.digest == theirs.digest
    (first,), (second,) = mine.segments, theirs.segments
    assert first.rows_digest == second.rows_digest
    assert first.blob != second.blob
    content = store.blob_path(first.blob).read_bytes()
    assert content.startswith(b"PAR1")
    assert {row.project for row in keys(datasets._database).values()} == {"owner", "acme"}
    assert store.verify([first.blob, second.blob]) == []


def test_rows_are_written_once_in_a_project(datasets, store, write):
    first = write("one", "two")
    again = write("one", "two", name="copy")
    assert again.segments[0].blob == first.segments[0].blob
    assert len(list(store.digests())) == 1


# --- keys


def test_nothing_that_a_removed_project_had_can_be_read_again(all_datasets, database, store, tmp_path):
    version = write_to(all_datasets.of("acme"), "theirs")
    blob = version.segments[0].blob
    sealed = Path(store.blob_path(blob))
    shutil.copy(sealed, tmp_path / "backup")
    ((object_id, row),) = keys(database).items()
    columns = {name: getattr(row, name) for name in ("object_id", "project", "key_id", "wrapped", "created_at")}
    all_datasets.remove_project("acme")
    assert keys(database) == {}
    assert not sealed.exists()
    open_test_encryption(database, tmp_path).ring.destroy_project("acme")
    shutil.copy(tmp_path / "backup", sealed)
    with database.transaction() as session:
        session.add(ObjectKeyRow(**columns))
    reopened = open_test_store(database, tmp_path)
    with pytest.raises(NotFound, match="was erased: the key"):
        reopened.blob_path(blob).read_bytes()
    assert object_id == f"blob:{blob}"


def test_a_rotation_rewrites_no_segment(all_datasets, database, store, tmp_path, monkeypatch):
    acme = all_datasets.of("acme")
    version = write_to(acme, "theirs")
    path = store.blob_path(version.segments[0].blob)
    before = Path(path).read_bytes()
    monkeypatch.setattr(ring_module, "GRACE", timedelta(0))
    encryption = open_test_encryption(database, tmp_path)
    assert encryption.rotate_project("acme") == 1
    encryption.ring.rotate_master()
    assert Path(path).read_bytes() == before
    assert open_test_store(database, tmp_path).blob_path(version.segments[0].blob).read_bytes()[:4] == b"PAR1"
    assert texts(acme, version) == ["theirs"]


def test_removing_a_version_destroys_its_keys(datasets, database, write):
    write("one")
    write("two", name="other")
    datasets.remove("notes")
    assert len(keys(database)) == 1
    datasets.remove("other")
    assert keys(database) == {}


def test_a_store_without_keys_keeps_no_rows(datasets, store, write):
    version = write("one")
    without = Store(store.path)
    (problem,) = without.verify([version.segments[0].blob])
    assert "was opened without the keys of this installation" in problem.reason
    with pytest.raises(StoreFailed, match="without the keys"):
        without.of_project("owner").add(store.path / "lock")


# --- damage


@pytest.mark.process
def test_a_segment_that_was_changed_is_named_wherever_it_is_read(datasets, store, database, write, small_segments):
    version = write(*[f"row {n}" for n in range(40)])
    blob = version.segments[1].blob
    path = Path(store.blob_path(blob))
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    for read in (
        lambda: texts(datasets, version),
        lambda: compare(store, version, version),
        lambda: run_query(store, version, "select count(distinct content) from rows"),
    ):
        with pytest.raises(StoreFailed, match=f"{blob} was modified on the disk"):
            read()
    (problem,) = store.verify([each.blob for each in version.segments])
    assert problem.digest == blob
    assert blob_users(database, [blob]) == {blob: ["the dataset notes@1 of the project owner"]}


def test_the_same_rows_repair_a_version_whose_segments_are_gone(datasets, store, write):
    version = write("one", "two")
    Path(store.blob_path(version.segments[0].blob)).unlink()
    with pytest.raises(FileNotFoundError):
        texts(datasets, version)
    repaired = write("one", "two")
    assert (repaired.ref, repaired.digest) == (version.ref, version.digest)
    assert texts(datasets, repaired) == ["one", "two"]


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_which_versions_use_its_blobs(database, room):
    with database.session() as session:
        assert import_module(room).blob_users(session, ["sha256:0"]) == {}


# --- what an earlier version stored plain


@pytest.fixture
def plain(datasets, database, store, write):
    """A version whose only segment is plain."""
    version = write(f"{MARKER} 1")
    path = store.path / "plain.parquet"
    path.write_bytes(store.blob_path(version.segments[0].blob).read_bytes())
    with store.publishing(), database.transaction() as session:
        blob, _ = store.add(path)
        replace_blob(session, "owner", version.segments[0].blob, blob)
    path.unlink()
    store.collect(lambda: {blob})
    return datasets.resolve(version.ref)


def test_plain_segments_are_read_and_encrypted(all_datasets, datasets, store, plain, tmp_path):
    assert plain_files(tmp_path) != []
    assert texts(datasets, plain) == [f"{MARKER} 1"]
    assert num_plain_segments(all_datasets) == 1
    assert encrypt_segments(all_datasets) == 1
    assert (num_plain_segments(all_datasets), encrypt_segments(all_datasets)) == (0, 0)
    assert plain_files(tmp_path) == []
    now = datasets.resolve(plain.ref)
    assert texts(datasets, now) == [f"{MARKER} 1"]
    assert now.segments[0].blob.startswith("hmac:")


def test_a_crash_while_they_are_encrypted_loses_nothing(all_datasets, datasets, plain, tmp_path, monkeypatch):
    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("llmos.data.datasets.encrypting.queries.replace_blob", die)
        with pytest.raises(KeyboardInterrupt):
            encrypt_segments(all_datasets)
    assert texts(datasets, datasets.resolve(plain.ref)) == [f"{MARKER} 1"]
    assert encrypt_segments(all_datasets) == 1
    assert texts(datasets, datasets.resolve(plain.ref)) == [f"{MARKER} 1"]
    assert plain_files(tmp_path) == []
