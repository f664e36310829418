"""Projects: created, listed and removed with all that is kept for them."""

from typing import Any

import pytest

from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.data.batches import Batches
from llmos.data.files import File, Files
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.security.authenticator import caller_of
from llmos.security.keys import Keys, NewKey
from llmos.security.limit_counts import LimitCounts, Take
from llmos.security.limits import Limits
from llmos.security.projects import Projects


def upload(files: Files, project: str) -> File:
    begun = files.begin()
    begun.write(b"{}")
    return files.finish(begun, tenant=project, purpose="batch", filename="lines.jsonl")


def test_a_project_is_created_and_listed_behind_the_installations_own(projects: Projects, keys: Keys) -> None:
    projects.create("acme", description="A shop", actor="ann")
    keys.create(NewKey(project="acme"))
    keys.revoke(keys.create(NewKey(project="acme"))[0].id)
    own, acme = projects.list()
    assert (own.name, own.num_keys, own.created_at) == ("owner", 0, None)
    assert (acme.name, acme.description, acme.num_keys, acme.created_by) == ("acme", "A shop", 1, "ann")
    assert projects.get("acme") == acme
    assert projects.get("owner") == own


@pytest.mark.parametrize("name", ["", "Acme", "a b", "a\n", "-a", "a-", "a/b", "ä", "a" * 64, "a\0"])
def test_a_name_that_could_be_misread_is_refused(projects: Projects, name: str) -> None:
    with pytest.raises(BadRequest, match="name of a project"):
        projects.create(name)
    with pytest.raises(NotFound):
        projects.get(name)


def test_a_name_is_given_once(projects: Projects) -> None:
    projects.create("acme")
    for taken in ("acme", "owner"):
        with pytest.raises(Conflict, match="already"):
            projects.create(taken)
    projects.remove("acme")
    with pytest.raises(Conflict, match="There was a project acme until 2026-11-01"):
        projects.create("acme")


def test_a_removed_project_leaves_nothing_that_works_or_was_kept(
    projects: Projects, keys: Keys, database: Database, files: Files, clock: Any
) -> None:
    responses = KeptResponses(database, files.encryption, clock=clock)
    for name in ("acme", "other"):
        projects.create(name)
    gone, kept = upload(files, "acme"), upload(files, "other")
    responses.keep("acme", KeptResponse(id="resp_1", body="{}", items="[]"))
    key, _ = keys.create(NewKey(project="acme"))
    projects.remove("acme", actor="ann")
    assert keys.get(key.id).revoked_at == clock()
    for ask in (lambda: files.get("acme", gone.id), lambda: responses.get("acme", "resp_1")):
        with pytest.raises(NotFound):
            ask()
    assert [path.name for path in files.folder.iterdir()] == [kept.id]
    for ask in (lambda: projects.get("acme"), lambda: projects.remove("acme"), lambda: keys.list("acme")):
        with pytest.raises(NotFound, match="no project 'acme'"):
            ask()
    with pytest.raises(NotFound):
        keys.create(NewKey(project="acme"))
    assert [each.name for each in projects.list()] == ["owner", "other"]


def test_a_project_stays_while_a_batch_of_it_runs(projects: Projects, database: Database, files: Files) -> None:
    projects.create("acme")
    batches = Batches(database, files)
    batch = batches.create("acme", endpoint="/v1/completions", input_file_id=upload(files, "acme").id)
    with pytest.raises(Conflict, match="1 batch of acme hasn't ended"):
        projects.remove("acme")
    batches.fail(batch.id, [])
    projects.remove("acme")


def test_the_installations_own_project_stays(projects: Projects) -> None:
    with pytest.raises(Conflict, match="can't be removed"):
        projects.remove("owner")
    with pytest.raises(BadRequest, match="takes 1,000"):
        projects.create("acme", description="x" * 1001)


def test_limits_of_a_project_reach_its_keys_and_start_anew_when_they_change(
    projects: Projects, keys: Keys, database: Database
) -> None:
    created = projects.create("acme", limits=Limits(requests_per_minute=1, output_tokens=5))
    assert created.limits == projects.get("acme").limits == Limits(requests_per_minute=1, output_tokens=5)
    key, _ = keys.create(NewKey(project="acme", limits=Limits(concurrent_requests=2)))
    assert (key.limits, key.project_limits) == (Limits(concurrent_requests=2), created.limits)
    counts = LimitCounts(database)
    take = Take(caller_of(key).allowances, 0)
    assert [each.scope for each in take.allowances] == [f"key:{key.id}", "project:acme"]
    assert [outcome is None for outcome in counts.apply([take, take])] == [True, False]
    assert projects.set_limits("acme", Limits(requests_per_minute=2)).limits == Limits(requests_per_minute=2)
    assert keys.set_limits(key.id, Limits()).limits == Limits()
    changed = Take(caller_of(keys.get(key.id)).allowances, 0)
    assert [each.scope for each in changed.allowances] == ["project:acme"]
    assert [outcome is None for outcome in counts.apply([changed] * 3)] == [True, True, False]


@pytest.mark.parametrize("value", [0, -1, 1_000_000_001])
def test_limits_that_can_not_be_counted_are_refused(projects: Projects, keys: Keys, value: int) -> None:
    wrong = Limits(tokens_per_minute=value)
    projects.create("acme")
    key, _ = keys.create(NewKey())
    for set_limits in (
        lambda: projects.create("other", limits=wrong),
        lambda: projects.set_limits("acme", wrong),
        lambda: keys.create(NewKey(limits=wrong)),
        lambda: keys.set_limits(key.id, wrong),
    ):
        with pytest.raises(BadRequest, match="`tokens_per_minute` is"):
            set_limits()
    with pytest.raises(Conflict, match="has no limits"):
        projects.set_limits("owner", Limits())
    with pytest.raises(NotFound):
        projects.set_limits("nobody", Limits())
