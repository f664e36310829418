"""All that knowledge keeps is encrypted under the keys of its project; nothing is ever plain on the disk."""

import pytest

from llmos.core.encryption.sealed_path import SealedPath
from llmos.core.errors import NotFound, StoreFailed
from llmos.data.knowledge import indexing, pending
from llmos.data.knowledge.adding import add_documents
from support.knowledge_fixtures import vector_of

pytestmark = pytest.mark.process

SECRET = "Xylophon"
FILES = {"a.md": f"# Notes\n\nThe word is {SECRET}.\n"}


def plain_files(folder):
    """Return the files that have the secret in them, or a part of an index that names it."""
    needles = [SECRET.encode(), SECRET.lower().encode()]
    return [path for path in folder.rglob("*") if path.is_file() and any(each in path.read_bytes() for each in needles)]


def test_no_file_of_the_store_has_a_text_at_any_moment(knowledge, sync, store, monkeypatch):
    seen = []

    def looking(real):
        def look(*arguments):
            made = real(*arguments)
            seen.append(plain_files(store.path))
            return made

        return look

    monkeypatch.setattr(pending, "write_entry", looking(pending.write_entry))
    monkeypatch.setattr(indexing, "build_index", looking(indexing.build_index))
    version = sync(FILES)
    assert seen == [[], []]
    assert plain_files(store.path) == []
    documents, files = knowledge.documents(version), version.index_files
    for blob in [*(each.entry.blob for each in documents), *(each.blob for each in files)]:
        assert blob.startswith("hmac:")
        assert isinstance(store.blob_path(blob), SealedPath)
    assert knowledge.search(version, SECRET, vector_of(SECRET))[0].place.document == "a.md"


def test_each_project_has_blobs_of_its_own(all_knowledge, knowledge, sync, embedder, sources):
    ours = sync(FILES)
    acme = all_knowledge.of("acme")
    theirs = add_documents(acme, "faq", sources(FILES), lambda ref: embedder)
    assert theirs.digest == ours.digest
    assert {each.entry.blob for each in knowledge.documents(ours)}.isdisjoint(
        each.entry.blob for each in acme.documents(theirs)
    )
    assert {each.blob for each in ours.index_files}.isdisjoint(each.blob for each in theirs.index_files)


def test_nothing_can_be_read_once_the_keys_of_the_project_are_destroyed(all_knowledge, store, embedder, sources):
    acme = all_knowledge.of("acme")
    version = add_documents(acme, "faq", sources(FILES), lambda ref: embedder)
    store._keys._encryption.ring.destroy_project("acme")
    with pytest.raises((NotFound, StoreFailed)):
        acme.text(version, "a.md")
    with pytest.raises((NotFound, StoreFailed)):
        acme.search(version, SECRET, vector_of(SECRET))


def test_a_sync_makes_a_version_again_that_was_discarded_with_lost_keys(knowledge, sync, store):
    version = sync(FILES)
    for digest, _ in list(store.digests()):
        store.blob_path(digest).unlink()
    with pytest.raises(StoreFailed, match="is missing or damaged"):
        knowledge.text(version, "a.md")
    again = sync(FILES)
    assert (again.ref, again.digest) == ("faq@2", version.digest)
    assert knowledge.search(again, SECRET, vector_of(SECRET))[0].place.document == "a.md"


def test_entries_of_attempts_that_nobody_went_on_with_are_removed(
    knowledge, sync, embedder, sources, store, monkeypatch
):
    def fail(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(indexing, "build_index", fail)
        with pytest.raises(KeyboardInterrupt):
            sync(FILES)
    assert len(list(store.digests())) == 1
    knowledge.remove(sync({"b.md": "# Other\n\nText.\n"}, name="other").ref)
    assert len(list(store.digests())) == 1  # It stays for the next attempt.
    monkeypatch.setattr(pending, "KEEP", -pending.KEEP)
    knowledge.remove(sync({"b.md": "# Other\n\nText.\n"}, name="other").ref)
    assert not list(store.digests())
