"""A server in parts, each a process of its own over one PostgreSQL: two gateways, a node and a worker."""

import asyncio
import json
import re
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmos.core.config import load_settings
from llmos.deployments.cluster.head import ClusterSettings, make_cluster
from llmos.models import open_registry
from support.databases import Databases
from support.default_model import pull_stored
from support.looking import pause_thread
from support.real_server import KEY, lines_until, start
from support.remote_models import STREAM, openai_stream, strange_provider

pytestmark = pytest.mark.process

QUESTION = {"messages": [{"role": "user", "content": "Which animal says meow?"}], "temperature": 0, "max_tokens": 12}


@dataclass
class Part:
    process: "subprocess.Popen[str]"
    url: str

    def send(self, method: str, path: str, body: Any = None, key: str = KEY) -> httpx.Response:
        return httpx.request(method, self.url + path, json=body, headers={"x-api-key": key}, timeout=120)

    def read(self, method: str, path: str, body: Any = None) -> Any:
        reply = self.send(method, path, body)
        assert reply.is_success, reply.text
        return reply.json() if reply.content else None

    def job(self, id: str) -> Any:
        while (found := self.read("GET", f"/llmos/v1/jobs/{id}"))["state"] in ("queued", "running"):
            pause_thread()
        return found


@dataclass
class Parts:
    """The gateway `first` has the node. `second` has none."""

    first: Part
    second: Part
    worker: Part
    node: "subprocess.Popen[str]"
    home: Path


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, databases: Databases, smollm2_path: Path) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("parts")
    home = folder / "home"
    with ExitStack() as ending, databases.create("postgresql", folder) as url:
        settings = load_settings({"LLMOS_HOME": str(home), "LLMOS_DATABASE_URL": url})
        pull_stored(registry := open_registry(settings), smollm2_path)
        registry.database.close()
        port = free_port()
        make_cluster(settings.cluster_path, ClusterSettings(listen="127.0.0.1", address="127.0.0.1", port=port))

        def begin(*command: str, says: str, at: Path = home) -> tuple["subprocess.Popen[str]", str]:
            process = start(at, *command[1:], command=command[0], LLMOS_DATABASE_URL=url)
            ending.callback(process.communicate)
            ending.callback(process.kill)
            return process, lines_until(process, says)

        def part(*command: str) -> Part:
            process, said = begin(*command, "--port", "0", says="Ready")
            address = re.search(r"http://127\.0\.0\.1:\d+", said)
            assert address, said
            return Part(process, address[0])

        gateway = ("serve", "--without-replicas", "--without-jobs")
        first = part(*gateway)
        joining = first.read("POST", "/llmos/v1/nodes/tokens", {})["command"].split()[1:]
        node, _ = begin(*joining, "--name", "ada", says="Connected to", at=folder / "node")
        yield Parts(first, part(*gateway), part("worker"), node, home)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def far(parts: Parts) -> Iterator[str]:
    """Make a route to a provider, at one gateway, and yield its name."""
    with strange_provider() as (url, handler):
        handler.answer = 200, STREAM, openai_stream("hello", usage={"prompt_tokens": 3, "completion_tokens": 1})
        provider = {"kind": "openai", "base_url": f"{url}/v1", "key": "k"}
        parts.first.read("PUT", "/llmos/v1/providers/far", provider)
        parts.first.read("PUT", "/llmos/v1/routes/distant", {"target": "remote:far/m"})
        yield "distant"


def test_a_gateway_without_replicas_says_where_to_deploy_the_model(parts: Parts) -> None:
    reply = parts.second.send("POST", "/v1/chat/completions", QUESTION | {"model": "smollm2"})
    assert reply.status_code == 503
    assert reply.json()["error"]["code"] == "no_node"
    assert "llmos deploy smollm2 --on nodes" in reply.json()["error"]["message"]


