"""The server's part of apps.py --journal: journalled runs over HTTP, and turns of short and of long sessions.

It imports the server, so apps.py imports it last: the memory of a process counts for those that it starts.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llmos.core.config import load_settings
from llmos.core.ids import new_id
from llmos.data.apps.journal import Entry
from llmos.data.apps.runs import AppRuns, End, Lease, NewRun
from llmos.data.apps.sessions import AppSessions, Window
from llmos.gateway.opening import open_services

Measure = Callable[[str, str, str], dict[str, float]]
"""measure(python, imports, setup): the figures of one process."""

LLMOS_JOURNALLED = (
    "import llmos.apps",
    """
from llmos.apps import App
from llmos.client import AsyncClient
app = App("bench", brain=lambda order: answer(order), connect=lambda: AsyncClient("ENDPOINT", api_key="KEY"))

@app.step
def order_status(order_id: str) -> str:
    return "shipped"

def answer(order):
    return order_status("A") + order_status("B")

def run():
    for _ in range(10):
        assert app.run("Where?").text
""",
)

SERVER = """
import asyncio, os
from llmos.core.config import load_settings
from llmos.gateway.app import create_app
from llmos.gateway.listening import listen
from llmos.gateway.opening import open_services
from llmos.gateway.server import Server
services, listener = open_services(load_settings(os.environ)), listen("127.0.0.1", 0)
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
asyncio.run(Server(create_app(services), services).serve(sockets=[listener]))
"""
KEY = "the-key-of-the-benchmark-of-applications"
LEASE = Lease(lease="0123456789abcdef", seconds=30)


def measure_journal(measure: Measure, num_rounds: int) -> None:
    """Print the processor time of a journalled run, in the client's process and in the server's."""
    client, server, num_runs = [], [], 300
    with serving() as (process, url):
        program = LLMOS_JOURNALLED[0], LLMOS_JOURNALLED[1].replace("ENDPOINT", url).replace("KEY", KEY)
        measure(sys.executable, *program)
        for _ in range(num_rounds):
            before = processor_ms(process.pid)
            client.append(measure(sys.executable, *program)["run_ms"] / 10)
            server.append((processor_ms(process.pid) - before) / num_runs)
    print(f"journalled run, client: {described(client)} ms; server: {described(server)} ms for its two requests")


def measure_sessions(num_rounds: int) -> None:
    """Print what a turn costs in a short session and in a long one."""
    with tempfile.TemporaryDirectory(prefix="llmos-benchmark-") as home:
        services = open_services(load_settings({"LLMOS_HOME": home}))
        runs, sessions = services.data.app_runs, services.data.app_sessions
        ids = {num: sessions.open("owner", "bench", f"of {num}").id for num in (10, 1000)}
        for num, id in ids.items():
            for _ in range(num):
                sessions.append("owner", id, [user(), answer()])
        times: dict[int, list[float]] = {num: [] for num in ids}
        for _ in range(num_rounds):
            for num, id in ids.items():
                num_turns = sessions.get("owner", id).num_turns
                sessions.set_window("owner", id, Window(first_turn=num_turns - 10))
                before = time.process_time()
                for _ in range(10):
                    take_turn(runs, sessions, id)
                times[num].append((time.process_time() - before) * 100)
    for num, each in times.items():
        print(f"a turn in a session of {num:,} turns: {described(each)} ms")


def take_turn(runs: AppRuns, sessions: AppSessions, id: str) -> None:
    run = NewRun(id=new_id("run"), lease=LEASE.lease, lease_seconds=30, app="bench", session_id=id, input=user())
    runs.begin("owner", run)
    sessions.turns("owner", id, limit=10)
    function = {"name": "order_status", "arguments": "{}"}
    calling = answer("") | {"tool_calls": [{"id": "a", "type": "function", "function": function}]}
    result = {"role": "tool", "tool_call_id": "a", "content": "shipped"}
    steps = [entry("m1", "model", calling), entry("t1", "tool", result)]
    runs.write("owner", run.id, LEASE, steps)
    runs.write("owner", run.id, LEASE, [entry("m2", "model", answer())], End(state="succeeded", output="Done"))


def user() -> dict[str, object]:
    return {"role": "user", "content": "Where is AB123456?"}


def answer(text: str = "It is on its way.") -> dict[str, object]:
    return {"role": "assistant", "content": text}


def entry(key: str, kind: str, result: object) -> Entry:
    return Entry(key=key, kind=kind, name="bench", state="done", result=result)


@contextmanager
def serving() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Yield a server on SQLite without a model, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="llmos-benchmark-") as home:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMOS_")}
        environ |= {"LLMOS_HOME": home, "LLMOS_OWNER_KEY": KEY}
        command = [sys.executable, "-c", SERVER]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            address = re.search(r"http://\S+", process.stdout.readline())
            assert address is not None, "the server says where it listens"
            try:
                yield process, address[0]
            finally:
                process.terminate()


def processor_ms(pid: int) -> float:
    """Return the processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1000


def described(figures: list[float]) -> str:
    """Return the median, and the lowest and the highest figure."""
    return f"{statistics.median(figures):.2f} ({min(figures):.2f}–{max(figures):.2f})"
