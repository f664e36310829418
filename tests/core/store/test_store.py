"""The store: a blob is complete or absent, whatever fails."""

import errno
import os
import threading
from contextlib import suppress

import pytest

from llmos.core.errors import BadModelFile, StoreFailed
from llmos.core.store import store as store_module
from llmos.core.store.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def put(store, file, content):
    with store.receiving([file]) as parts, store.publishing():
        parts[file].write_bytes(content)
        store.publish(parts[file], file)


def everything_below(path):
    return sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file() and each.name != "lock")


def test_a_published_blob_is_read_back(store, pin):
    file = pin("a.gguf", b"abc")
    put(store, file, b"abc")
    assert store.has(file.digest, 3)
    assert store.blob_path(file.digest).read_bytes() == b"abc"
    assert list(store.digests()) == [(file.digest, 3)]
    assert everything_below(store.path) == [f"blobs/sha256/{file.digest.removeprefix('sha256:')}"]


def test_a_blob_is_read_only(store, pin):
    file = pin("a.gguf", b"abc")
    put(store, file, b"abc")
    assert store.blob_path(file.digest).stat().st_mode & 0o222 == 0


def test_wrong_bytes_are_deleted_and_both_digests_named(store, pin):
    file, wrong = pin("a.gguf", b"abc"), pin("a.gguf", b"abX")
    with pytest.raises(BadModelFile, match=f"{wrong.digest}.*{file.digest}"):
        put(store, file, b"abX")
    assert everything_below(store.path) == []


def test_a_stored_file_has_no_part(store, pin):
    file = pin("a.gguf", b"abc")
    put(store, file, b"abc")
    with store.receiving([file]) as parts:
        assert parts == {}


def test_a_part_is_kept_for_the_next_attempt(store, pin):
    file = pin("a.gguf", b"abc")
    with suppress(KeyboardInterrupt), store.receiving([file]) as parts:
        parts[file].write_bytes(b"ab")
        raise KeyboardInterrupt
    with store.receiving([file]) as parts:
        assert parts[file].read_bytes() == b"ab"
    assert [size for _, size in store.unfinished()] == [2]


def test_a_second_process_waits_and_then_finds_the_file_stored(store, pin):
    file, waits, seen = pin("a.gguf", b"abc"), threading.Event(), []

    def receive_too():
        with store.receiving([file], waits.set) as parts:
            seen.append(parts)

    with store.receiving([file]) as parts:
        second = threading.Thread(target=receive_too)
        second.start()
        assert waits.wait(timeout=60)
        with store.publishing():
            parts[file].write_bytes(b"abc")
            store.publish(parts[file], file)
    second.join()
    assert seen == [{}]


def test_importing_creates_a_hard_link(store, tmp_path, pin):
    source = tmp_path / "model.gguf"
    source.write_bytes(b"weights")
    digest, size = store.add(source)
    assert (digest, size) == (pin("", b"weights").digest, 7)
    assert store.blob_path(digest).samefile(source)


@pytest.mark.parametrize("reason", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP])
def test_importing_copies_where_a_hard_link_is_impossible(store, tmp_path, monkeypatch, reason):
    def refuse(*_):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(store_module.os, "link", refuse)
    source = tmp_path / "model.gguf"
    source.write_bytes(b"weights")
    digest, _ = store.add(source)
    assert store.blob_path(digest).read_bytes() == b"weights"
    assert not store.blob_path(digest).samefile(source)
    assert source.stat().st_nlink == 1


def test_importing_the_same_bytes_twice_keeps_one_blob(store, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"weights")
        store.add(tmp_path / name)
    store.add(tmp_path / "a")
    assert len(everything_below(store.path)) == 1


def test_a_blob_of_the_wrong_size_is_replaced(store, tmp_path, pin):
    file = pin("model.gguf", b"weights")
    put(store, file, b"weights")
    blob = store.blob_path(file.digest)
    blob.chmod(0o600)
    blob.write_bytes(b"weig")
    (tmp_path / "model.gguf").write_bytes(b"weights")
    store.add(tmp_path / "model.gguf")
    assert store.verify([file.digest]) == []


def test_importing_a_symbolic_link_imports_its_target(store, tmp_path):
    (tmp_path / "real").write_bytes(b"weights")
    (tmp_path / "link").symlink_to("real")
    digest, _ = store.add(tmp_path / "link")
    assert store.blob_path(digest).samefile(tmp_path / "real")
    assert not store.blob_path(digest).is_symlink()


def test_a_file_that_changes_during_the_import_is_refused(store, tmp_path):
    source = tmp_path / "model.gguf"
    source.write_bytes(b"weights")
    with pytest.raises(StoreFailed, match="changed while it was imported"):
        store.add(source, lambda _: source.write_bytes(b"other weights"))


