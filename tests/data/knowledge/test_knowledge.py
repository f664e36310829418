"""Versions of knowledge: documents, one digest, searches, citations, aliases, labels and removal."""

import pytest

from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.data.knowledge.adding import add_documents, remove_documents
from support.knowledge_fixtures import vector_of

pytestmark = pytest.mark.process

HOURS = "# Opening hours\n\nThe shop is open from nine to five.\n\n## Sundays\n\nOn Sundays it is closed.\n"
RETURNS = "# Returns\n\nSend the parcel back within thirty days.\n"


def find(knowledge, ref, text, **options):
    return knowledge.search(knowledge.resolve(ref), text, vector_of(text), **options)


def test_a_search_finds_the_chunk_and_says_where_it_stands(knowledge, sync):
    version = sync({"hours.md": HOURS, "returns.md": RETURNS}, metadata={"lang": "en"})
    assert (version.ref, version.num_documents, version.num_chunks) == ("faq@1", 2, 3)
    best = find(knowledge, "faq", "closed on sundays")[0]
    assert best.text == "Opening hours > Sundays\n\nOn Sundays it is closed."
    assert best.place.quote == "On Sundays it is closed."
    assert (best.place.version, best.place.document, best.place.page) == ("faq@1", "hours.md", None)
    assert best.place.heading == ("Opening hours", "Sundays")
    assert best.place.digest == knowledge.document(version, "hours.md").digest
    assert best.metadata == {"lang": "en"}
    assert HOURS[best.place.start : best.place.end] == best.place.quote
    again = knowledge.passage(version, "hours.md", best.place.start, best.place.end)
    assert again == best.place
    for span in ((5, 5), (-1, 3), (0, len(HOURS) + 1)):
        with pytest.raises(BadRequest, match="has no span from"):
            knowledge.passage(version, "hours.md", *span)
    with pytest.raises(NotFound, match=r"no document 'hour.md'. Did you mean hours.md"):
        knowledge.passage(version, "hour.md", 0, 1)


def test_chinese_documents_are_found_by_words_of_two_characters(knowledge, sync):
    sync({"问答/退货.md": "# 退货\n\n三十天内可以退货。\n", "营业.md": "# 营业时间\n\n商店九点开门。\n"})
    best = find(knowledge, "faq", "退货")[0]
    assert best.place.document == "问答/退货.md"
    assert best.place.quote == "三十天内可以退货。"


def test_the_same_documents_are_the_same_version(knowledge, sync, embedder):
    first = sync({"a.md": HOURS, "b.md": RETURNS})
    assert sync({"b.md": RETURNS, "a.md": HOURS}) == first
    other = sync({"a.md": HOURS, "b.md": RETURNS}, name="copy")
    assert other.digest == first.digest
    assert len(embedder.texts) == first.num_chunks
    assert sync({"a.md": HOURS, "b.md": RETURNS}, max_tokens=100).ref == "faq@2"


def test_a_sync_embeds_only_what_is_new(knowledge, sync, embedder, store):
    sync({"a.md": HOURS, "b.md": RETURNS})
    before = len(embedder.texts)
    version = sync({"a.md": HOURS, "b.md": RETURNS + "Or sooner.\n", "c.md": "# New\n\nText.\n"})
    assert version.ref == "faq@2"
    assert len(embedder.texts) - before == 2
    assert [each.name for each in knowledge.documents(version)] == ["a.md", "b.md", "c.md"]


def test_documents_are_listed_in_parts(knowledge, sync):
    version = sync({"a.md": HOURS, "ä.md": RETURNS, "b.md": RETURNS})
    assert [each.name for each in knowledge.documents(version, limit=2)] == ["a.md", "b.md"]
    assert [each.name for each in knowledge.documents(version, after="b.md", limit=2)] == ["ä.md"]
    with pytest.raises(NotFound, match=r"has no document 'c\.md'"):
        knowledge.documents(version, after="c.md")


def test_a_removed_document_is_never_found_again_whatever_shares_its_text(knowledge, sync, embedder, sources):
    sync({"a.md": RETURNS, "b.md": HOURS})
    added = add_documents(knowledge, "faq", sources({"copy.md": RETURNS}), lambda ref: embedder)
    assert {hit.place.document for hit in find(knowledge, "faq", "parcel")} >= {"a.md", "copy.md"}
    version = remove_documents(knowledge, "faq", ["a.md"])
    assert (added.ref, version.ref) == ("faq@2", "faq@3")
    assert "a.md" not in {hit.place.document for hit in find(knowledge, "faq", "parcel", limit=100)}
    assert "copy.md" in {hit.place.document for hit in find(knowledge, "faq", "parcel", limit=100)}
    with pytest.raises(NotFound, match=r"has no document 'a\.md'"):
        remove_documents(knowledge, "faq", ["a.md"])


def test_a_version_with_an_earlier_digest_is_the_newest_one_again(knowledge, sync, embedder, sources):
    first = sync({"a.md": HOURS})
    add_documents(knowledge, "faq", sources({"b.md": RETURNS}), lambda ref: embedder)
    third = remove_documents(knowledge, "faq", ["b.md"])
    assert (third.ref, third.digest) == ("faq@3", first.digest)
    assert knowledge.resolve("faq").ref == "faq@3"
    assert knowledge.resolve(f"faq@{first.digest[:19]}").ref == "faq@3"


def test_the_last_document_can_be_removed(knowledge, sync):
    sync({"a.md": HOURS})
    version = remove_documents(knowledge, "faq", ["a.md"])
    assert (version.num_documents, version.index_files) == (0, ())
    assert find(knowledge, "faq", "sundays") == []


def test_a_version_that_is_removed_frees_what_no_other_one_uses(knowledge, sync, store):
    sync({"a.md": HOURS, "b.md": RETURNS})
    kept = {file.blob for file in knowledge.resolve("faq").index_files}
    sync({"a.md": HOURS})
    removed = knowledge.remove("faq@2")
    assert removed.versions == ("faq@2",)
    assert removed.freed_bytes > 0
    used = {each.entry.blob for each in knowledge.documents(knowledge.resolve("faq"))} | kept
    assert {digest for digest, _ in store.digests()} == used
    knowledge.aliases.set("faq", "prod", "faq@1")
    with pytest.raises(Conflict, match="The alias faq:prod points at faq@1"):
        knowledge.remove("faq@1")
    assert knowledge.remove("faq").aliases == ("prod",)
    assert not list(store.digests())
    with pytest.raises(NotFound, match=r"There is no knowledge 'faq'.*llmos knowledge add faq FILE"):
        knowledge.resolve("faq")


def test_aliases_and_labels_are_shown(knowledge, sync):
    sync({"a.md": HOURS})
    knowledge.aliases.set("faq", "prod", "faq@1")
    knowledge.labels.tag("faq@1", {"team": "search"})
    details = knowledge.show("faq:prod")
    assert (details.aliases, details.versions, details.labels.tags) == (("prod",), ("faq@1",), {"team": "search"})
    assert [version.ref for version in knowledge.list()] == ["faq@1"]


def test_another_project_does_not_see_it(all_knowledge, knowledge, sync, store):
    sync({"a.md": HOURS})
    with pytest.raises(NotFound):
        all_knowledge.of("acme").resolve("faq")
    all_knowledge.remove_project("owner")
    assert not list(store.digests())
    assert not knowledge.list()
