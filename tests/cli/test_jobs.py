"""llmos job, and commands that run as jobs on a server."""

import json
from functools import partial
from typing import Any

import httpx
import pytest

from llmos.client import Client
from llmos.core.config import load_settings
from llmos.core.jobs.jobs import Jobs
from llmos.models import open_registry

MODEL = {"name": "tiny", "version": "tiny@1", "family": "llama", "parameters": 7, "size_bytes": 9}


@pytest.fixture
def jobs(cli: Any) -> Jobs:
    """The jobs in this machine's database."""
    return Jobs(open_registry(load_settings()).database)


def test_jobs_of_this_machine_are_listed_without_a_server(cli: Any, jobs: Jobs) -> None:
    assert "No jobs yet" in cli("job", "list").err
    job = jobs.create("pull", {"model": "smollm2"})
    assert [each["id"] for each in json.loads(cli("job", "list", "--json").out)] == [job.id]
    assert "smollm2" in cli("job", "list").out
    assert json.loads(cli("job", "list", "--kind", "card", "--json").out) == []


def test_a_job_is_cancelled_once(cli: Any, jobs: Jobs) -> None:
    job = jobs.create("pull", {"model": "smollm2"})
    assert cli("job", "cancel", job.id).out == f"{job.id} is cancelled.\n"
    assert jobs.get(job.id).state == "cancelled"
    outcome = cli("job", "follow", job.id)
    assert (outcome.status, outcome.err) == (1, f"Error: The job {job.id} was cancelled.\n")


def test_a_job_that_does_not_exist_says_how_to_find_one(cli: Any, jobs: Jobs) -> None:
    outcome = cli("job", "follow", "job-7")
    assert (outcome.status, "llmos job list" in outcome.err) == (2, True)


class FarServer:
    """Answers for a server whose jobs have these states, one after another."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self.states = list(states)
        self.started: list[dict[str, Any]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.started.append(json.loads(request.content))
            return httpx.Response(200, json={"id": "job-1", "state": "queued"})
        if request.url.path.endswith("/catalog"):
            return httpx.Response(200, json={"object": "list", "data": []})
        if "/jobs/" not in request.url.path:
            return httpx.Response(200, json=MODEL)
        state = self.states.pop(0)
        if state.get("interrupt"):
            raise KeyboardInterrupt
        return httpx.Response(200, json={"id": "job-1", **state})


@pytest.fixture
def far(cli: Any, monkeypatch: pytest.MonkeyPatch) -> FarServer:
    server = FarServer()
    transport = httpx.MockTransport(lambda request: server.answer(request))
    monkeypatch.setattr("llmos.client.Client", partial(Client, transport=transport, max_retries=0))
    monkeypatch.setattr("llmos.client.control.sleep", lambda _: None)
    monkeypatch.setenv("LLMOS_ENDPOINT", "http://10.1.2.3:8000")
    return server


def ended(state: str, **fields: Any) -> dict[str, Any]:
    return {"state": state, "ended_at": "2026-01-02T12:00:00Z", **fields}


def test_a_pull_on_a_server_is_a_job_that_is_followed(cli: Any, far: FarServer) -> None:
    far.states += [{"state": "running"}, ended("succeeded", result=MODEL)]
    outcome = cli("pull", "tiny")
    assert (outcome.status, outcome.out) == (0, "tiny@1 is here: llama, 7 parameters, None, 9 B.\n")
    assert far.started == [{"kind": "pull", "model": "tiny"}]


def test_a_job_that_fails_is_the_commands_failure(cli: Any, far: FarServer) -> None:
    far.states += [ended("failed", error={"code": "not_found", "message": "There is no such file."})]
    outcome = cli("pull", "hf:acme/tiny")
    assert (outcome.status, outcome.err) == (2, "Error: There is no such file.\n")


def test_ctrl_c_leaves_the_job_running_and_says_how_to_follow_it(cli: Any, far: FarServer) -> None:
    far.states += [{"state": "running"}, {"interrupt": True}]
    outcome = cli("pull", "tiny")
    assert outcome.status == 130
    assert "llmos job follow job-1" in outcome.err
    assert "llmos job cancel job-1" in outcome.err
    assert len(far.started) == 1, "nothing was cancelled"


def test_a_calibration_text_is_sent_along(cli: Any, far: FarServer, tmp_path: Any, monkeypatch: Any) -> None:
    text = tmp_path / "text"
    text.write_text("Once upon a time")
    far.states += [MODEL, ended("succeeded", result=MODEL | {"was_here": True})]
    outcome = cli(
        "quantize", "tiny", "--scheme", "gptq", "--bits", "4", "--calibration", str(text), "--no-card", "--json"
    )
    assert json.loads(outcome.out)["was_here"] is True
    assert far.started == [
        {
            "kind": "quantize", "model": "tiny", "scheme": "gptq", "options": {"bits": 4},
            "calibration": "Once upon a time", "card": False,
        }
    ]  # fmt: skip
