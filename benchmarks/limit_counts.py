"""Measure what a limited call costs besides the call: to be counted at its begin and at its end, in each place.

    python benchmarks/limit_counts.py [--calls 400] [--rounds 7]

A call has a limit of requests, of tokens and of running calls, on its key and on its project. It goes through the stage
of the pipeline (LimitsHold), alone or with 31 others at once. SQLite is on this disk; PostgreSQL and Redis are those of
the tests, on sockets of this machine. Each figure is microseconds per call, the median of the rounds.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmos.core.database import Database
from llmos.gateway.calls.limits_hold import LimitsHold, _Step
from llmos.security.limit_counts import GiveBack, LimitCounter, LimitCounts, Take
from llmos.security.limits import Allowance, Limits

LIMITS = Limits(requests_per_minute=10**9, tokens_per_minute=10**9, concurrent_requests=10**6)
CALL = Take([Allowance(scope="key:key-1", limits=LIMITS), Allowance(scope="project:acme", limits=LIMITS)], 500)


@contextmanager
def sqlite(folder: Path) -> Iterator[LimitCounter]:
    database = Database(f"sqlite:///{folder / 'llmos.db'}")
    database.upgrade()
    yield LimitCounts(database)
    database.close()


@contextmanager
def postgresql(folder: Path) -> Iterator[LimitCounter]:
    from support.databases import Databases  # Afterwards, no SQLite database of this process waits for the disk.

    databases = Databases(folder)
    with databases.create("postgresql", folder) as url:
        database = Database(url)
        yield LimitCounts(database)
        database.close()
    databases.close()


@contextmanager
def redis(folder: Path) -> Iterator[LimitCounter]:
    from llmos.security.redis_limit_counts import RedisLimitCounts
    from support.redis_server import redis_server

    with redis_server() as server:
        counts = RedisLimitCounts(server.url)
        yield counts
        counts.close()


async def measure(counts: LimitCounter, num_calls: int, num_at_once: int) -> float:
    """Return the microseconds per call."""
    hold = LimitsHold(counts)

    async def caller() -> None:
        for _ in range(num_calls // num_at_once):
            await hold._take(CALL)
            hold._enqueue(_Step(GiveBack(CALL, 400)))

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(num_at_once)))
    await hold.finish()
    seconds = time.perf_counter() - began
    return seconds / num_calls * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    print("| counted in | one call after another, µs | 32 at once, µs |\n|---|---|---|")
    for open_ in (sqlite, postgresql, redis):
        with tempfile.TemporaryDirectory() as folder, open_(Path(folder)) as counts:
            medians = [
                statistics.median(asyncio.run(measure(counts, options.calls, at_once)) for _ in range(options.rounds))
                for at_once in (1, 32)
            ]
        print(f"| {open_.__name__} | {medians[0]:.0f} | {medians[1]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
