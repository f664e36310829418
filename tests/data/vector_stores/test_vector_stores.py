"""Vector stores: lists, files in them, batches, expiry, and what other projects see."""

import pytest

from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.data.vector_stores.records import Attachment
from llmos.data.vector_stores.vector_stores import Page
from support.vector_store_fixtures import PROJECT


def attach(stores, store, *file_ids, is_batch=False, **attributes):
    attachments = [Attachment(file_id=id, attributes=attributes) for id in file_ids]
    return stores.attach(PROJECT, store.id, attachments, is_batch=is_batch)


def ids_of(part):
    return [getattr(each, "id", None) or each.file_id for each in part.items]


def test_a_vector_store_is_made_changed_and_removed(stores, clock):
    store = stores.create(PROJECT, name="FAQ", metadata={"team": "shop"}, expires_after_days=2)
    assert (store.name, store.metadata, store.counts.total) == ("FAQ", {"team": "shop"}, 0)
    clock.advance(hours=1)
    changed = stores.update(PROJECT, store.id, {"name": "Help", "fields": {}})
    assert (changed.name, changed.metadata, changed.expires_after_days) == ("Help", {}, 2)
    assert changed.last_active_at > store.last_active_at
    assert stores.get(PROJECT, store.id) == changed
    stores.remove(PROJECT, store.id)
    with pytest.raises(NotFound, match=r"There is no vector store 'vs_.*GET /v1/vector_stores"):
        stores.get(PROJECT, store.id)


def test_lists_go_forwards_and_backwards_in_both_orders(stores):
    ids = [stores.create(PROJECT, name=str(number)).id for number in range(5)]
    newest = stores.list(PROJECT, Page(limit=2))
    assert (ids_of(newest), newest.has_more) == (ids[:2:-1], True)
    assert ids_of(stores.list(PROJECT, Page(limit=2, after=ids[3]))) == [ids[2], ids[1]]
    last = stores.list(PROJECT, Page(limit=2, after=ids[1]))
    assert (ids_of(last), last.has_more) == ([ids[0]], False)
    before = stores.list(PROJECT, Page(limit=2, before=ids[0]))
    assert (ids_of(before), before.has_more) == ([ids[2], ids[1]], True)
    assert ids_of(stores.list(PROJECT, Page(newest_first=False, limit=2, after=ids[1]))) == ids[2:4]
    assert ids_of(stores.list(PROJECT, Page(newest_first=False, before=ids[2]))) == ids[:2]
    with pytest.raises(NotFound):
        stores.list(PROJECT, Page(after="vs_unknown"))


def test_another_project_sees_nothing(stores, upload):
    store, file = stores.create(PROJECT), upload("a.md", "text")
    attach(stores, store, file)
    assert stores.list("other", Page()).items == []
    for call in (stores.get, stores.searchable, stores.remove):
        with pytest.raises(NotFound):
            call("other", store.id)
    foreign = upload("b.md", "text", project="other")
    with pytest.raises(NotFound, match="There is no file"):
        attach(stores, store, foreign)
    assert stores.forget_file("other", file) == []


