"""The control plane's calls, with both clients: what they send, and what they make of the replies."""

from typing import Any

import pytest

from llmos.client import async_control, control
from llmos.core.errors import Conflict

MOVE = {"name": "tiny:prod", "model": "tiny", "alias": "prod", "was": None, "now": "tiny@1"}
JOB = {"id": "job-1", "kind": "pull", "state": "running", "request": {"model": "smollm2"}}
ENDED = JOB | {"state": "succeeded", "result": {"version": "smollm2@1"}, "ended_at": "2026-01-02T12:00:00Z"}


def asked(server: Any) -> list[tuple[str, str, Any]]:
    return [(each.method, each.path, each.body) for each in server.received]


def test_aliases_are_listed_moved_and_removed(connect: Any, server: Any) -> None:
    rows = server.json({"data": [MOVE]})
    server.replies(rows, server.json(MOVE), rows, rows, server.json("", status=204))
    aliases = connect().aliases
    assert [each.now for each in aliases.list("tiny")] == ["tiny@1"]
    assert aliases.set("tiny", "prod", "tiny@1", expected="tiny@2").name == "tiny:prod"
    assert aliases.history("tiny") == aliases.history("tiny", "prod")
    assert aliases.remove("tiny", "prod") is None
    path = "/llmos/v1/models/tiny/aliases"
    assert asked(server) == [
        ("GET", path, None),
        ("PUT", f"{path}/prod", {"version": "tiny@1", "expected": "tiny@2"}),
        ("GET", f"{path}/history", None),
        ("GET", f"{path}/prod/history", None),
        ("DELETE", f"{path}/prod", None),
    ]


def test_labels_are_changed_and_what_is_not_given_stays(connect: Any, server: Any) -> None:
    labels = {"description": "A tiny one", "tags": {"team": "search"}}
    server.replies(server.json(labels), server.json(labels))
    client = connect()
    assert client.labels.change("tiny@1", tags={"team": "search"}, remove_tags=["old"]).tags == {"team": "search"}
    client.labels.change("tiny", description="")
    assert asked(server) == [
        ("PATCH", "/llmos/v1/models/tiny@1/labels", {"tags": {"team": "search"}, "remove_tags": ["old"]}),
        ("PATCH", "/llmos/v1/models/tiny/labels", {"tags": {}, "remove_tags": [], "description": ""}),
    ]


def test_models_are_listed_by_tags_and_removed(connect: Any, server: Any) -> None:
    server.replies(server.json({"data": []}), server.json({"versions": ["tiny@1"], "aliases": [], "freed_bytes": 7}))
    models = connect().models
    assert models.list(tags=["approved", "team=search"]) == []
    assert models.remove("tiny").freed_bytes == 7
    assert [(method, path) for method, path, _ in asked(server)] == [
        ("GET", "/llmos/v1/models?tag=approved&tag=team%3Dsearch"),
        ("DELETE", "/llmos/v1/models/tiny"),
    ]


def test_a_job_is_started_with_the_fields_that_are_given(connect: Any, server: Any) -> None:
    server.replies(server.json(JOB))
    job = connect().jobs.start("pull", model="smollm2", name=None)
    assert (job.id, job.state, job.request) == ("job-1", "running", {"model": "smollm2"})
    assert asked(server) == [("POST", "/llmos/v1/jobs", {"kind": "pull", "model": "smollm2"})]


def test_a_job_that_has_ended_can_not_be_cancelled(connect: Any, server: Any) -> None:
    error = {"error": {"code": "conflict", "message": "job-1 has succeeded already."}}
    server.replies(server.json(error, status=409))
    with pytest.raises(Conflict, match="has succeeded already"):
        connect(max_retries=0).jobs.cancel("job-1")
    assert asked(server) == [("POST", "/llmos/v1/jobs/job-1/cancel", {})]


def test_a_job_is_followed_through_its_changes_to_its_end(connect: Any, server: Any) -> None:
    further = JOB | {"progress": [{"label": "smollm2.gguf", "num_done": 5, "num_total": 9}]}
    server.replies(*[server.json(body) for body in (JOB, JOB, further, ENDED)])
    states = [(job.state, len(job.progress)) for job in connect().jobs.follow("job-1", interval_seconds=0.001)]
    assert states == [("running", 0), ("running", 1), ("succeeded", 0)]


@pytest.mark.parametrize("name", [name for name in vars(control) if isinstance(vars(control)[name], type)])
def test_both_clients_have_the_same_nouns_with_the_same_calls(name: str) -> None:
    blocking = vars(control)[name]
    if not issubclass(blocking, control.Noun):
        return
    asynchronous = vars(async_control)[f"Async{name}"]
    assert {each for each in vars(blocking) if each[0] != "_"} == {
        each for each in vars(asynchronous) if each[0] != "_"
    }
