"""The time that it takes to hold calls against a budget: in groups, as the gateway does it, and by a transaction each.

python benchmarks/budgets.py                                   # SQLite, with the disk's own durability
python benchmarks/budgets.py --database postgresql+psycopg://…  # an empty database

A call is a reservation and its release; nothing runs between them. The hold of a call that no budget applies to is
measured alone.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles

from llmos.billing.budgets import Budgets, BudgetSettings, BudgetSource
from llmos.billing.ledger import Ledger
from llmos.billing.ledger_writer import LedgerWriter
from llmos.billing.limit_book import LimitBook
from llmos.billing.limit_queries import release
from llmos.billing.limits import Payer
from llmos.billing.reservation_writer import ReservationWriter
from llmos.billing.reservations import Reservations, Want
from llmos.billing.worst_cases import WorstCase
from llmos.core.database import Database
from llmos.core.ids import new_id

PAYER = Payer("acme", "key-1", "ann")
CASE = WorstCase(operation="generate", versions=["smollm2@1"], input_tokens=500, num_outputs=1, output_tokens=500)
CONCURRENCIES = (1, 10, 100)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--database", metavar="URL")
    options.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(given.database or f"sqlite:///{folder}/llmos.db")
        database.upgrade()
        for result in measure(database, Path(folder) / "ledger", given.seconds):
            print(json.dumps(result))
        database.close()


def measure(database: Database, folder: Path, seconds: float) -> list[dict[str, object]]:
    book = LimitBook(database, [BudgetSource()])
    held = Reservations(book)
    ledger = Ledger(database, held)
    writer = ReservationWriter(database, held, ledger, LedgerWriter(ledger, folder), folder)
    results: list[dict[str, object]] = [{"what": "the hold without a budget", "microseconds": _lookup_micros(book)}]
    budgets = Budgets(database, book)
    for name in ("project", "installation", "user"):
        scope = {"project": {"project": "acme"}, "user": {"each_user": True}}.get(name, {})
        budgets.set(name, BudgetSettings(unit="tokens", limit="1000000000", per="day", **scope))

    async def grouped() -> None:
        want = _want()
        await asyncio.wrap_future(writer.reserve(want, lambda: None))
        writer.end(want.call_id, is_charged=False)

    async def alone() -> None:
        await asyncio.to_thread(_reserve_alone, database, held)

    for what, call in (("in groups", grouped), ("a transaction each", alone)):
        for concurrency in CONCURRENCIES:
            results.append({"what": what, "concurrency": concurrency} | asyncio.run(_rate(call, concurrency, seconds)))
    writer.close()
    return results


def _want() -> Want:
    return Want(call_id=new_id("call"), payer=PAYER, at=int(time.time()), case=CASE)


def _reserve_alone(database: Database, held: Reservations) -> None:
    want = _want()
    with database.counting(is_durable=True) as session:
        held.reserve(session, [want], "server")
    with database.counting(is_durable=True) as session:
        release(session, [want.call_id])


async def _rate(call: Callable[[], Awaitable[None]], concurrency: int, seconds: float) -> dict[str, float]:
    """Return the calls a second, and how long they took."""
    times: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()

    async def run() -> None:
        while (at := time.perf_counter()) - began < seconds:
            await call()
            times.append(time.perf_counter() - at)

    await asyncio.gather(*(run() for _ in range(concurrency)))
    elapsed = time.perf_counter() - began
    return {
        "calls_per_second": round(len(times) / elapsed),
        "p50_ms": round(1000 * median(times), 2),
        "p99_ms": round(1000 * quantiles(times, n=100)[-1], 2),
        "cpu_ms_per_call": round(1000 * (time.process_time() - cpu) / len(times), 3),
        "load": os.getloadavg()[0],
    }


def _lookup_micros(book: LimitBook) -> float:
    """Return what the hold asks for each call, while no limit applies."""
    book.read()
    began = time.perf_counter()
    for _ in range(100_000):
        index = book.current()
        assert index is None or not index.hard_of(PAYER, int(began))
    return round((time.perf_counter() - began) * 10, 3)


if __name__ == "__main__":
    main()