def test_the_gateway_of_a_node_answers_by_its_replica(parts: Parts) -> None:
    # Asleep at first: the request that wakes it must find the place where it is deployed.
    here = "/llmos/v1/deployments/smollm2@1"
    parts.second.read("PUT", here, {"min_replicas": 0, "max_replicas": 1, "placement": "nodes"})
    asked = QUESTION | {"model": "smollm2"}
    while (reply := parts.first.send("POST", "/v1/chat/completions", asked)).status_code == 503:
        assert "isn't deployed on nodes" in reply.text  # The other gateway's change is noticed within a second.
        pause_thread()
    answer = reply.json()
    assert "cat" in answer["choices"][0]["message"]["content"].lower()
    assert [each["node"] for each in parts.first.read("GET", here)["replicas"]] == ["ada"]


def test_a_batch_and_a_job_of_a_gateway_run_once_in_the_worker(parts: Parts) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": QUESTION | {"model": "smollm2"}}
    form = {"files": {"file": ("lines.jsonl", json.dumps(line))}, "data": {"purpose": "batch"}}
    headers = {"x-api-key": KEY}
    file = httpx.post(f"{parts.second.url}/v1/files", headers=headers, **form).json()["id"]  # type: ignore[arg-type]
    wanted = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = parts.second.read("POST", "/v1/batches", wanted)
    job = parts.second.read("POST", "/llmos/v1/jobs", {"kind": "pull", "model": "smollm2"})
    while (batch := parts.first.read("GET", f"/v1/batches/{batch['id']}"))["status"] != "completed":
        assert batch["status"] in ("validating", "in_progress", "finalizing"), batch
        pause_thread()
    (answered,) = parts.first.send("GET", f"/v1/files/{batch['output_file_id']}/content").text.splitlines()
    content = json.loads(answered)["response"]["body"]["choices"][0]["message"]["content"]
    assert "cat" in content.lower()
    assert (ended := parts.second.job(job["id"]))["state"] == "succeeded", ended["error"]
    (finding,) = [each for each in parts.first.read("GET", "/llmos/v1/doctor")["findings"] if each["check"] == "jobs"]
    assert finding["ok"]


def test_a_worker_answers_about_its_health_and_nothing_else(parts: Parts) -> None:
    assert parts.worker.send("GET", "/health/ready").status_code == 200
    assert b"llmos_" in parts.worker.send("GET", "/metrics").content
    refused = parts.worker.send("POST", "/v1/chat/completions", QUESTION | {"model": "smollm2"})
    assert refused.status_code == 404
    assert "llmos serve" in refused.json()["error"]["message"]


def test_a_limit_and_a_budget_are_exact_on_two_gateways(parts: Parts, far: str) -> None:
    parts.second.read("POST", "/llmos/v1/projects", {"name": "acme"})
    budget = {"project": "acme", "unit": "requests", "limit": "14", "per": "total"}
    parts.second.read("PUT", "/llmos/v1/budgets/trial", budget)
    keys = [parts.first.read("POST", "/llmos/v1/keys", {"name": each, "project": "acme"}) for each in ("a", "b")]
    parts.second.read("PUT", f"/llmos/v1/keys/{keys[0]['id']}/limits", {"requests_per_minute": 5})
    assert statuses(parts, far, keys[0]["key"]) == {200: 5, 429: 15}
    assert statuses(parts, far, keys[1]["key"]) == {200: 9, 429: 11}
    assert parts.first.read("GET", "/llmos/v1/budgets/trial")["left"] == "0"


def statuses(parts: Parts, route: str, key: str) -> Counter[int]:
    """Send twenty calls at once, half of them to each gateway, and count the statuses of the replies."""

    async def body() -> Counter[int]:
        async with httpx.AsyncClient(headers={"x-api-key": key}, timeout=120) as client:
            urls = [f"{part.url}/v1/chat/completions" for part in (parts.first, parts.second)] * 10
            replies = await asyncio.gather(*(client.post(url, json=QUESTION | {"model": route}) for url in urls))
            return Counter(reply.status_code for reply in replies)

    return asyncio.run(body())


def test_each_part_ends_with_status_0_when_it_is_told_to(parts: Parts) -> None:
    processes = [parts.first.process, parts.second.process, parts.worker.process, parts.node]
    for process in processes:
        process.terminate()
    statuses = []
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            statuses.append(process.wait(60))
    assert statuses == [0, 0, 0, 0]