@pytest.mark.parametrize("bad", ["vs_\0", "", "vs_" + "x" * 100])
def test_an_id_that_cannot_exist_is_unknown(stores, bad):
    store = stores.create(PROJECT)
    for ask in (
        lambda: stores.get(PROJECT, bad), lambda: stores.file(PROJECT, store.id, bad),
        lambda: stores.batch(PROJECT, store.id, bad),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            ask()


def test_files_wait_for_the_job_and_are_listed_by_status(stores, upload):
    store, ids = stores.create(PROJECT), [upload(f"{number}.md", "text") for number in range(3)]
    batch, added = attach(stores, store, *ids[:2], is_batch=True, city="Berlin")
    attach(stores, store, ids[2])
    assert [(each.status, each.attributes) for each in added] == [("in_progress", {"city": "Berlin"})] * 2
    assert (batch.counts.in_progress, batch.counts.total) == (2, 2)
    assert stores.get(PROJECT, store.id).counts.in_progress == 3
    assert set(ids_of(stores.files(PROJECT, store.id, Page(), batch=batch.id))) == set(ids[:2])
    assert stores.files(PROJECT, store.id, Page(), status="completed").items == []
    assert stores.searchable(PROJECT, store.id) == {}


def test_a_cancelled_batch_leaves_the_other_files(stores, upload):
    store, first, second = stores.create(PROJECT), upload("a.md", "a"), upload("b.md", "b")
    batch, _ = attach(stores, store, first, is_batch=True)
    attach(stores, store, second)
    assert stores.cancel_batch(PROJECT, store.id, batch.id).counts.cancelled == 1
    assert stores.file(PROJECT, store.id, first).status == "cancelled"
    assert stores.file(PROJECT, store.id, second).status == "in_progress"


@pytest.mark.parametrize(
    ("purpose", "attributes", "error", "said"),
    [
        ("batch", {}, BadRequest, "has the purpose `batch`; a vector store takes"),
        ("assistants", {f"k{n}": n for n in range(17)}, BadRequest, "at most 16 fields"),
        ("assistants", {"k": "x" * 513}, BadRequest, "at most 512 characters"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_attached(stores, upload, purpose, attributes, error, said):
    store, good = stores.create(PROJECT), upload("a.md", "a")
    bad = upload("b.md", "b", purpose=purpose)
    with pytest.raises(error, match=said):
        stores.attach(
            PROJECT,
            store.id,
            [Attachment(file_id=good), Attachment(file_id=bad, attributes=attributes)],
            is_batch=False,
        )
    assert stores.get(PROJECT, store.id).counts.total == 0


def test_a_file_is_named_once(stores, upload):
    store, file = stores.create(PROJECT), upload("a.md", "a")
    with pytest.raises(BadRequest, match="is there twice"):
        attach(stores, store, file, file)
    attach(stores, store, file)
    attach(stores, store, file, lang="en")  # again, with attributes
    assert stores.get(PROJECT, store.id).counts.total == 1
    assert stores.file(PROJECT, store.id, file).attributes == {"lang": "en"}


def test_a_vector_store_expires_after_days_without_use(stores, upload, clock):
    store, file = stores.create(PROJECT, expires_after_days=2), upload("a.md", "a")
    clock.advance(days=1)
    stores.touch(PROJECT, store.id)
    clock.advance(days=1, hours=23)
    assert stores.get_live(PROJECT, store.id).expires_at is not None
    clock.advance(hours=2)
    with pytest.raises(Conflict, match="has expired"):
        stores.get_live(PROJECT, store.id)
    with pytest.raises(Conflict, match="has expired"):
        attach(stores, store, file)
    assert stores.get(PROJECT, store.id).has_expired(clock())


def test_files_whose_job_died_fail(stores, upload):
    store, first, second = stores.create(PROJECT), upload("a.md", "a"), upload("b.md", "b")
    attach(stores, store, first)
    stores.wait_for(PROJECT, store.id, "job-1")
    attach(stores, store, second)
    stores.end_abandoned(PROJECT, store.id, {"job-1": "running"}.get)
    assert stores.file(PROJECT, store.id, first).status == "in_progress"
    stores.end_abandoned(PROJECT, store.id, {"job-1": "cancelled"}.get)
    failed = stores.file(PROJECT, store.id, first)
    assert (failed.status, failed.error_code) == ("failed", "server_error")
    assert "Attach it again" in failed.error_message
    assert stores.file(PROJECT, store.id, second).status == "in_progress"


def test_vector_stores_go_with_their_project(stores, upload):
    store = stores.create(PROJECT)
    attach(stores, store, upload("a.md", "a"), is_batch=True)
    stores.remove_project(PROJECT)
    assert stores.list(PROJECT, Page()).items == []
