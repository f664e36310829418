"""A cluster of three hosts: a server, and two nodes that run the real model, over links that can be cut.

The limits of time below are promises of docs/cluster.md; each is many times what it takes when nothing else runs.
"""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmos.core.config import load_settings
from llmos.models import open_registry
from support import ONE_THREAD
from support.default_model import pull_stored
from support.hosts import Host, running_hosts, why_not
from support.looking import pause_thread
from support.real_server import KEY, lines_until

pytestmark = [pytest.mark.process, pytest.mark.timing, pytest.mark.skipif(bool(why_not()), reason=why_not())]

PATIENCE_SECONDS = 60
VARIABLES = {"LLMOS_OWNER_KEY": KEY, **ONE_THREAD}
HERE = "/llmos/v1/deployments/smollm2@1"


@dataclass
class Lan:
    """The hosts, with what runs on them."""

    hosts: Mapping[str, Host]
    folder: Path
    server: "subprocess.Popen[str]"
    http: httpx.Client
    expected: str = ""
    """The answer of a replica on the head's own machine."""
    agents: "dict[str, subprocess.Popen[str]]" = field(default_factory=dict)

    def home(self, name: str) -> Path:
        return self.folder / name

    def send(self, method: str, path: str, body: Any = None) -> Any:
        reply = self.http.request(method, path, json=body)
        assert reply.is_success, reply.text
        return reply.json() if reply.content else None

    def deploy(self, replicas: int, placement: str | None = "nodes") -> None:
        """Deploy it, and return when all replicas are ready where they belong."""
        self.send("PUT", HERE, {"replicas": replicas, "placement": placement})
        name = "head" if placement is None else placement.rpartition("=")[2]
        allowed = {"ada", "bob"} if name == "nodes" else {name}
        self.wait_for(lambda: self.is_settled(replicas) and {*self.places()} <= allowed)

    def is_settled(self, replicas: int) -> bool:
        """Return whether there are so many replicas, all ready. Those before a change stay until others are."""
        return [each["state"] for each in self.send("GET", HERE)["replicas"]] == ["ready"] * replicas

    def places(self) -> list[str]:
        """Return the hosts of the replicas that are ready."""
        replicas = self.send("GET", HERE)["replicas"]
        return sorted(each["node"] or "head" for each in replicas if each["state"] == "ready")

    def wait_for(self, is_so: Any) -> None:
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < ends_at, self.send("GET", HERE)
            pause_thread()

    def answer(self, **fields: Any) -> str:
        text: str = self.send("POST", "/v1/chat/completions", question(**fields))["choices"][0]["message"]["content"]
        return text

    def join(self, name: str) -> None:
        command = self.send("POST", "/llmos/v1/nodes/tokens", {})["command"].split()
        self.start_agent(name, *command[1:], "--name", name, "--label", f"zone={name}")

    def start_agent(self, name: str, *arguments: str) -> None:
        agent = self.agents[name] = self.hosts[name].llmos(*arguments, home=self.home(name), **ONE_THREAD)
        lines_until(agent, "Connected to")

    def start_server(self) -> None:
        address = self.hosts["head"].address
        self.server = self.hosts["head"].llmos(
            "serve",
            "--host",
            address,
            "--port",
            "8000",
            "--allow-insecure-network",
            home=self.home("head"),
            **VARIABLES,
        )
        lines_until(self.server, "LLMOS is listening")


def question(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    return {"model": "smollm2", "messages": messages, "temperature": 0, "max_tokens": 12} | fields


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory, smollm2_path: Path) -> Iterator[Lan]:
    folder = tmp_path_factory.mktemp("lan")
    pull_stored(registry := open_registry(load_settings({"LLMOS_HOME": str(folder / "head")})), smollm2_path)
    registry.database.close()
    with running_hosts("head", "ada", "bob") as hosts:
        address = hosts["head"].address
        made = hosts["head"].llmos("cluster", "init", "--address", address, home=folder / "head")
        assert made.wait(PATIENCE_SECONDS) == 0, made.communicate()
        headers = {"x-api-key": KEY}
        with httpx.Client(base_url=f"http://{address}:8000", headers=headers, timeout=PATIENCE_SECONDS) as http:
            lan = Lan(hosts, folder, made, http)
            lan.start_server()
            lan.deploy(1, None)
            lan.expected = lan.answer()
            for name in ("ada", "bob"):
                lan.join(name)
            lan.wait_for(lambda: len(lan.send("GET", "/llmos/v1/nodes")["data"]) == 2)
            yield lan


