"""Deployments of the real model on the real server: asleep, awake, and after kill -9."""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.real_server import KEY, Running, serving

pytestmark = pytest.mark.process

TWIN = "/llmos/v1/deployments/twin@1"

PATIENCE_SECONDS = 60


class Owner:
    """Somebody with the key of a server, on one connection."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def send(self, method: str, path: str, body: Any = None) -> Any:
        reply = self._http.request(method, path, json=body)
        assert reply.is_success, reply.text
        return reply.json() if reply.content else None

    def answer(self) -> str:
        body = {
            "model": "twin",
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
            "temperature": 0,
            "max_tokens": 12,
        }
        text: str = self.send("POST", "/v1/chat/completions", body)["choices"][0]["message"]["content"]
        return text

    def wait_for(self, **wanted: Any) -> Any:
        """Ask until it is so, and return all that is said of it."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends_at:
            described = self.send("GET", TWIN)
            if all(described[name] == value for name, value in wanted.items()):
                return described
        raise AssertionError(f"it never came to {wanted}; it is {described}")


@contextmanager
def owner_of(running: Running) -> Iterator[Owner]:
    headers = {"x-api-key": KEY}
    with httpx.Client(base_url=running.url, headers=headers, timeout=PATIENCE_SECONDS) as http:
        yield Owner(http)


def ends_by_itself(pid: int) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], PATIENCE_SECONDS)[0])
    finally:
        os.close(handle)


def test_a_deployment_sleeps_wakes_with_its_next_request_and_answers_the_same(running: Running) -> None:
    with owner_of(running) as owner:
        asleep = owner.send("PUT", TWIN, {"min_replicas": 0, "max_replicas": 1})
        assert (asleep["state"], asleep["replicas_wanted"]) == ("asleep", 0)
        assert asleep["reason"] == "twin@1 is asleep; the next request wakes it."
        said = owner.answer()
        pid = owner.wait_for(state="ready", replicas_ready=1)["pid"]
        owner.send("POST", f"{TWIN}/sleep")
        owner.wait_for(state="asleep", replicas_ready=0)
        assert ends_by_itself(pid)
        assert owner.answer() == said
        history = owner.wait_for(state="ready") and owner.send("GET", f"{TWIN}/history")["data"]
        assert history[0]["kind"] == "deployed"
        assert "ready" in [event["kind"] for event in history]
        owner.send("DELETE", TWIN)
        assert owner.send("GET", TWIN)["wanted"] is None


def test_two_replicas_survive_a_killed_server_which_takes_their_processes_with_it(home: Path) -> None:
    with serving(home, LLMOS_THREADS="") as first, owner_of(first) as owner:
        owner.send("PUT", TWIN, {"replicas": 2})
        described = owner.wait_for(state="ready", replicas_ready=2)
        replicas = described["replicas"]
        assert sum(each["ready"]["threads"] for each in replicas) <= max(2, os.cpu_count() or 1), "they share the cores"
        said = owner.answer()
        first.process.send_signal(signal.SIGKILL)
        assert all(ends_by_itself(each["pid"]) for each in replicas), "their sockets ended"
    with serving(home) as second, owner_of(second) as owner:
        owner.wait_for(state="ready", replicas_ready=2)
        assert owner.answer() == said
        owner.send("DELETE", TWIN)
        assert second.end() == 0
