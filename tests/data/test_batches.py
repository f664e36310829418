"""Batches: each status is entered once, whenever a batch is cancelled."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.data.batches import Batch, Batches, Problem
from llmos.data.files import File, Files
from llmos.data.journal import Entry

Upload = Callable[..., File]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def batches(shared_database: Database, files: Files) -> Batches:
    return Batches(shared_database, files, clock=lambda: NOW)


@pytest.fixture
def batch(batches: Batches, upload: Upload, tenant: str) -> Batch:
    return batches.create(tenant, endpoint="/v1/completions", input_file_id=upload().id, labels={"of": "tests"})


def read(text: bytes, is_error: bool) -> Entry:
    return Entry(int(text), text, is_error)


def end(batches: Batches, batch: Batch, *entries: Entry) -> Batch:
    journal = batches.journal(batch.id, read)
    journal.write(entries)
    return batches.end(batch.id, journal)


def test_a_new_batch_is_validating(batches: Batches, batch: Batch, tenant: str) -> None:
    assert batches.get(tenant, batch.id) == batch
    assert (batch.status, batch.labels, batch.created_at) == ("validating", {"of": "tests"}, NOW)
    assert batch.expires_at == NOW + timedelta(hours=24)
    assert batch in batches.live()
    assert batches.by_status()["validating"] >= 1


def test_a_completed_batch_gives_its_files_to_its_tenant(
    batches: Batches, files: Files, batch: Batch, tenant: str
) -> None:
    assert batches.begin(batch.id, 3).status == "in_progress"
    assert batches.finalize(batch.id).status == "finalizing"
    entries = Entry(1, b"1", False, {"input_tokens": 5}), Entry(2, b"2", True), Entry(3, b"3", False)
    ended = end(batches, batch, *entries)
    assert (ended.status, ended.num_total, ended.num_completed, ended.num_failed) == ("completed", 3, 2, 1)
    assert ended.usage == {"input_tokens": 5}
    assert ended.entered == dict.fromkeys(["in_progress", "finalizing", "completed"], int(NOW.timestamp()))
    assert ended.output_file_id is not None
    assert ended.error_file_id is not None
    output = files.get(tenant, ended.output_file_id)
    assert (output.purpose, output.size, output.filename) == ("batch_output", 4, f"{batch.id}_output.jsonl")
    assert files.open(output.id).read() == b"1\n3\n"
    assert files.open(ended.error_file_id).read() == b"2\n"
    assert ended not in batches.live()
    assert batches.get(tenant, batch.id) == ended


def test_an_output_without_lines_is_not_a_file(batches: Batches, files: Files, batch: Batch, tenant: str) -> None:
    batches.begin(batch.id, 1)
    batches.finalize(batch.id)
    ended = end(batches, batch, Entry(1, b"1", False))
    assert ended.error_file_id is None
    assert {path.name for path in files.folder.iterdir()} == {batch.input_file_id, ended.output_file_id}


def test_a_running_batch_shows_its_progress(batches: Batches, batch: Batch, tenant: str) -> None:
    batches.begin(batch.id, 2)
    journal = batches.journal(batch.id, read)
    journal.write([Entry(1, b"1", False, {"input_tokens": 5})])
    half = batches.get(tenant, batch.id)
    assert (half.num_completed, half.num_total, half.usage) == (1, 2, {"input_tokens": 5})
    journal.close()


def test_a_failed_batch_has_the_reasons(batches: Batches, batch: Batch, tenant: str) -> None:
    problems = [Problem("invalid_request", "It is not valid JSON.", 1), Problem("invalid_request", "Nor is this.", 2)]
    batches.fail(batch.id, problems)
    failed = batches.get(tenant, batch.id)
    assert (failed.status, failed.problems) == ("failed", problems)


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_cancelled_batch_keeps_what_was_answered(
    batches: Batches, batch: Batch, tenant: str, has_begun: bool
) -> None:
    if has_begun:
        batches.begin(batch.id, 2)
    assert batches.cancel(tenant, batch.id).status == "cancelling"
    assert batches.cancel(tenant, batch.id).status == "cancelling", "once more changes nothing"
    assert batches.begin(batch.id, 2).status == "cancelling", "it is not begun again"
    assert batches.finalize(batch.id).status == "cancelling"
    ended = end(batches, batch, Entry(1, b"1", False))
    assert (ended.status, ended.num_completed, ended.output_file_id is not None) == ("cancelled", 1, True)
    assert batches.cancel(tenant, batch.id) == ended


def test_an_invalid_batch_that_was_cancelled_ends_as_cancelled(batches: Batches, batch: Batch, tenant: str) -> None:
    batches.cancel(tenant, batch.id)
    assert batches.fail(batch.id, []).status == "cancelled"


def test_what_has_ended_is_not_cancelled(batches: Batches, batch: Batch, tenant: str) -> None:
    batches.begin(batch.id, 0)
    batches.finalize(batch.id)
    with pytest.raises(Conflict, match="finalizing"):
        batches.cancel(tenant, batch.id)
    end(batches, batch)
    with pytest.raises(Conflict, match="completed"):
        batches.cancel(tenant, batch.id)


def test_a_batch_that_runs_out_of_time_expires(batches: Batches, batch: Batch) -> None:
    batches.begin(batch.id, 1)
    assert end(batches, batch).status == "expired"


def test_the_batch_of_another_tenant_is_not_found(batches: Batches, batch: Batch) -> None:
    for look in (batches.get, batches.cancel):
        with pytest.raises(NotFound):
            look("somebody else", batch.id)
    with pytest.raises(NotFound, match="Upload one"):
        batches.create("somebody else", endpoint="/v1/completions", input_file_id=batch.input_file_id)
    assert batches.list("somebody else").items == []


def test_the_output_of_a_batch_is_refused_as_input(batches: Batches, upload: Upload, tenant: str) -> None:
    with pytest.raises(BadRequest, match="batch_output"):
        batches.create(tenant, endpoint="/v1/completions", input_file_id=upload(purpose="batch_output").id)


def test_the_next_page_begins_after_the_last_batch(batches: Batches, upload: Upload, tenant: str) -> None:
    file = upload()
    made = [batches.create(tenant, endpoint="/v1/completions", input_file_id=file.id) for _ in range(3)]
    first = batches.list(tenant, limit=2)
    assert (first.items, first.has_more) == ([made[2], made[1]], True)
    rest = batches.list(tenant, limit=2, after=made[1].id)
    assert (rest.items, rest.has_more) == ([made[0]], False)


def test_sweeping_keeps_the_files_of_live_batches(batches: Batches, files: Files, batch: Batch) -> None:
    batches.begin(batch.id, 1)
    journal = batches.journal(batch.id, read)
    journal.close()
    before = set(files.folder.iterdir())
    batches.sweep()
    assert set(files.folder.iterdir()) == before
    batches.cancel(batch.tenant, batch.id)
    batches.fail(batch.id, [])
    batches.sweep()
    assert {path.name for path in files.folder.iterdir()} == {batch.input_file_id}
