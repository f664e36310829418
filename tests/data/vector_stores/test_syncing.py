"""Syncing: files become searchable in one step, fail alone, and are never found again once they left."""

import pytest

from llmos.core.errors import Conflict, ModelNotFound, NotFound
from llmos.data.vector_stores.records import Attachment, Chunking
from llmos.data.vector_stores.syncing import sync_files
from support.knowledge_fixtures import vector_of
from support.vector_store_fixtures import PROJECT

pytestmark = pytest.mark.process

HOURS = "# Opening hours\n\nThe shop is open from nine to five. On Sundays it is closed.\n"
RETURNS = "# Returns\n\nSend the parcel back within thirty days.\n"


def found(stores, all_knowledge, store, text, **options):
    """Return the ids of the files that a search finds."""
    knowledge, files = all_knowledge.of(PROJECT), stores.searchable(PROJECT, store.id)
    version = knowledge.newest(store.id)
    hits = knowledge.search(version, text, vector_of(text), documents=list(files), **options) if files else []
    return [files[hit.place.document].file_id for hit in hits]


def test_files_are_searchable_under_their_ids(stores, all_knowledge, filled):
    store, (hours, returns) = filled({"faq.md": HOURS, "sub/faq.md": RETURNS})
    assert (store.counts.completed, store.counts.in_progress) == (2, 0)
    assert store.counts.usage_bytes > 0
    assert found(stores, all_knowledge, store, "closed on sundays")[0] == hours
    assert found(stores, all_knowledge, store, "parcel back")[0] == returns


def test_a_file_that_cannot_be_read_fails_alone_under_its_own_name(stores, all_knowledge, filled):
    store, (good, pdf, other) = filled({"a.md": HOURS, "my report.pdf": b"%PDF-1.4 x", "b.xyz": b"\x00\x01\x02" * 50})
    assert stores.file(PROJECT, store.id, good).status == "completed"
    failed = stores.file(PROJECT, store.id, pdf)
    assert (failed.status, failed.error_code, failed.is_searchable) == ("failed", "invalid_file", False)
    assert failed.error_message.startswith("my report.pdf can't be read.")
    assert stores.file(PROJECT, store.id, other).error_code == "unsupported_file"
    assert set(found(stores, all_knowledge, store, "shop")) == {good}


def test_where_no_file_can_be_read_all_of_them_say_why(stores, filled):
    store, (pdf,) = filled({"a.pdf": b"%PDF-1.4 x"})
    failed = stores.file(PROJECT, store.id, pdf)
    assert (failed.status, failed.error_code) == ("failed", "invalid_file")
    assert failed.error_message.startswith("a.pdf can't be read.")


def test_a_file_that_left_is_not_found_even_before_the_next_version(stores, all_knowledge, filled, sync):
    store, (hours, copy) = filled({"a.md": HOURS, "b.md": HOURS})
    stores.detach(PROJECT, store.id, hours)
    assert set(found(stores, all_knowledge, store, "closed on sundays")) == {copy}
    sync(store.id)
    knowledge = all_knowledge.of(PROJECT)
    assert [each.name for each in knowledge.documents(knowledge.newest(store.id))] == [f"{copy}/b.md"]
    with pytest.raises(NotFound):
        stores.detach(PROJECT, store.id, hours)


def test_a_deleted_file_leaves_every_vector_store(stores, all_knowledge, filled):
    store, (hours,) = filled({"a.md": HOURS})
    assert stores.forget_file(PROJECT, hours) == [store.id]
    assert found(stores, all_knowledge, store, "shop") == []


def test_a_file_that_the_retention_deleted_is_not_found_and_leaves_with_the_next_change(
    stores, all_knowledge, files, filled, sync
):
    store, (hours, returns) = filled({"a.md": HOURS, "b.md": RETURNS})
    files.delete(PROJECT, hours)
    assert set(found(stores, all_knowledge, store, "closed on sundays")) == {returns}
    sync(store.id)
    knowledge = all_knowledge.of(PROJECT)
    assert [each.name for each in knowledge.documents(knowledge.newest(store.id))] == [f"{returns}/b.md"]


