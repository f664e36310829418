"""Retention of projects: what is too old goes, what isn't stays, and nothing is kept where nothing is to be."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.data.batches import Batches
from llmos.data.files import File, Files
from llmos.data.project_data import ProjectData
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.data.retention import Retention
from llmos.data.sweep import Sweep
from support.datasets import datasets_beside
from support.encryption import open_test_encryption


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def files(database: Database, tmp_path: Path, clock: Clock) -> Files:
    return Files(database, tmp_path / "files", open_test_encryption(database, tmp_path), clock=clock)


@pytest.fixture
def responses(database: Database, files: Files, clock: Clock) -> KeptResponses:
    return KeptResponses(database, files.encryption, clock=clock)


@pytest.fixture
def data(database: Database, files: Files, clock: Clock) -> ProjectData:
    return ProjectData(database, files, [datasets_beside(files)], clock=clock)


def upload(files: Files, project: str = "acme") -> File:
    incoming = files.begin()
    incoming.write(b"{}\n")
    return files.finish(incoming, tenant=project, purpose="batch", filename="a")


def keep(responses: KeptResponses, id: str, project: str = "acme") -> None:
    responses.keep(project, KeptResponse(id=id, body="{}", items="[]"))


def has(responses: KeptResponses, id: str, project: str = "acme") -> bool:
    try:
        responses.get(project, id)
    except NotFound:
        return False
    return True


@pytest.mark.parametrize("text", ["30", "0d", "40000d", "always", "-1d", "", "30 d"])
def test_what_is_no_retention_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="default, forever, nothing, or up to 36,500 days"):
        Retention.parse(text)


def test_days_apply_to_what_is_kept_already_and_to_what_comes(
    responses: KeptResponses, files: Files, data: ProjectData, clock: Clock
) -> None:
    keep(responses, "old")
    old = upload(files)
    clock.now += timedelta(days=3)
    keep(responses, "new")
    new, others = upload(files), upload(files, "other")
    clock.now += timedelta(days=1)
    data.set_retention("acme", "2d", "ann")
    assert data.retentions() == {"acme": "2d"}
    assert (has(responses, "old"), has(responses, "new")) == (False, True)
    assert [file.id for file in files.list("acme").items] == [new.id]
    assert not files.path(old.id).exists()
    clock.now += timedelta(days=2)
    assert Sweep(files, clock=clock).run() == 1
    assert not has(responses, "new")
    assert files.list("acme").items == []
    assert files.get("other", others.id) == others


def test_the_keys_of_what_went_are_gone(
    responses: KeptResponses, files: Files, data: ProjectData, database: Database, clock: Clock
) -> None:
    keep(responses, "old")
    upload(files)
    clock.now += timedelta(days=3)
    data.set_retention("acme", "2d", None)
    with database.session() as session:
        assert session.scalars(text("SELECT object_id FROM object_keys")).all() == []


def test_forever_outlasts_the_default(responses: KeptResponses, data: ProjectData, clock: Clock) -> None:
    data.set_retention("acme", "forever", None)
    keep(responses, "a")
    keep(responses, "b", "other")
    clock.now += timedelta(days=400)
    assert (has(responses, "a"), has(responses, "b", "other")) == (True, False)
    data.set_retention("acme", "default", None)
    assert not has(responses, "a")


def test_where_nothing_is_kept_all_goes_at_once_and_nothing_comes(
    responses: KeptResponses, files: Files, data: ProjectData, database: Database
) -> None:
    keep(responses, "a")
    file = upload(files)
    data.set_retention("acme", "nothing", None)
    assert not responses.keeps("acme")
    assert not has(responses, "a")
    keep(responses, "b")
    assert not has(responses, "b")
    assert not files.path(file.id).exists()
    with pytest.raises(Conflict, match=r"The project acme stores no data.* llmos project retention acme --default"):
        upload(files)
    with pytest.raises(Conflict, match="stores no data"):
        Batches(database, files).create("acme", endpoint="/v1/completions", input_file_id=file.id)
    assert upload(files, "other").tenant == "other"


def test_the_input_of_a_running_batch_stays_until_it_has_ended(
    files: Files, data: ProjectData, database: Database, clock: Clock
) -> None:
    file, batches = upload(files), Batches(database, files, clock=clock)
    batch = batches.create("acme", endpoint="/v1/completions", input_file_id=file.id)
    clock.now += timedelta(days=3)
    data.set_retention("acme", "2d", None)
    assert files.get("acme", file.id) == file
    batches.fail(batch.id, [])
    assert Sweep(files, clock=clock).run() == 2, "the batch and its input"
    with pytest.raises(NotFound):
        batches.get("acme", batch.id)
