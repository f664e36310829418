"""Lan: a server on one host of `support.hosts`, nodes on others, and the real model."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from llmos.core.config import load_settings
from llmos.models import open_registry
from support import ONE_THREAD
from support.default_model import pull_stored
from support.hosts import Host
from support.looking import pause_thread
from support.real_server import KEY, lines_until

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
    variables: Mapping[str, str] = field(default_factory=dict)
    """The variables of the server's environment."""

    def home(self, name: str) -> Path:
        return self.folder / name

    def send(self, method: str, path: str, body: Any = None) -> Any:
        reply = self.http.request(method, path, json=body)
        assert reply.is_success, reply.text
        return reply.json() if reply.content else None

    def deploy(self, replicas: int, placement: str | None = "nodes") -> None:
        """Deploy it, and return when all replicas are ready where they belong."""
        self.send("PUT", HERE, {"replicas": replicas, "placement": placement})
        name = "head" if placement is None else placement.rpartition("=")[2].rstrip("!")
        allowed = {"ada", "bob"} if name == "nodes" else {name}
        self.wait_for(lambda: self.is_settled(replicas, lambda host: host in allowed))

    def is_settled(self, replicas: int, is_place: Callable[[str], bool] = lambda host: True) -> bool:
        """Return whether there are so many replicas, all ready on hosts that are places for them.

        It asks the server once: a moment later, all may differ. Replicas before a change stay until others are ready.
        """
        found = self.send("GET", HERE)["replicas"]
        are_ready = [each["state"] for each in found] == ["ready"] * replicas
        return are_ready and all(is_place(each["node"] or "head") for each in found)

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

    def restart_server(self, **variables: str) -> None:
        """Kill the server, and start it with more variables of its environment."""
        self.server.kill()
        self.server.wait()
        self.variables = {**self.variables, **variables}
        self.start_server()

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
            **self.variables,
        )
        lines_until(self.server, "LLMOS is listening")


def question(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    return {"model": "smollm2", "messages": messages, "temperature": 0, "max_tokens": 12} | fields


@contextmanager
def running_lan(hosts: Mapping[str, Host], folder: Path, model: Path) -> Iterator[Lan]:
    """Run a server with a cluster on the host `head`. `model`: a file of smollm2."""
    pull_stored(registry := open_registry(load_settings({"LLMOS_HOME": str(folder / "head")})), model)
    registry.database.close()
    address = hosts["head"].address
    made = hosts["head"].llmos("cluster", "init", "--address", address, home=folder / "head")
    assert made.wait(PATIENCE_SECONDS) == 0, made.communicate()
    headers = {"x-api-key": KEY}
    with httpx.Client(base_url=f"http://{address}:8000", headers=headers, timeout=PATIENCE_SECONDS) as http:
        lan = Lan(hosts, folder, made, http, variables=VARIABLES)
        lan.start_server()
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
