"""The cost of a node beside this machine: a hop, the first token, loads, and an idle agent.

    python benchmarks/cluster.py MODEL.gguf [--rounds 20]

The agent is a process of its own on loopback. Rounds of both places are interleaved, so that other work on the machine
meets both alike. CPU seconds are those of the process that is named.
"""

import argparse
import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from llmos.core.database import Database
from llmos.core.store.store import Store
from llmos.deployments.cluster.authority import (
    HEAD_NAME,
    client_context,
    make_authority,
    open_authority,
    server_context,
)
from llmos.deployments.cluster.head import ClusterHead, ClusterSettings, make_cluster
from llmos.deployments.cluster.joining import JoinToken
from llmos.deployments.cluster.nodes import Nodes
from llmos.deployments.cluster.placer import ClusterPlacer
from llmos.deployments.placing.placer import ReplicaSettings
from llmos.deployments.replicas.pool import Pool
from llmos.engine.config import EngineConfig
from llmos.engine.messages import Delta, Generate, SamplingParams

HOP_BYTES = 32 << 10
PROMPT_TOKENS = 256
IDLE_SECONDS = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hops(Path(folder), 50 * given.rounds)
        asyncio.run(replicas(Path(folder), given.model, given.rounds))


def hops(folder: Path, rounds: int) -> None:
    """Print the time of 32 KB there and back between two processes, over TCP and over mutual TLS."""
    authority = folder / "hop"
    make_authority(authority)
    for name, context in (("plain TCP", None), ("mutual TLS 1.3", client_context(authority, "head"))):
        listener = socket.create_server(("127.0.0.1", 0))
        child = os.fork()
        if not child:
            echo(listener, None if context is None else server_context(authority, "head", requires_certificate=True))
            os._exit(0)
        with socket.create_connection(listener.getsockname()) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = plain if context is None else context.wrap_socket(plain, server_hostname=HEAD_NAME)
            times = []
            for _ in range(rounds):
                began = time.perf_counter()
                connection.sendall(bytes(HOP_BYTES))
                receive(connection, HOP_BYTES)
                times.append(1e6 * (time.perf_counter() - began))
            connection.close()
        os.waitpid(child, 0)
        show(f"32 KB there and back, {name}", times, "µs")


def echo(listener: socket.socket, context: Any) -> None:
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is not None:
        connection = context.wrap_socket(connection, server_side=True)
    while receive(connection, HOP_BYTES):
        connection.sendall(bytes(HOP_BYTES))


def receive(connection: socket.socket, num_bytes: int) -> int:
    done = 0
    while done < num_bytes and (data := connection.recv(num_bytes - done)):
        done += len(data)
    return done


async def replicas(folder: Path, model: Path, rounds: int) -> None:
    store, cluster = Store(folder / "store"), folder / "cluster"
    digest, _ = store.add(model.resolve())
    files = {"model.gguf": store.blob_path(digest)}
    database = Database(f"sqlite:///{folder / 'llmos.db'}")
    database.upgrade()
    make_cluster(cluster, ClusterSettings(listen="127.0.0.1", address="127.0.0.1", port=1))
    head = ClusterHead(cluster, nodes := Nodes(database), store)
    pool = Pool(placer=ClusterPlacer(head, store))
    await head.start(port=0)
    with agent(folder, head, nodes) as process:
        try:
            while not head.nodes:
                await asyncio.sleep(0.1)
            here = ReplicaSettings(config=EngineConfig(threads=1))
            there = replace(here, placement="nodes")
            await loads(pool, head, files, there, rounds=3)
            await idle(process)
            await first_tokens(pool, files, here, there, rounds)
        finally:
            await pool.close(drain=False)
            await head.close()
            database.close()


@contextmanager
def agent(folder: Path, head: ClusterHead, nodes: Nodes) -> Iterator["subprocess.Popen[bytes]"]:
    made = nodes.make_token()
    token = JoinToken(made.id, made.secret, open_authority(folder / "cluster").fingerprint)
    command = [sys.executable, "-m", "llmos", "node", "--join", f"127.0.0.1:{head.port}", "--token", str(token)]
    process = subprocess.Popen(
        [*command, "--name", "there"], env=os.environ | {"LLMOS_HOME": str(folder / "node")}, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


async def loads(pool: Pool, head: ClusterHead, files: dict[str, Path], there: ReplicaSettings, rounds: int) -> None:
    for number in range(rounds):
        began = time.perf_counter()
        pool.scale("m@1", files, 1, there)
        await pool.ensure("m@1", files, wait=True)
        [worker] = head.nodes["there"].workers.values()
        seconds = time.perf_counter() - began
        print(f"load {number + 1} on the node: {seconds:.2f} s, {worker.num_fetched_bytes:,} bytes sent")
        await pool.stop("m@1")
    began = time.perf_counter()
    pool.scale("m@2", files, 1, replace(there, placement=None))
    await pool.ensure("m@2", files, wait=True)
    print(f"a load here: {time.perf_counter() - began:.2f} s")


async def idle(process: "subprocess.Popen[bytes]") -> None:
    before = cpu_seconds(process.pid)
    await asyncio.sleep(IDLE_SECONDS)
    share = (cpu_seconds(process.pid) - before) / IDLE_SECONDS
    print(f"the agent, idle: {100 * share:.2f} % of a core, {resident_megabytes(process.pid):.0f} MB")


async def first_tokens(
    pool: Pool, files: dict[str, Path], here: ReplicaSettings, there: ReplicaSettings, rounds: int
) -> None:
    for version, settings in (("here@1", here), ("there@1", there)):
        pool.scale(version, files, 1, settings)
        await pool.ensure(version, files, wait=True)
    times: dict[str, list[float]] = {"here@1": [], "there@1": []}
    generator = random.Random(0)
    for number in range(rounds):
        for version in sorted(times, reverse=bool(number % 2)):
            tokens = [generator.randrange(100, 40_000) for _ in range(PROMPT_TOKENS)]
            times[version].append(1000 * await first_token(pool, version, files, tokens, number))
    for version, values in times.items():
        show(f"first token of {PROMPT_TOKENS} tokens, {version}", values, "ms")
    ratios = [there / here for here, there in zip(times["here@1"], times["there@1"], strict=True)]
    show("there / here, pairwise", ratios, "")


async def first_token(pool: Pool, version: str, files: dict[str, Path], tokens: list[int], number: int) -> float:
    request = Generate(id=f"{version}{number}", tokens=tokens, sampling=SamplingParams(max_tokens=1, temperature=0))
    began, taken = time.perf_counter(), 0.0
    async for event in pool.generate(version, files, request):
        if isinstance(event, Delta) and not taken:
            taken = time.perf_counter() - began
    return taken


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def show(what: str, values: Sequence[float], unit: str) -> None:
    low, median, high = (f"{each:.3g}" for each in statistics.quantiles(values, n=4))
    print(f"{what}: {median} {unit} (quartiles {low} to {high}, {len(values)} rounds)")


if __name__ == "__main__":
    main()
