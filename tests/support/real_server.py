"""The server as a user starts it: a process of its own, with the real model."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai

from support import ONE_THREAD, migrations
from support.looking import pause_thread

KEY = "the-owners-key-for-tests"

PIPE_BYTES = 1 << 20
"""The output that a shared server may write while nobody reads it. With an ordinary pipe, it would stop at 64 KiB."""


@dataclass
class Running:
    process: "subprocess.Popen[str]"
    url: str
    home: Path

    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0, timeout=120)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, headers={"x-api-key": KEY}, timeout=60)

    def replica(self, version: str = "smollm2@1") -> Any:
        replicas = self.get("/llmos/v1/deployments").json()["data"]
        return next(replica for replica in replicas if replica["version"] == version)

    def wait_until_idle(self) -> None:
        """Ask until nothing runs; the test's own patience is pytest's."""
        while (load := self.replica()["load"]) is None or load["num_running"] or load["num_waiting"]:
            pause_thread()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def start(home: Path, *arguments: str, command: str = "serve", **variables: str) -> "subprocess.Popen[str]":
    """Start a command, by default the server, with these arguments and environment variables.

    A new home gets a database with its tables.
    """
    if "LLMOS_DATABASE_URL" not in variables:
        migrations.put_database(home / "llmos.db")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMOS_")}
    return subprocess.Popen(
        [sys.executable, "-m", "llmos", command, *arguments],
        env=environ | {"LLMOS_HOME": str(home), "LLMOS_OWNER_KEY": KEY} | ONE_THREAD | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pipesize=PIPE_BYTES,
    )


def lines_until(process: "subprocess.Popen[str]", last: str) -> str:
    """Return the process's output up to a line that contains `last`. Fails if the process ends before."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if last in line:
            return said
    raise AssertionError(f"the server ended without saying {last!r}:\n{said}")


@contextlib.contextmanager
def serving(home: Path, *models: str, **variables: str) -> Iterator[Running]:
    process = start(home, *models, "--port", "0", **variables)
    try:
        said = lines_until(process, "Ready")
        address = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert address, said
        running = Running(process, address[0], home)
        yield running
        process = running.process  # A test may have started another one in its place.
    finally:
        process.kill()
        process.communicate()


def ask(server: Running, method: str, path: str, body: Any = None) -> Any:
    """Send the owner's request, and return the JSON of the reply; None for an empty one."""
    headers = {"Authorization": f"Bearer {KEY}"}
    reply = httpx.request(method, server.url + path, headers=headers, json=body, timeout=60)
    assert reply.status_code < 300, reply.text
    return reply.json() if reply.content else None