@contextmanager
def streaming(lan: Lan, **fields: Any) -> Iterator[Iterator[str]]:
    """Open a long answer; yield its events, of which one has a token already."""
    body = question(stream=True, max_tokens=4000, ignore_eos=True, min_tokens=4000) | fields
    with lan.http.stream("POST", "/v1/chat/completions", json=body) as reply:
        assert reply.status_code == 200, reply.read()
        lines = (line for line in reply.iter_lines() if line)
        for line in lines:
            if '"content":"' in line and '"content":""' not in line:
                break
        yield lines


def ending(lines: Iterator[str]) -> str:
    """Return the last event of an answer."""
    last = ""
    for line in lines:
        last = line
    return last


def test_a_chat_is_answered_by_a_node_as_on_this_machine(lan: Lan) -> None:
    lan.deploy(1, "zone=ada")
    assert lan.places() == ["ada"]
    assert lan.answer() == lan.expected


def test_what_runs_where_is_in_every_list(lan: Lan) -> None:
    lan.deploy(2)
    assert lan.places() == ["ada", "bob"]
    shown = lan.hosts["head"].llmos(
        "ps", home=lan.home("head"), LLMOS_ENDPOINT=str(lan.http.base_url), LLMOS_API_KEY=KEY, COLUMNS="250"
    )
    assert re.search(r"ada, bob|bob, ada", shown.communicate()[0])
    nodes = {each["name"]: each for each in lan.send("GET", "/llmos/v1/nodes")["data"]}
    for name, node in nodes.items():
        assert (node["state"], node["address"]) == ("connected", lan.hosts[name].address)
        assert [each["version"] for each in node["replicas"]] == ["smollm2@1"]
        assert node["free_bytes"] > 0
        assert node["round_trip_ms"] > 0
    events = lan.send("GET", f"{HERE}/history")["data"]
    assert {event["data"].get("node") for event in events if event["kind"] == "ready"} >= {"ada", "bob"}
    metrics = lan.http.get("/metrics").text
    assert 'llmos_node_up{node="ada"} 1.0' in metrics
    assert 'llmos_node_replicas_ready{model_name="smollm2@1",node="bob"} 1.0' in metrics


@pytest.mark.timing
def test_a_short_break_of_the_link_is_survived(lan: Lan) -> None:
    lan.deploy(1, "ada")
    with streaming(lan) as lines:
        lan.hosts["ada"].cut()
        (mending := threading.Timer(5, lan.hosts["ada"].mend)).start()
        mending.join()
        assert ending(lines) == "data: [DONE]"
    assert lan.send("GET", HERE)["restarts"] == 0


def test_callers_hear_of_a_cut_link_and_sooner_of_a_killed_agent(lan: Lan) -> None:
    lan.deploy(2)
    with streaming(lan) as first, streaming(lan) as second:
        lan.hosts["ada"].cut()
        lan.agents["bob"].send_signal(signal.SIGKILL)
        ends: list[str] = []

        def follow(lines: Iterator[str]) -> None:
            ends.append(ending(lines))

        threads = [threading.Thread(target=follow, args=(lines,)) for lines in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    killed, cut = ends
    assert "node bob" in killed
    assert "node ada" in cut
    lan.hosts["ada"].mend()
    lan.start_agent("bob", "node")
    lan.wait_for(lambda: lan.is_settled(2))
    assert lan.answer() == lan.expected


def test_a_stopped_agent_is_replaced_and_comes_back(lan: Lan) -> None:
    lan.deploy(1, "nodes")
    [name] = lan.places()
    with streaming(lan) as lines:
        lan.agents[name].send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, lan.agents[name].pid, os.WSTOPPED)
        assert f"node {name}" in ending(lines)
    lan.wait_for(lambda: lan.is_settled(1) and name not in lan.places())
    assert lan.answer() == lan.expected
    lan.agents[name].send_signal(signal.SIGCONT)
    lan.wait_for(lambda: all(each["state"] == "connected" for each in lan.send("GET", "/llmos/v1/nodes")["data"]))


def test_a_head_that_was_killed_finds_its_nodes_again(lan: Lan) -> None:
    lan.deploy(2)
    lan.server.kill()
    lan.server.wait()
    lan.start_server()
    lan.wait_for(lambda: lan.is_settled(2))
    assert lan.answer() == lan.expected


def test_a_node_that_leaves_goes_after_its_answers(lan: Lan) -> None:
    lan.deploy(2)
    lan.send("DELETE", "/llmos/v1/nodes/bob")
    assert lan.agents["bob"].wait(PATIENCE_SECONDS) == 0
    assert not (lan.home("bob") / "node").exists()
    assert lan.answer() == lan.expected
    assert [each["name"] for each in lan.send("GET", "/llmos/v1/nodes")["data"]] == ["ada"]
