"""Callers' files: complete and visible only to their tenant, or absent."""

import errno
import fcntl
import os
from collections.abc import Callable

import pytest

from llmos.core.encryption.sealed_file import CHUNK_BYTES
from llmos.core.errors import Conflict, NotFound, StoreFailed
from llmos.data.batches import Batches
from llmos.data.files import File, Files

Upload = Callable[..., File]


def test_a_finished_upload_is_stored_unchanged(files: Files, upload: Upload, tenant: str) -> None:
    file = upload(b"one\ntwo\n")
    assert files.get(tenant, file.id) == file
    assert (file.size, file.purpose, file.filename) == (8, "batch", "lines.jsonl")
    assert files.open(file.id).read() == b"one\ntwo\n"
    assert files.path(file.id).stat().st_mode & 0o777 == 0o600


def test_the_bytes_of_a_file_are_encrypted(files: Files, upload: Upload) -> None:
    file = upload(b"a marker\n" * 100_000)
    assert b"marker" not in files.path(file.id).read_bytes()
    with files.open(file.id) as content:
        content.seek(899_991)
        assert content.read() == b"a marker\n"


def test_a_file_that_was_modified_on_the_disk_is_not_read(files: Files, upload: Upload) -> None:
    file = upload(b"one\n")
    stored = bytearray(files.path(file.id).read_bytes())
    stored[-1] ^= 1
    files.path(file.id).write_bytes(stored)
    with pytest.raises(StoreFailed, match=rf"{file.id} was modified .* Restore it from a backup"):
        files.open(file.id)


def test_the_file_of_another_tenant_is_not_found(files: Files, upload: Upload, tenant: str) -> None:
    theirs = upload(owner="somebody else")
    for look in (files.get, files.delete):
        with pytest.raises(NotFound, match=theirs.id):
            look(tenant, theirs.id)
    assert files.list(tenant).items == []
    assert files.get("somebody else", theirs.id) == theirs


def test_an_id_with_a_nul_is_not_found(files: Files, tenant: str) -> None:
    with pytest.raises(NotFound):
        files.get(tenant, "file-\0")


def test_the_next_page_begins_after_the_last_file(files: Files, upload: Upload, tenant: str) -> None:
    made = [upload() for _ in range(5)]
    output = upload(purpose="batch_output")
    first = files.list(tenant, purpose="batch", limit=2)
    assert (first.items, first.has_more) == ([made[4], made[3]], True)
    rest = files.list(tenant, purpose="batch", limit=3, after=made[3].id)
    assert (rest.items, rest.has_more) == ([made[2], made[1], made[0]], False)
    assert files.list(tenant, newest_first=False).items == [*made, output]
    files.delete(tenant, made[0].id)
    with pytest.raises(NotFound):
        files.list(tenant, after=made[0].id)


def test_deleting_a_file_deletes_its_bytes(files: Files, upload: Upload, tenant: str) -> None:
    file = upload()
    files.delete(tenant, file.id)
    assert list(files.folder.iterdir()) == []
    with pytest.raises(NotFound):
        files.get(tenant, file.id)


def test_the_input_of_a_live_batch_is_not_deleted(files: Files, batches: Batches, upload: Upload, tenant: str) -> None:
    file = upload()
    batch = batches.create(tenant, endpoint="/v1/completions", input_file_id=file.id)
    with pytest.raises(Conflict, match=f"{batch.id} is reading {file.id}"):
        files.delete(tenant, file.id)
    batches.fail(batch.id, [])
    files.delete(tenant, file.id)


def test_sweeping_deletes_only_uploads_of_dead_processes(files: Files, upload: Upload) -> None:
    kept, arriving = upload(), files.begin()
    arriving.write(b"half")
    for name in ("file-dead", "file-needed"):
        (files.folder / name).write_text("left behind")
    assert files.sweep({"file-needed"}) == 1
    assert {path.name for path in files.folder.iterdir()} == {kept.id, arriving.path.name, "file-needed"}
    arriving.discard()
    assert {path.name for path in files.folder.iterdir()} == {kept.id, "file-needed"}


def test_a_sweep_between_the_creation_and_the_lock_of_an_upload_loses_nothing(
    files: Files, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, swept = fcntl.flock, []

    def sweep_first(handle: int, operation: int) -> None:
        if not swept:
            swept.append(True)
            swept.append(files.sweep())
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    file = upload(b"one\n")
    assert swept == [True, 1]
    assert files.open(file.id).read() == b"one\n"


def test_two_servers_may_sweep_at_the_same_time(files: Files, upload: Upload) -> None:
    upload()
    # A name that leads nowhere: what a listing has of a file that the other server removed before it was opened.
    (files.folder / "file-gone").symlink_to("nowhere")
    (files.folder / "file-later").write_text("left behind")
    assert files.sweep() == 1
    assert not (files.folder / "file-later").exists()


def test_a_discarded_upload_ignores_writes(files: Files) -> None:
    """A thread may still write for a client that has disconnected."""
    incoming = files.begin()
    incoming.discard()
    incoming.write(b"late")
    assert incoming.size == 0


def test_a_full_disk_says_what_to_do(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    incoming = files.begin()
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreFailed, match=r"No space left on device\. Free some space"):
        incoming.write(bytes(CHUNK_BYTES + 1))
    incoming.discard()
