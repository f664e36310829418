"""Soak test: load a server fully for a long time, kill its replicas, and check afterwards that nothing was lost.

    python benchmarks/soak.py [--minutes 30] [--model smollm2] [--json]

Many clients call a real `llmos serve` with a home of its own: random prompts of every length and format, plain and
streamed. Some hang up in the middle, some before the first token, some send invalid requests. From time to time a burst
exceeds the server's queue, and the model's process is killed or stopped. Then the server is drained, and these must
hold:

    accounts   every accepted call was answered, failed or cancelled, and the clients counted the same
    restarts   at most one for each fault
    blocks     every block of the KV cache is free again, whether or not it holds a prefix
    memory     doesn't grow from the first half of the time to the second, in the server and in the model's process
    latency    of accepted calls is bounded, however many were rejected
    ending     SIGTERM ends the server with status 0

The exit status is 1 if one of these does not hold.
"""

import argparse
import asyncio
import json
import math
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from llmos.core.config import load_settings
from llmos.models import open_registry
from served import KEY, start

MODEL = "soaked"
USERS = ["", "ann", "bob", "eve"]
SHARED_PREFIX = "You are a patient teacher who explains operating systems to beginners, step by step. " * 12
FAULTS = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}


@dataclass
class Clients:
    """The results that the clients saw."""

    sent: int = 0
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """By error code."""
    rejected: int = 0
    left: int = 0
    """Calls whose client hung up. The server may have answered, failed, rejected, cancelled or never read them."""
    surprises: Counter[str] = field(default_factory=Counter)
    """Results that must never occur, such as a connection that the server closes."""
    first_token_seconds: list[float] = field(default_factory=list)
    total_seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Sample:
    seconds: float
    server_bytes: int
    pid: int | None
    replica_bytes: int
    num_used_blocks: int
    process_seconds: float
    """Time for which this replica had been sampled."""


