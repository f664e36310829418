"""Content that is staged first and added later: nothing is in the store before, and nothing false afterwards."""

import pytest

from llmos.core.database import Database
from llmos.core.errors import StoreFailed
from llmos.core.store.store import Store
from support.encryption import open_test_store

CONTENT = b"rows " * 500_000  # several chunks


@pytest.fixture
def store(database_url, tmp_path):
    database = Database(database_url)
    yield open_test_store(database, tmp_path).of_project("acme")
    database.close()


def add(store, content):
    with store.scratch() as folder:
        staged = store.stage(content, folder)
        with store.publishing():
            store.add_staged(staged)
    return staged


@pytest.mark.parametrize("content", [b"", b"rows", CONTENT], ids=["nothing", "little", "much"])
def test_staged_content_becomes_a_blob_that_is_encrypted(store, content):
    with store.scratch() as folder:
        staged = store.stage(content, folder)
        assert not store.has(staged.digest, staged.size)
        assert not list(store.digests())
        with store.publishing():
            store.add_staged(staged)
    assert store.has(staged.digest, len(content))
    blob = store.blob_path(staged.digest)
    assert blob.read_bytes() == content
    assert store.is_encrypted(staged.digest)
    assert not store.verify([staged.digest])


def test_the_same_content_is_stored_once(store):
    first = add(store, CONTENT)
    with store.scratch() as folder:
        second = store.stage(CONTENT, folder)
        assert not list(folder.iterdir())
    assert (second.digest, second.path) == (first.digest, None)
    assert len(list(store.digests())) == 1


def test_content_that_is_staged_twice_at_once_is_added_twice(store):
    with store.scratch() as folder:
        staged = [store.stage(CONTENT, folder) for _ in range(2)]
        with store.publishing():
            for each in staged:
                store.add_staged(each)
    assert store.blob_path(staged[0].digest).read_bytes() == CONTENT


def test_a_blob_that_is_removed_before_its_twin_is_added_is_missed(store):
    add(store, CONTENT)
    with store.scratch() as folder:
        staged = store.stage(CONTENT, folder)
        store.collect(lambda: ())
        with store.publishing(), pytest.raises(StoreFailed, match=r"removed meanwhile. Try again"):
            store.add_staged(staged)
    assert store.has(add(store, CONTENT).digest, len(CONTENT))


def test_no_blob_is_added_whose_key_was_destroyed(store):
    with store.scratch() as folder:
        staged = store.stage(CONTENT, folder)
        add(store, CONTENT)
        store.collect(lambda: ())  # It destroys the key that both have.
        with store.publishing(), pytest.raises(StoreFailed, match=r"removed meanwhile. Try again"):
            store.add_staged(staged)
        fresh = add(store, CONTENT)  # under another key
        with store.publishing():
            store.add_staged(staged)
    assert store.blob_path(fresh.digest).read_bytes() == CONTENT


def test_a_store_without_encryption_stages_plain_files(tmp_path):
    store = Store(tmp_path / "store")
    staged = add(store, CONTENT)
    assert staged.key is None
    assert store.blob_path(staged.digest).read_bytes() == CONTENT
    assert store.blob_path(staged.digest).stat().st_mode & 0o222 == 0
