"""llmos serve as a process of its own, with the real model, and everything that is promised to work against it."""

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmos.client import Client

ROOT = Path(__file__).parents[2]


@pytest.fixture
def at_the_server(home: Path, served: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the served server the one that the CLI and a Client without arguments ask."""
    monkeypatch.setenv("LLMOS_HOME", str(served.home))
    monkeypatch.setenv("LLMOS_ENDPOINT", served.url)
    url: str = served.url
    return url


@pytest.mark.usefixtures("at_the_server")
def test_run_uses_the_server(cli: Any) -> None:
    outcome = cli("run", "dialogue", "Which animal says meow?", "--temperature", "0")
    assert (outcome.status, outcome.err) == (0, "")
    assert "cat" in outcome.out


@pytest.mark.usefixtures("at_the_server")
def test_the_server_and_this_process_give_the_same_answer(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["run", "smollm2", "Write a haiku about the sea.", "--temperature", "0", "--max-tokens", "30"]
    from_the_server = cli(*arguments)
    monkeypatch.delenv("LLMOS_ENDPOINT")
    monkeypatch.setattr("llmos.cli.backends.accepts_connections", lambda endpoint: False)
    assert cli(*arguments) == from_the_server


@pytest.mark.usefixtures("at_the_server")
def test_chat_uses_the_server(cli: Any) -> None:
    stdin = "Which animal says meow?\n/reset\nWhat color is the sky?\n"
    outcome = cli("chat", "smollm2", "--temperature", "0", "--max-tokens", "20", stdin=stdin)
    assert (outcome.status, outcome.err) == (0, "")
    assert "cat" in outcome.out
    assert "blue" in outcome.out


@pytest.mark.usefixtures("at_the_server")
def test_ps_shows_the_deployment(cli: Any) -> None:
    (deployment,) = json.loads(cli("ps", "--json").out)
    assert (deployment["version"], deployment["state"]) == ("smollm2@1", "ready")


@pytest.mark.usefixtures("at_the_server")
def test_a_stream_that_is_closed_leaves_nothing_running() -> None:
    with Client() as client:
        with client.models.get("smollm2").generate_text("Write a very long story.", stream=True) as stream:
            next(stream)
        # The next answer comes from the same engine; by then the first request is gone.
        client.models.get("smollm2").generate_text("Hi", max_tokens=1)
        (deployment,) = client.deployments.list()
        assert deployment.raw["load"]["num_running"] == 0


@pytest.mark.usefixtures("at_the_server")
def test_the_documented_client_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"docs/client.md, block {number + 1}", "exec"), names)
    said = capsys.readouterr().out
    assert 'The animal that says "meow" is a cat.' in said
    assert "Shorten it by" in said


def test_a_taken_port_is_one_line_that_says_what_to_do(
    cli: Any, smollm2_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOS_HOME", str(smollm2_home))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = cli("serve", "--port", str(port))
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert f"127.0.0.1:{port}" in outcome.err
    assert "--port" in outcome.err


def test_a_model_that_nobody_knows_stops_the_server_before_it_starts(cli: Any) -> None:
    outcome = cli("serve", "no-such-model", "--port", "0")
    assert outcome.status == 2
    assert "There is no model 'no-such-model'" in outcome.err


def test_a_server_without_replicas_takes_no_model(cli: Any) -> None:
    outcome = cli("serve", "smollm2", "--without-replicas", "--port", "0")
    assert outcome.status == 2
    assert "llmos deploy smollm2 --on nodes" in outcome.err


def test_sigterm_ends_the_server_with_status_0(smollm2_home: Path, serve: Any) -> None:
    with serve(smollm2_home) as served:
        assert httpx.get(f"{served.url}/health/ready", trust_env=False).status_code == 200
        served.process.send_signal(signal.SIGTERM)
        served.process.communicate(timeout=60)
        assert served.process.returncode == 0


@pytest.mark.usefixtures("at_the_server")
def test_the_serving_benchmark_times_every_number_of_clients() -> None:
    benchmark = ROOT / "benchmarks" / "serving.py"
    arguments = "--model smollm2 --clients 1,3 --requests 2 --tokens 4 --json"
    outcome = subprocess.run(
        [sys.executable, str(benchmark), *arguments.split()], capture_output=True, text=True, check=True
    )
    results = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [(each["workload"], each["requests"]) for each in results] == [("serve_1", 2), ("serve_3", 6)]
    for result in results:
        assert list(result) == [
            "engine", "workload", "clients", "requests", "tokens_per_second", "ttft_ms", "time_per_output_token_ms",
            "gap_in_steps",
        ]  # fmt: skip
        assert list(result["ttft_ms"]) == ["p50", "p90", "p99"]


@pytest.mark.usefixtures("at_the_server")
def test_the_serving_benchmark_reports_the_servers_error() -> None:
    outcome = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "serving.py"), "--model", "nothing"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("Error: There is no model 'nothing'")
    assert outcome.stderr.count("\n") == 1