class Server:
    """`llmos serve` on a free port, with a model in a home of its own."""

    def __init__(self, home: Path, model: str, options: argparse.Namespace) -> None:
        source = open_registry(load_settings())
        [path] = source.files(source.resolve(model)).values()
        settings = {
            "LLMOS_MAX_QUEUED": str(options.max_queued),
            "LLMOS_STUCK_SECONDS": str(options.stuck_seconds),
            "LLMOS_THREADS": options.threads,
        }
        server = start(home, path, [MODEL], settings)
        self.process, self.log = server.process, server.log
        self.http = httpx.AsyncClient(
            base_url=server.url,
            headers={"authorization": f"Bearer {KEY}"},
            timeout=httpx.Timeout(300),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )

    async def deployment(self) -> dict[str, Any]:
        [deployment] = (await self.http.get("/llmos/v1/deployments")).json()["data"]
        return dict(deployment)

    async def metrics(self) -> dict[str, float]:
        lines = (await self.http.get("/metrics")).text.splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    async def calls(self) -> dict[str, int]:
        metrics = await self.metrics()
        version = f'version="{MODEL}@1"'
        names = {name: f"llmos_calls_{name}_total{{{version}}}" for name in ("accepted", "rejected")}
        names["running"] = f"llmos_calls_running{{{version}}}"
        for outcome in ("answered", "failed", "cancelled"):
            names[outcome] = f'llmos_calls_ended_total{{outcome="{outcome}",{version}}}'
        return {name: int(metrics.get(full, 0)) for name, full in names.items()}

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Load:
    """The clients, the bursts and the faults, until stop() is called."""

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        self.seen = Clients()
        self.faults: Counter[str] = Counter()
        self.samples: list[Sample] = []
        self.context_length = 0
        self._server, self._options = server, options
        self._random = random.Random(options.seed)
        self._began = time.monotonic()
        self._stopping = asyncio.Event()

    async def run(self, seconds: float) -> None:
        self.context_length = (await self._server.deployment())["ready"]["context_length"]
        tasks = [asyncio.create_task(self._client()) for _ in range(self._options.clients)]
        tasks += [
            asyncio.create_task(self._now_and_then(20, 40, self._burst)),
            # A process that lived a minute is restarted at once; after early and frequent deaths there is a delay.
            asyncio.create_task(self._now_and_then(65, 100, self._break_something)),
            asyncio.create_task(self._now_and_then(2, 2, self._sample)),
            asyncio.create_task(self._now_and_then(10, 10, self._tell)),
        ]
        await asyncio.sleep(seconds)
        self._stopping.set()
        await asyncio.gather(*tasks)
        await self._ask_until_answered()

    async def _ask_until_answered(self) -> None:
        """Call until one is answered: after a recent fault, the new process has not reported its free blocks yet."""
        num_answered, tries = self.seen.answered, 0
        while self.seen.answered == num_answered and (tries := tries + 1) < 100:
            await self._ask(
                "/v1/completions", {"model": MODEL, "prompt": "Once", "max_tokens": 1, "stream": True}, None
            )
            await asyncio.sleep(0.2)

    async def _now_and_then(self, least: float, most: float, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await asyncio.wait_for(self._stopping.wait(), self._random.uniform(least, most))
                return
            except TimeoutError:
                await act()

    async def _client(self) -> None:
        while not self._stopping.is_set():
            await self._ask(*self._request())

    async def _burst(self) -> None:
        short = {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 4, "user": "flood", "stream": True}
        await asyncio.gather(*(self._ask("/v1/completions", short, None) for _ in range(self._options.burst)))

    async def _break_something(self) -> None:
        pid = (await self._server.deployment())["pid"]
        if pid is not None:
            name = self._random.choice(list(FAULTS))
            os.kill(pid, FAULTS[name])
            self.faults[name] += 1

    def _request(self) -> tuple[str, dict[str, Any], float | None]:
        """Return a path, a body and when to hang up: None for never, below 1 in seconds, else in events."""
        chance = self._random
        body: dict[str, Any] = {
            "model": MODEL, "max_tokens": self._spread(1, 200), "temperature": chance.choice([0, 0.8]),
            "user": chance.choice(USERS), "priority": chance.choice([0, 0, 0, 5, -5]), "stream": chance.random() < 0.7,
        }  # fmt: skip
        path = chance.choice(["/v1/completions", "/v1/chat/completions", "/llmos/v1/generate"])
        if path == "/v1/completions":
            body |= {"prompt": [chance.randrange(1000, 40_000) for _ in range(self._spread(1, 1500))]}
            body |= {"n": chance.choice([1, 1, 1, 3])}
            if chance.random() < 0.02:
                body["prompt"] = [1000] * (self.context_length + 1)
        else:
            question = f"{SHARED_PREFIX}What is the number {chance.randrange(1_000_000)} good for?"
            body |= {"prompt": question} if path.startswith("/llmos") else {"messages": _conversation(question)}
            if chance.random() < 0.02:
                body["temperature"] = 77
        leaves = chance.random()
        if leaves < 0.08:
            return path, body, chance.random() * 0.5
        if leaves < 0.2:
            return path, body | {"stream": True, "max_tokens": 200}, chance.randrange(1, 60)
        return path, body, None

    def _spread(self, least: int, most: int) -> int:
        """Return a random number, uniform in its logarithm."""
        return round(math.exp(self._random.uniform(math.log(least), math.log(most))))

    async def _ask(self, path: str, body: dict[str, Any], hang_up: float | None) -> None:
        self.seen.sent += 1
        try:
            async with asyncio.timeout(hang_up if hang_up is not None and hang_up < 1 else None):
                await self._listen(path, body, hang_up if hang_up is not None and hang_up >= 1 else math.inf)
        except TimeoutError:
            self.seen.left += 1
        except httpx.HTTPError as error:
            self.seen.surprises[repr(error)] += 1

    async def _listen(self, path: str, body: dict[str, Any], most_events: float) -> None:
        seen, began, first = self.seen, time.monotonic(), 0.0
        num_events, last = 0, b""
        async with self._server.http.stream("POST", path, json=body) as reply:
            if reply.status_code != 200:
                self._refused(reply, await reply.aread())
                return
            async for chunk in reply.aiter_bytes():
                first = first or time.monotonic()
                num_events += chunk.count(b"data: ")
                last = (last + chunk)[-4000:]
                if num_events >= most_events:
                    seen.left += 1
                    return
        if body["stream"] and not last.endswith(b"data: [DONE]\n\n"):
            error = re.search(rb'"code":"(\w+)"', last)
            (seen.failed if error else seen.surprises)[error[1].decode() if error else "a torn stream"] += 1
            return
        seen.answered += 1
        seen.total_seconds.append(time.monotonic() - began)
        if body["stream"]:
            seen.first_token_seconds.append(first - began)

    def _refused(self, reply: httpx.Response, body: bytes) -> None:
        code = json.loads(body)["error"]["code"]
        if reply.status_code == 429 and int(reply.headers["retry-after"]) >= 1:
            self.seen.rejected += 1
        elif code == "internal_error":
            self.seen.surprises[body.decode()] += 1
        else:
            self.seen.failed[code] += 1

    async def _sample(self) -> None:
        deployment = await self._server.deployment()
        pid, load, ready = deployment["pid"], deployment["load"], deployment["ready"]
        seconds = time.monotonic() - self._began
        previous = self.samples[-1] if self.samples and self.samples[-1].pid == pid else None
        self.samples.append(
            Sample(
                seconds=seconds,
                server_bytes=_anonymous_bytes(self._server.process.pid),
                pid=pid,
                replica_bytes=_anonymous_bytes(pid) if pid else 0,
                num_used_blocks=_num_used_blocks(load, ready) if load and ready else 0,
                process_seconds=previous.process_seconds + seconds - previous.seconds if previous else 0.0,
            )
        )

    async def _tell(self) -> None:
        seen, calls = self.seen, await self._server.calls()
        last = self.samples[-1] if self.samples else None
        print(
            f"\r{time.monotonic() - self._began:6.0f} s  sent {seen.sent}  answered {seen.answered}  "
            f"failed {seen.failed.total()}  refused {seen.rejected}  left {seen.left}  running {calls['running']}  "
            f"faults {self.faults.total()}  memory {_mib(last.server_bytes) if last else '-'} + "
            f"{_mib(last.replica_bytes) if last else '-'}   ",
            end="",
            file=sys.stderr,
            flush=True,
        )


def _num_used_blocks(load: dict[str, int], ready: dict[str, int]) -> int:
    """Return how many blocks are in use or hold a prefix."""
    return ready["num_blocks"] - load["num_free_blocks"] + load["num_cached_blocks"]


def _conversation(question: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]


def _anonymous_bytes(pid: int) -> int:
    """Return the process's anonymous memory, without mapped files, which may be cached or not."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has just exited
        return 0
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _mib(num_bytes: float) -> str:
    return f"{num_bytes / 2**20:.0f} MiB"


@dataclass(frozen=True)
class Check:
    name: str
    holds: bool
    says: str


async def drained(server: Server) -> tuple[dict[str, Any], dict[str, int]]:
    """Wait until nothing runs, for a minute at most; return the deployment and the server's counts."""
    for _ in range(120):
        deployment, calls = await server.deployment(), await server.calls()
        load = deployment["load"]
        if not calls["running"] and load and not load["num_running"] and not load["num_waiting"]:
            break
        await asyncio.sleep(0.5)
    return deployment, calls


def check_accounts(seen: Clients, calls: dict[str, int]) -> list[Check]:
    ended = calls["answered"] + calls["failed"] + calls["cancelled"]

    def agrees(name: str, by_server: int, by_clients: int) -> Check:
        # A client that hung up doesn't know the outcome of its call.
        says = f"server {by_server}, clients {by_clients} and {seen.left} that hung up"
        return Check(name, by_clients <= by_server <= by_clients + seen.left, says)

    return [
        Check(
            "accepted = answered + failed + cancelled",
            calls["accepted"] == ended and not calls["running"],
            f"{calls['accepted']} = {calls['answered']} + {calls['failed']} + {calls['cancelled']}, "
            f"{calls['running']} running",
        ),
        agrees("answered", calls["answered"], seen.answered),
        agrees("failed", calls["failed"], seen.failed.total()),
        agrees("refused", calls["rejected"], seen.rejected),
        Check("cancelled", calls["cancelled"] <= seen.left, f"server {calls['cancelled']}, {seen.left} hung up"),
        agrees("all", calls["accepted"] + calls["rejected"], seen.sent - seen.left),
        Check("no surprises", not seen.surprises, ", ".join(f"{n} x {what}" for what, n in seen.surprises.items())),
    ]


def check_blocks(deployment: dict[str, Any]) -> Check:
    load, ready = deployment["load"], deployment["ready"]
    free, cached, total = load["num_free_blocks"], load["num_cached_blocks"], ready["num_blocks"]
    says = f"{free} of {total} are free, of which {cached} hold prefixes"
    return Check("blocks", free == total and cached <= free, says)


def check_restarts(deployment: dict[str, Any], num_faults: int) -> Check:
    """Every restart must follow one of our faults. Two faults of one process cause one restart."""
    restarts = deployment["restarts"]
    return Check("restarts", restarts <= num_faults, f"{restarts} after {num_faults} faults")


def check_memory(samples: Sequence[Sample], block_bytes: float) -> list[Check]:
    """Check that memory doesn't grow, apart from the KV cache, whose blocks become resident on first use."""
    samples = [sample for sample in samples if sample.seconds > 0.1 * samples[-1].seconds]
    most_used: dict[int | None, int] = {}
    besides = []
    for sample in samples:
        most_used[sample.pid] = max(most_used.get(sample.pid, 0), sample.num_used_blocks)
        if sample.pid is not None and sample.process_seconds > 15:
            besides.append((sample.seconds, sample.replica_bytes - most_used[sample.pid] * block_bytes))
    return [
        _check_flat("memory of the server", [(sample.seconds, sample.server_bytes) for sample in samples], 16 * 2**20),
        _check_flat("memory of the model, KV cache aside", besides, 96 * 2**20),
    ]


def _check_flat(name: str, points: Sequence[tuple[float, float]], slack_bytes: float) -> Check:
    if len(points) < 10:
        return Check(name, False, "too few samples: run it longer")
    middle = len(points) // 2
    first, second = (statistics.median(size for _, size in half) for half in (points[:middle], points[middle:]))
    slope = statistics.linear_regression(*zip(*points, strict=True)).slope
    return Check(
        name,
        second <= 1.1 * first + slack_bytes,
        f"{_mib(first)}, then {_mib(second)}; slope {_mib(slope * 3600)} an hour",
    )


def check_latency(seen: Clients, limit_seconds: float) -> list[Check]:
    def check(name: str, seconds: list[float]) -> Check:
        if not seconds:
            return Check(name, False, "nothing was answered")
        ordered = sorted(seconds)
        p50, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99))
        return Check(name, p99 <= limit_seconds, f"p50 {p50:.2f} s, p99 {p99:.2f} s, longest {ordered[-1]:.2f} s")

    return [
        check("time to first token", seen.first_token_seconds),
        check("time to the whole answer", seen.total_seconds),
    ]


