"""Kill a server under load again and again, and compare the ledger with what callers got.

python benchmarks/chaos.py --kills 1000
python benchmarks/chaos.py --kills 200 --database postgresql
python benchmarks/chaos.py --kills 50 --disk 512     # also with the disk full; mounts a small one

The gateway is the real one over HTTP, behind it a model that answers at once. Callers use every wire format, plain and
streamed, hang up, and create batches. In one round of --outage-every, the ledger's database or its disk fails for
--outage-seconds, or the clock jumps back; in all others some transactions fail. With --folder, a run can be continued.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from killing import faults
from killing.calls import CHAT, SLOW, Arrived, Caller
from killing.comparison import compare, set_prices_and_budgets, unfinished
from killing.server import Home, fork, serve, warm_up
from llmos.core.database import Database
from llmos.gateway.listening import listen
from support.scripted import KEY

CALLERS = 12
MAX_ANSWERS = 40
"""A server is killed after 1 to this many answers."""

LINES = 10
"""Requests in a batch."""

BATCH_EVERY = 5
"""Rounds."""

_PRINT_EVERY = 25
_READING_SECONDS = 0.2


@dataclass
class State:
    """The results of a run so far."""

    kills: int = 0
    arrived: list[Arrived] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)
    """The ids of those whose creation was answered."""
    rounds: dict[str, int] = field(default_factory=dict)
    """By fault."""
    first_answer_seconds: list[float] = field(default_factory=list)
    """From the start of a server to its first answer."""

    def save(self, path: Path) -> None:
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> "State":
        if not path.exists():
            return cls()
        fields = json.loads(path.read_text())
        arrived = [Arrived(**each) for each in fields.pop("arrived")]
        return cls(arrived=arrived, **fields)


def main() -> None:
    options = parse(sys.argv[1:])
    if options.disk and not os.environ.get("_LLMOS_CHAOS_MOUNTED"):
        environment = os.environ | {"_LLMOS_CHAOS_MOUNTED": "1"}
        command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, *sys.argv]
        os.execvpe(command[0], command, environment)
    random.seed(options.seed)
    with folder_of(options) as folder, ExitStack() as held:
        server = None
        if options.database == "postgresql":
            server = held.enter_context(faults.PostgreSQL.started())
        url = server.url.set(drivername="postgresql+psycopg") if server else f"sqlite:///{folder / 'llmos.db'}"
        run = Run(options, Home(folder=folder, url=str(url)), server)
        run.all()
        report = run.report()
    print(json.dumps(report, indent=2))
    if report["examples"]:
        sys.exit(1)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--failing", type=float, default=0.1, help="share of transactions that fail")
    parser.add_argument("--outage-every", type=int, default=20, help="rounds; 0: never")
    parser.add_argument("--outage-seconds", type=float, default=10)
    parser.add_argument("--disk", type=int, default=0, metavar="MB", help="mount a disk of this size, and fill it")
    parser.add_argument("--folder", type=Path, help="keep everything there, and continue what is there")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


@contextmanager
def folder_of(options: argparse.Namespace) -> Iterator[Path]:
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
        yield options.folder
        return
    with tempfile.TemporaryDirectory(prefix="llmos-chaos-") as name:
        if options.disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={options.disk}m", "tmpfs", name], check=True)
        try:
            yield Path(name)
        finally:
            if options.disk:
                subprocess.run(["umount", "--lazy", name], check=True)


class Run:
    def __init__(self, options: argparse.Namespace, home: Home, postgresql: faults.PostgreSQL | None) -> None:
        self._options, self._home, self._postgresql = options, home, postgresql
        self._state_path = home.folder / "state.json"
        self._state = State.load(self._state_path)
        self._listener = listen("127.0.0.1", 0)
        self._began = time.monotonic()

    @property
    def _port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def all(self) -> None:
        """Kill as often as is asked for. Ctrl-C ends it early, and loses nothing."""
        database = Database(self._home.url)
        database.upgrade()
        if not self._state.kills:
            set_prices_and_budgets(database)
        database.close()
        warm_up()
        with suppress(KeyboardInterrupt):
            while self._state.kills < self._options.kills:
                self._round()
                if self._state.kills % _PRINT_EVERY == 0:
                    self._state.save(self._state_path)
                    seconds = time.monotonic() - self._began
                    print(
                        f"{self._state.kills} kills, {len(self._state.arrived)} answers, {seconds:.0f} s",
                        file=sys.stderr,
                    )
        self._state.save(self._state_path)

    def report(self) -> dict[str, Any]:
        """Let a last server store what is left, and compare."""
        server = fork(partial(serve, self._listener, self._home))
        lines = asyncio.run(self._lines())
        self._wait_for_recovery()
        os.kill(server, signal.SIGTERM)
        os.waitpid(server, 0)
        database = Database(self._home.url)
        found = compare(database, self._home.folder, self._state.arrived, lines)
        database.close()
        firsts = self._state.first_answer_seconds
        return {
            "kills": self._state.kills,
            "rounds": self._state.rounds,
            "answers": len(self._state.arrived),
            "kinds": len({each.kind for each in self._state.arrived}),
            "lines of batches": len(lines),
            "seconds to the first answer": round(median(firsts), 3) if firsts else None,
            **{name: len(ids) for name, ids in vars(found).items()},
            "examples": {name: ids[:5] for name, ids in vars(found).items() if ids},
        }

    def _round(self) -> None:
        name, fault = self._fault()
        failing = self._options.failing if name == "none" else 0.0
        server = fork(
            partial(serve, self._listener, self._home, failing=failing, turns_clock=name == "clock turned back")
        )
        try:
            asyncio.run(Load(self._port, self._state, server, fault, self._options.outage_seconds).run())
        finally:
            with suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)
        self._state.kills += 1
        self._state.rounds[name] = self._state.rounds.get(name, 0) + 1

    def _fault(self) -> tuple[str, faults.Fault | None]:
        every = self._options.outage_every
        if not every or self._state.kills % every != every - 1:
            return "none", None
        possible: dict[str, faults.Fault | None] = {
            "database locked": partial(faults.locked, self._home.url),
            "clock turned back": None,
        }
        if self._postgresql is not None:
            possible["database gone"] = self._postgresql.gone
        if self._options.disk:
            possible["disk full"] = partial(faults.full, self._home.folder)
        names = sorted(possible)
        name = names[self._state.kills // every % len(names)]
        return name, possible[name]

    def _wait_for_recovery(self) -> None:
        """Wait until the last server has settled what those before it have left."""
        with closing(Database(self._home.url)) as database:
            while sum(unfinished(database)) > 0:
                time.sleep(0.2)

    async def _batches(self, caller: Caller) -> list[str]:
        """Return the ids of all batches: some were created, and the server died before it said so."""
        ids: list[str] = []
        while True:
            after = f"&after={ids[-1]}" if ids else ""
            page = json.loads((await caller.get(f"/v1/batches?limit=100{after}"))[1])
            ids += [each["id"] for each in page["data"]]
            if not page["has_more"]:
                assert {*self._state.batches} <= {*ids}
                return ids

    async def _lines(self) -> list[str]:
        """Wait for the end of all batches, and return the ids of the answers in them."""
        caller, ids = Caller(self._port, KEY), []
        for batch in await self._batches(caller):
            while (found := json.loads((await caller.get(f"/v1/batches/{batch}"))[1]))["status"] != "completed":
                await asyncio.sleep(0.1)
            _, content = await caller.get(f"/v1/files/{found['output_file_id']}/content")
            answers = [json.loads(line)["response"]["body"] for line in content.splitlines()]
            assert len(answers) == LINES, (batch, len(answers))
            ids += [answer["id"] for answer in answers]
        caller.close()
        return ids


class Load:
    """The callers of one server, which is killed at some moment of their calls."""

    def __init__(self, port: int, state: State, server: int, fault: faults.Fault | None, outage_seconds: float) -> None:
        self._port, self._state, self._server = port, state, server
        self._fault, self._outage_seconds = fault, outage_seconds
        self._left = random.randint(1, MAX_ANSWERS)
        self._began = time.monotonic()
        self._has_answer = asyncio.Event()
        self._over = asyncio.Event()

    async def run(self) -> None:
        tasks = [asyncio.create_task(self._call_on(number)) for number in range(CALLERS)]
        if self._state.kills % BATCH_EVERY == 0:
            tasks.append(asyncio.create_task(self._create_batch()))
        if self._fault is not None:
            await self._fail(self._fault)
        await self._over.wait()
        # Read the data that has arrived. Connections that the server hadn't accepted wait for the next server.
        _, waiting = await asyncio.wait(tasks, timeout=_READING_SECONDS)
        for task in waiting:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _fail(self, fault: faults.Fault) -> None:
        await self._has_answer.wait()
        async with fault():
            # It is killed during the outage or after it.
            seconds = self._outage_seconds * random.uniform(0.5, 1.5)
            await asyncio.sleep(min(seconds, self._outage_seconds))
            if seconds < self._outage_seconds:
                self._kill()
        self._kill()

    async def _call_on(self, number: int) -> None:
        caller = Caller(self._port, KEY)
        with suppress(OSError):
            while not self._over.is_set():
                arrived = await caller.call(f"user-{number}")
                if arrived is None:
                    await asyncio.sleep(0.05)
                    continue
                self._count(arrived)
        caller.close()

    def _count(self, arrived: Arrived) -> None:
        self._state.arrived.append(arrived)
        if not self._has_answer.is_set():
            self._has_answer.set()
            self._state.first_answer_seconds.append(time.monotonic() - self._began)
        self._left -= 1
        if self._left <= 0 and self._fault is None:
            self._kill()

    def _kill(self) -> None:
        self._over.set()
        with suppress(ProcessLookupError):
            os.kill(self._server, signal.SIGKILL)

    async def _create_batch(self) -> None:
        caller = Caller(self._port, KEY)
        body = {name: value for name, value in SLOW.items() if name not in ("stream", "max_tokens")}
        lines = [
            json.dumps({"custom_id": str(n), "method": "POST", "url": CHAT, "body": body}).encode()
            for n in range(LINES)
        ]
        with suppress(OSError, KeyError):  # An error, such as of a full disk, has no id.
            file = await caller.upload("lines.jsonl", b"\n".join(lines))
            wanted = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
            status, _, answer = await caller.post("/v1/batches", wanted)
            if status == 200:
                self._state.batches.append(json.loads(answer)["id"])
        caller.close()


if __name__ == "__main__":
    main()