def test_verify_returns_missing_and_damaged_blobs(store, pin):
    sound, changed, lost = pin("", b"sound"), pin("", b"changed"), pin("", b"lost")
    for file, content in ((sound, b"sound"), (changed, b"changed")):
        put(store, file, content)
    store.blob_path(changed.digest).chmod(0o600)
    store.blob_path(changed.digest).write_bytes(b"chAnged")
    problems = store.verify([sound.digest, changed.digest, lost.digest])
    assert [problem.digest for problem in problems] == [changed.digest, lost.digest]
    assert problems[0].reason.startswith("holds other bytes")
    assert problems[1].reason == "is missing"


def test_collecting_deletes_unreferenced_blobs(store, pin):
    kept, dropped = pin("", b"kept"), pin("", b"dropped")
    for file, content in ((kept, b"kept"), (dropped, b"dropped")):
        put(store, file, content)
    assert store.collect(lambda: {kept.digest}) == len(b"dropped")
    assert [digest for digest, _ in store.digests()] == [kept.digest]


def test_collecting_deletes_the_copies_of_dead_processes(store, pin):
    put(store, pin("", b"a"), b"a")
    (store.path / "incoming" / "0123456789abcdef.copy").write_bytes(b"half a mod")
    store.collect(lambda: {pin("", b"a").digest})
    assert everything_below(store.path / "incoming") == []


def test_collecting_deletes_scratch_folders_that_are_not_in_use(store, pin):
    dead, alive = pin("", b"dead"), pin("", b"alive")
    scratch = {file: store.path / "incoming" / f"{file.digest[7:]}.pip" for file in (dead, alive)}
    with store.receiving([alive]) as parts:
        for folder in scratch.values():
            folder.mkdir()
            (folder / "half.whl").write_bytes(b"half a wheel")
        (store.path / "incoming" / f"{dead.digest[7:]}.lock").touch()
        parts[alive].write_bytes(b"ali")
        store.collect(set)
        assert not scratch[dead].exists()
        assert (scratch[alive] / "half.whl").exists()
    assert [path.name for path, _ in store.unfinished()] == [f"{alive.digest[7:]}.part"]
    assert [path.suffix for path in (store.path / "incoming").iterdir() if path.is_file()] == [".part"]


def test_a_published_blob_is_not_collected_before_it_is_recorded(store, pin):
    file, recorded, asked = pin("", b"new"), set(), threading.Event()

    def referenced():
        asked.set()
        return set(recorded)

    with store.receiving([file]) as parts, store.publishing():
        parts[file].write_bytes(b"new")
        store.publish(parts[file], file)
        collecting = threading.Thread(target=store.collect, args=(referenced,))
        collecting.start()
        recorded.add(file.digest)
        assert not asked.is_set()
    collecting.join()
    assert asked.is_set()
    assert store.has(file.digest, 3)


@pytest.mark.parametrize("full", ["fsync", "replace"])
def test_a_full_disk_is_named_and_leaves_no_blob(store, pin, monkeypatch, full):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = pin("a.gguf", b"abc")
    with monkeypatch.context() as patched:
        patched.setattr(store_module.os, full, refuse)
        with pytest.raises(StoreFailed, match=r"full.*Free some space"):
            put(store, file, b"abc")
    assert list(store.digests()) == []
    put(store, file, b"abc")
    assert store.has(file.digest, 3)


def test_too_little_space_is_reported_with_the_numbers(store):
    store.check_room(1, "tiny")
    with pytest.raises(StoreFailed, match=r"big needs 1,000,000,000,000,000,000 bytes in .*store, and [\d,]+ are free"):
        store.check_room(10**18, "big")


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../etc/passwd", "md5:" + "a" * 64, "sha256:" + "A" * 64])
def test_an_invalid_digest_is_refused(store, digest):
    with pytest.raises(BadModelFile, match="is not a digest"):
        store.blob_path(digest)


def test_an_empty_store_has_no_blobs_and_no_problems(store):
    assert list(store.digests()) == []
    assert store.unfinished() == []
    assert store.verify([]) == []
    assert store.collect(set) == 0


def test_blobs_deleted_during_a_listing_are_skipped(store, pin):
    files = {file.digest: (file, content) for content in (b"a", b"b", b"c") for file in [pin("a.gguf", content)]}
    for file, content in files.values():
        put(store, file, content)
    first, second, third = sorted(files)
    listing = store.digests()
    assert next(listing) == (first, 1)
    store.blob_path(second).unlink()
    assert list(listing) == [(third, 1)]


def test_a_download_completed_during_a_listing_is_skipped(store, pin):
    put(store, pin("a.gguf", b"abc"), b"abc")
    # A name that leads nowhere: what a listing has of a part that was published before its size was asked for.
    (store.path / "incoming" / "gone.part").symlink_to("nowhere")
    (store.path / "incoming" / "here.part").write_bytes(b"ab")
    assert store.unfinished() == [(store.path / "incoming" / "here.part", 2)]