async def soak(server: Server, options: argparse.Namespace) -> tuple[list[Check], dict[str, Any]]:
    ready = (await server.deployment())["ready"]
    load = Load(server, options)
    await load.run(options.minutes * 60)
    deployment, calls = await drained(server)
    await server.http.aclose()
    checks = [
        *check_accounts(load.seen, calls),
        check_blocks(deployment),
        check_restarts(deployment, load.faults.total()),
        *check_memory(load.samples, ready["kv_bytes"] / ready["num_blocks"]),
        *check_latency(load.seen, options.latency_seconds),
    ]
    status = server.end()
    checks.append(Check("ends in good order", status == 0, f"status {status}"))
    facts = {
        "minutes": options.minutes, "sent": load.seen.sent, "server": calls, "failed": dict(load.seen.failed),
        "left": load.seen.left, "faults": dict(load.faults), "restarts": deployment["restarts"],
    }  # fmt: skip
    return checks, facts


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="smollm2", help="a model of this machine's registry")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=32, help="number of clients that call all the time")
    parser.add_argument("--threads", default="", help="the server's LLMOS_THREADS")
    parser.add_argument("--burst", type=int, default=150, help="requests of a burst")
    parser.add_argument("--max-queued", type=int, default=64, help="the server's LLMOS_MAX_QUEUED")
    parser.add_argument("--stuck-seconds", type=int, default=5, help="the server's LLMOS_STUCK_SECONDS")
    parser.add_argument("--latency-seconds", type=float, default=60, help="the 99th percentile must be below this")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmos-soak-") as home:
        server = Server(Path(home), options.model, options)
        try:
            checks, facts = asyncio.run(soak(server, options))
        finally:
            server.process.kill()
            server.process.wait()
        log = server.log.read_text()
    print(file=sys.stderr)
    if options.json:
        print(json.dumps({**facts, "checks": {each.name: [each.holds, each.says] for each in checks}}))
    else:
        print(*(f"{name}: {value}" for name, value in facts.items()), "", sep="\n")
        for each in checks:
            print(f"{'ok ' if each.holds else 'NOT'}  {each.name:42} {each.says}")
    if all(each.holds for each in checks):
        return 0
    print(f"\nThe end of the server's log:\n{log[-4000:]}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
