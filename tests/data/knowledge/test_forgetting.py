"""Forgetting a person: their documents are gone from every version, and what is left is searched as before."""

import pytest

from llmos.core.errors import NotFound
from llmos.data.knowledge.adding import add_documents, sync_documents
from llmos.data.knowledge.forgetting import forget_documents
from support.knowledge_fixtures import vector_of

pytestmark = pytest.mark.process

FILES = {"ann.md": "# Ann\n\nAnn likes tea.\n", "all.md": "# All\n\nEverybody likes tea.\n"}


@pytest.fixture
def two_versions(knowledge, embedder, sources):
    ann, everybody = sources(FILES)
    about_ann = sources({"ann.md": FILES["ann.md"]}, subject="hash of ann")
    sync_documents(knowledge, "faq", [*about_ann, everybody], lambda ref: embedder)
    add_documents(knowledge, "faq", sources({"new.md": "# New\n\nMore tea.\n"}), lambda ref: embedder)
    return ann


def found(knowledge, ref):
    return {hit.place.document for hit in knowledge.search(knowledge.resolve(ref), "tea", vector_of("tea"), limit=100)}


def test_the_documents_are_gone_from_every_version(all_knowledge, knowledge, two_versions, store):
    before = knowledge.resolve("faq@1")
    entry = knowledge.document(before, "ann.md").entry.blob
    assert found(knowledge, "faq@1") == {"ann.md", "all.md"}
    assert forget_documents(all_knowledge, "owner", "hash of ann") == {"faq@1": 1, "faq@2": 1}
    version = knowledge.resolve("faq@1")
    assert (version.digest, version.num_documents, version.num_chunks) == (before.digest, 1, 1)
    assert version.report == {"erased": 1}
    assert found(knowledge, "faq@1") == {"all.md"}
    assert found(knowledge, "faq@2") == {"all.md", "new.md"}
    with pytest.raises(NotFound):
        knowledge.passage(version, "ann.md", 0, 5)
    used = {each.entry.blob for ref in ("faq@1", "faq@2") for each in knowledge.documents(knowledge.resolve(ref))}
    used |= {file.blob for ref in ("faq@1", "faq@2") for file in knowledge.resolve(ref).index_files}
    assert {digest for digest, _ in store.digests()} == used
    assert entry not in used
    assert forget_documents(all_knowledge, "owner", "hash of ann") == {}


def test_the_same_documents_without_the_person_are_a_new_version_afterwards(
    all_knowledge, knowledge, embedder, two_versions, sources
):
    forget_documents(all_knowledge, "owner", "hash of ann")
    again = add_documents(knowledge, "faq", [two_versions], lambda ref: embedder)
    assert again.ref == "faq@3"
    assert found(knowledge, "faq") == {"ann.md", "all.md", "new.md"}


def test_other_persons_and_projects_keep_theirs(all_knowledge, two_versions, knowledge):
    assert forget_documents(all_knowledge, "owner", "hash of bob") == {}
    assert forget_documents(all_knowledge, "acme", "hash of ann") == {}
    assert found(knowledge, "faq@1") == {"ann.md", "all.md"}


def test_a_version_of_one_person_is_empty_afterwards(all_knowledge, knowledge, embedder, sources):
    sync_documents(knowledge, "ann", sources({"a.md": FILES["ann.md"]}, subject="x"), lambda ref: embedder)
    assert forget_documents(all_knowledge, "owner", "x") == {"ann@1": 1}
    assert found(knowledge, "ann") == set()


def test_a_search_that_began_before_finds_nothing_of_them(all_knowledge, knowledge, two_versions, monkeypatch):
    version = knowledge.resolve("faq@1")
    with knowledge._opened_index(version) as index:
        monkeypatch.setattr("llmos.data.knowledge.knowledge.open_index", lambda files: index)
        forget_documents(all_knowledge, "owner", "hash of ann")
        hits = knowledge.search(version, "tea", vector_of("tea"), limit=100)
    assert {hit.place.document for hit in hits} == {"all.md"}
