"""Measure what hosting adds to a run: a deployed application against one in the caller's process, without a model.

    python benchmarks/hosting.py [--runs 200]

Both keep their runs in the journal of a server on this machine. Figures are processor times of all processes that take
part (the caller, the server, the application's process) and the median time of a run.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llmos.client import Client
from llmos.hosting.folder import AppFolder

KEY = "a-key-for-the-benchmark"
PROGRAM = """
from llmos.apps import App

app = App.from_folder(__file__, brain=lambda text: text.upper())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    num_runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as (url, server):
        os.environ |= {"LLMOS_ENDPOINT": url, "LLMOS_API_KEY": KEY}
        folder = Path(home) / "echo"
        folder.mkdir()
        (folder / "app.yaml").write_text("name: echo\n")
        (folder / "app.py").write_text(PROGRAM)
        with Client() as client, AppFolder.open(folder).load() as app:
            client.apps.deploy(client.apps.create(folder).version)
            for _ in range(2):
                measure("in the caller's process", num_runs, server, lambda: app.run("hello"))
                measure("deployed", num_runs, server, lambda: client.apps.run("echo", "hello"))


def measure(name: str, num_runs: int, server: int, run: Callable[[], object]) -> None:
    run()
    seconds, before = [], processor_seconds(server)
    for _ in range(num_runs):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    used = (processor_seconds(server) - before) / num_runs
    load = os.getloadavg()[0]
    median = statistics.median(seconds)
    print(f"{name:>24}: {used * 1e3:6.2f} ms of the processor, {median * 1e3:6.2f} ms; load {load:.1f}")


def processor_seconds(server: int) -> float:
    """Return the processor time of this process, the server and the processes below it."""
    parents = {}
    ticks = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid], ticks[pid] = int(fields[1]), int(fields[11]) + int(fields[12])
    counted = {server}
    while more := {pid for pid, parent in parents.items() if parent in counted} - counted:
        counted |= more
    own = os.times()
    return sum(ticks[pid] for pid in counted if pid in ticks) / os.sysconf("SC_CLK_TCK") + own.user + own.system


@contextmanager
def serving(home: Path) -> Iterator[tuple[str, int]]:
    """Run a server without a model, and yield its address and process id."""
    program = (
        "import sys; from llmos.core.config import load_settings; from llmos.gateway.opening import open_services;"
        "from llmos.gateway.app import create_app; from llmos.gateway.server import Server;"
        "from llmos.gateway.listening import listen; import asyncio;"
        "services = open_services(load_settings()); listener = listen('127.0.0.1', 0);"
        "print(listener.getsockname()[1], flush=True);"
        "asyncio.run(Server(create_app(services), services).serve(sockets=[listener]))"
    )
    environment = os.environ | {"LLMOS_HOME": str(home), "LLMOS_OWNER_KEY": KEY, "LLMOS_LOG": "off"}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