def test_attributes_are_filtered_by_and_change_without_being_embedded_again(
    stores, all_knowledge, filled, sync, embedder
):
    store, (hours, _) = filled({"a.md": HOURS, "b.md": RETURNS})
    num_embedded = len(embedder.texts)
    changed = stores.set_attributes(PROJECT, store.id, hours, {"city": "Berlin"})
    assert (changed.status, changed.is_searchable) == ("in_progress", True)
    sync(store.id)
    assert stores.file(PROJECT, store.id, hours).status == "completed"
    assert len(embedder.texts) == num_embedded
    berlin = {"type": "eq", "key": "city", "value": "Berlin"}
    assert set(found(stores, all_knowledge, store, "shop parcel", filters=berlin)) == {hours}


def test_cancelled_files_are_not_found_and_leave_the_index(stores, all_knowledge, filled, upload, sync):
    store, _ = filled({"a.md": HOURS})
    late = upload("b.md", RETURNS)
    batch, _ = stores.attach(PROJECT, store.id, [Attachment(file_id=late)], is_batch=True)
    stores.cancel_batch(PROJECT, store.id, batch.id)
    sync(store.id)
    assert stores.file(PROJECT, store.id, late).status == "cancelled"
    assert late not in found(stores, all_knowledge, store, "parcel back")


def test_chunks_have_the_asked_size_within_what_the_model_takes(stores, all_knowledge, filled, embedder):
    long = "# Text\n\n" + "A sentence of seven words is here. " * 60
    knowledge = all_knowledge.of(PROJECT)
    store, _ = filled({"a.md": long}, chunking=Chunking(max_tokens=100, overlap_tokens=20))
    recipe = knowledge.newest(store.id).recipe
    assert (recipe.max_tokens, recipe.overlap_tokens) == (100, 20)
    store, _ = filled({"a.md": long}, chunking=Chunking(max_tokens=800, overlap_tokens=400))
    recipe = knowledge.newest(store.id).recipe
    assert (recipe.max_tokens, recipe.overlap_tokens) == (embedder.max_tokens, embedder.max_tokens // 2)


def test_without_the_model_all_files_fail_with_the_reason(stores, files, all_knowledge, upload, tmp_path):
    store, file = stores.create(PROJECT), upload("a.md", HOURS)
    stores.attach(PROJECT, store.id, [Attachment(file_id=file)], is_batch=False)

    def missing(ref):
        raise ModelNotFound("There is no model minilm. Pull it: llmos pull minilm")

    with pytest.raises(ModelNotFound):
        sync_files(
            stores, stores.get(PROJECT, store.id), files, all_knowledge.of(PROJECT), missing, tmp_path / "copies"
        )
    failed = stores.file(PROJECT, store.id, file)
    assert (failed.status, failed.error_code) == ("failed", "server_error")
    assert "llmos pull minilm" in failed.error_message


def test_no_plain_copy_of_a_file_remains(filled, tmp_path):
    filled({"a.md": HOURS, "b.pdf": b"%PDF-1.4 x"})
    assert list((tmp_path / "copies").iterdir()) == []


def test_an_expired_vector_store_loses_its_content_with_the_next_one(stores, all_knowledge, filled, clock):
    store, _ = filled({"a.md": HOURS}, expires_after_days=1)
    clock.advance(days=2)
    stores.create(PROJECT)
    assert all_knowledge.of(PROJECT).newest(store.id) is None
    assert stores.get(PROJECT, store.id).counts.total == 0
    with pytest.raises(Conflict):
        stores.get_live(PROJECT, store.id)


def test_a_removed_vector_store_has_no_knowledge(stores, all_knowledge, filled):
    store, _ = filled({"a.md": HOURS})
    stores.remove(PROJECT, store.id)
    assert all_knowledge.of(PROJECT).newest(store.id) is None
