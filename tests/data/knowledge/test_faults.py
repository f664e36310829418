"""Adding whose process dies at any point, or that finds no room: the versions before stay, the next attempt works."""

import errno
import os
import subprocess
import sys

import pytest

from llmos.core.errors import StoreFailed
from llmos.data.knowledge.adding import sync_documents
from support.knowledge_fixtures import FakeEmbedder, vector_of

pytestmark = pytest.mark.process

PROGRAM = """
import os, sys
from pathlib import Path
from llmos.core.database import Database
from llmos.core.store import store as store_module
from llmos.data.knowledge import adding, batching, indexing, knowledge as knowledge_module, pending, preparing
from llmos.data.knowledge.knowledge import Knowledge
from llmos.data.knowledge.sources import find_documents
from support.encryption import open_test_store
from support.knowledge_fixtures import FakeEmbedder

def die(*arguments, **options):
    os._exit(9)

counts = []
def third_time(real):
    def call(*arguments):
        counts.append(1)
        return real(*arguments) if len(counts) < 3 else die()
    return call

batching.BATCH_TEXTS = preparing._NUM_WRITERS = 1
{moment}
database, home = Database(sys.argv[1]), Path(sys.argv[2])
knowledge = Knowledge(database, open_test_store(database, home)).of()
adding.sync_documents(knowledge, "faq", find_documents(home / "sources"), lambda ref: FakeEmbedder())
"""

MOMENTS = {
    "while an entry is written": "pending.write_entry = third_time(pending.write_entry)",
    "before a blob has its name": "store_module.os.replace = third_time(os.replace)",
    "before an entry is recorded": "pending.queries.keep_pending = third_time(pending.queries.keep_pending)",
    "while the index is built": "indexing.build_index = die",
    "before the version is recorded": "knowledge_module.project_queries.ensure_name = die",
    "before the record is committed": "knowledge_module.describe_action = die",
}
RESUMED = {"while the index is built", "before the version is recorded", "before the record is committed"}
"""Moments at which all texts were embedded."""

FILES = {f"part{number}.md": f"# Part {number}\n\nText of part {number}.\n" for number in range(6)}


def assert_sound(knowledge, store):
    """Assert that all versions can be searched and read, and that nothing but them is left after a collection."""
    used, scrap = set(), set()
    for version in knowledge.list():
        blobs = scrap if version.knowledge == "scrap" else used
        documents = knowledge.documents(version)
        assert len(documents) == version.num_documents
        assert len(knowledge.search(version, "part", vector_of("part"), limit=100)) == version.num_chunks
        assert all(knowledge.text(version, document.name).text for document in documents)
        blobs |= {document.entry.blob for document in documents} | {file.blob for file in version.index_files}
    knowledge.remove("scrap")
    assert {digest for digest, _ in store.digests()} == used
    incoming = store.path / "incoming"
    assert not [path.name for path in incoming.iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_process_leaves_the_versions_before(
    knowledge, store, sync, sources, embedder, database_url, tmp_path, moment
):
    before = sync({"old.md": "# Old\n\nText.\n"})
    sync({"scrap.md": "# Scrap\n\nNothing.\n"}, name="scrap")
    (tmp_path / "sources" / "old.md").unlink()
    (tmp_path / "sources" / "scrap.md").unlink()
    found = sources(FILES)
    script = PROGRAM.format(moment=MOMENTS[moment])
    command = [sys.executable, "-c", script, database_url, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    died = subprocess.run(command, check=False, env=environment)
    assert died.returncode == 9
    assert [version.ref for version in knowledge.list()] == ["faq@1", "scrap@1"]
    assert knowledge.resolve("faq") == before
    num_embedded = len(embedder.texts)
    assert sync_documents(knowledge, "faq", found, lambda ref: embedder).ref == "faq@2"
    assert_sound(knowledge, store)
    # The texts that the killed process had embedded are not embedded again.
    assert len(embedder.texts) - num_embedded <= (0 if moment in RESUMED else len(FILES) - 2)


@pytest.mark.parametrize("number", [1, 4, 8])
def test_a_full_disk_leaves_the_versions_before(knowledge, store, sync, monkeypatch, number):
    before = sync({"old.md": "# Old\n\nText.\n"})
    sync({"scrap.md": "# Scrap\n\nNothing.\n"}, name="scrap")
    real, counts = os.fsync, []

    def full(handle):
        counts.append(handle)
        if len(counts) >= number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patched:
        patched.setattr("llmos.core.disk.os.fsync", full)
        with pytest.raises(StoreFailed, match=r"disk of .* is full"):
            sync(FILES)
    assert [version.ref for version in knowledge.list()] == ["faq@1", "scrap@1"]
    assert knowledge.resolve("faq") == before
    assert sync(FILES).ref == "faq@2"
    assert_sound(knowledge, store)


def test_a_disk_that_is_full_while_entries_are_written_says_so(knowledge, sync, monkeypatch):
    def full(path, entry):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("llmos.data.knowledge.pending.write_entry", full)
        with pytest.raises(StoreFailed, match=r"disk of .* is full"):
            sync(FILES)
    assert not knowledge.list()
    assert sync(FILES).ref == "faq@1"


def test_two_that_change_a_name_at_once_wait_for_each_other(knowledge, sources, all_knowledge):
    """The second one begins while the first one embeds, and sees its version."""
    from concurrent.futures import ThreadPoolExecutor

    from llmos.data.knowledge.adding import add_documents

    waiting, threads = [], ThreadPoolExecutor(1)

    class Meanwhile(FakeEmbedder):
        def embed(self, texts, role):
            if not waiting:
                waiting.append(
                    threads.submit(
                        add_documents, all_knowledge.of(), "faq", sources({"b.md": "# B\n\nText.\n"}), lambda ref: self
                    )
                )
            return super().embed(texts, role)

    first = add_documents(knowledge, "faq", sources({"a.md": "# A\n\nText.\n"}), lambda ref: Meanwhile())
    second = waiting[0].result()
    threads.shutdown()
    assert (first.ref, second.ref) == ("faq@1", "faq@2")
    assert [document.name for document in knowledge.documents(second)] == ["a.md", "b.md"]
