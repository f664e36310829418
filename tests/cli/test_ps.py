"""llmos ps: what the server runs, and what is said where none does."""

import json
from typing import Any

import httpx
import msgspec
import pytest

from llmos.client import Client
from llmos.core.schemas.deployments import DeploymentDescription

READY = {
    "version": "smollm2@1",
    "state": "ready",
    "reason": None,
    "replicas_ready": 2,
    "replicas_wanted": 3,
    "pid": 4711,
    "restarts": 2,
    "since": "2026-01-02T03:04:05Z",
    "error": None,
    "load": {"num_running": 3, "num_waiting": 1, "num_free_blocks": 9, "num_preemptions": 0},
    "ready": {"weight_bytes": 96_000_000, "kv_bytes": 4_000_000},
}
FAILED = {
    **READY,
    "version": "b@1",
    "state": "failed",
    "pid": None,
    "load": None,
    "ready": None,
    "reason": "No memory.",
}


@pytest.fixture
def deployments(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The deployments that the server lists."""
    deployments: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            name = request.url.path.removeprefix("/llmos/v1/deployments/").removesuffix("/sleep")
            known = [each for each in deployments if each["version"] == name]
            for each in known:
                deployments.remove(each)
            error = {"error": {"code": "not_found", "message": f"{name} doesn't run."}}
            return httpx.Response(200, json=known[0]) if known else httpx.Response(404, json=error)
        assert request.url.path == "/llmos/v1/deployments"
        return httpx.Response(200, json={"data": deployments})

    monkeypatch.setattr("llmos.client.Client", lambda: Client(transport=httpx.MockTransport(answer)))
    return deployments


def test_each_deployment_is_a_row(cli: Any, deployments: list[dict[str, Any]]) -> None:
    deployments.append(READY)
    header, row = cli("ps").out.splitlines()
    assert "reason" not in header
    for part in ("smollm2@1", "ready", "2/3", "4711", "3 running, 1 waiting", "up to 100.0 MB"):
        assert part in row


def test_a_failed_deployment_says_why(cli: Any, deployments: list[dict[str, Any]]) -> None:
    deployments += [READY, FAILED]
    assert "No memory." in cli("ps").out


def test_json_is_what_the_server_said(cli: Any, deployments: list[dict[str, Any]]) -> None:
    deployments += [READY, FAILED]
    assert msgspec.convert(json.loads(cli("ps", "--json").out), list[DeploymentDescription]) == msgspec.convert(
        [READY, FAILED], list[DeploymentDescription]
    )


def test_a_server_without_models_says_so(cli: Any, deployments: list[dict[str, Any]]) -> None:
    outcome = cli("ps")
    assert (outcome.status, outcome.out) == (0, "")
    assert "runs no models yet" in outcome.err
    assert json.loads(cli("ps", "--json").out) == []


def test_no_server_at_all_names_the_command_that_starts_one(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmos.client.blocking.sleep", lambda seconds: None)
    monkeypatch.setenv("LLMOS_ENDPOINT", "http://127.0.0.1:1")
    outcome = cli("ps")
    assert outcome.status == 1
    assert "http://127.0.0.1:1" in outcome.err
    assert "llmos serve" in outcome.err


def test_a_model_is_stopped_on_the_server(cli: Any, deployments: list[dict[str, Any]]) -> None:
    deployments += [READY, FAILED]
    assert cli("stop", "smollm2@1").out == "smollm2@1 is stopped.\n"
    assert deployments == [FAILED]


def test_what_does_not_run_cannot_be_stopped(cli: Any, deployments: list[dict[str, Any]]) -> None:
    outcome = cli("stop", "smollm2@1")
    assert (outcome.status, outcome.err) == (2, "Error: smollm2@1 doesn't run.\n")
