"""Measure reports of usage over a ledger of a million entries, and how long the end of an answer waits for its entry.

python benchmarks/usage.py --entries 1000000 --databases sqlite postgresql

The entries are of thirty days, twenty projects, two hundred keys and two thousand users.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from llmos.billing.entries import Entry
from llmos.billing.ledger import Ledger
from llmos.billing.ledger_writer import LedgerWriter
from llmos.billing.sums import DAY
from llmos.billing.usage import BY, Usage
from llmos.core.database import Database
from support.ledger import AT, entry

_AT_ONCE = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmos-usage-") as name:
        folder = Path(name)
        if "sqlite" in options.databases:
            # Before support.databases is imported, after which no SQLite database of this process waits for the disk.
            measure("sqlite", f"sqlite:///{folder / 'llmos.db'}", folder, options)
        if "postgresql" in options.databases:
            from support.databases import Databases

            databases = Databases(folder)
            with databases.create("postgresql", folder) as url:
                measure("postgresql", url, folder, options)
            databases.close()


def measure(kind: str, url: str, folder: Path, options: argparse.Namespace) -> None:
    database = Database(url)
    database.upgrade()
    ledger = Ledger(database)
    began = time.perf_counter()
    for part in parts(options.entries):
        ledger.add(part)
    seconds = time.perf_counter() - began
    print(f"{kind}: {options.entries:,} entries stored in {seconds:.0f} s, {options.entries / seconds:,.0f} a second")
    usage, end = Usage(database), datetime.fromtimestamp(AT, UTC) + timedelta(days=30)
    for by in BY:
        for days, project in ((30, None), (7, None), (30, "project-1")):
            times = []
            for _ in range(options.repeats):
                began = time.perf_counter()
                report = usage.report(
                    by, end - timedelta(days=days, hours=5), end - timedelta(hours=5), project=project
                )
                times.append((time.perf_counter() - began) * 1000)
            what = f"by {by}, {days} days, {project or 'all projects'}"
            print(f"{kind}: {what}: {len(report.data)} rows, p50 {median(times):.1f}, p95 {_p95(times):.1f} ms")
    writer = LedgerWriter(ledger, folder / "ledger")
    times = []
    for n in range(200):
        began = time.perf_counter()
        writer.add([entry(f"late-{n}", user="user-1")]).result()
        times.append((time.perf_counter() - began) * 1000)
    writer.close()
    print(f"{kind}: an answer waits for its entry, one at a time: p50 {median(times):.2f}, p95 {_p95(times):.2f} ms")
    database.close()


def parts(num_entries: int) -> Iterator[list[Entry]]:
    chosen = random.Random(0)
    for first in range(0, num_entries, _AT_ONCE):
        yield [_entry(n, num_entries, chosen) for n in range(first, min(first + _AT_ONCE, num_entries))]


def _entry(number: int, num_entries: int, chosen: random.Random) -> Entry:
    user = chosen.randrange(2000)
    project = user % 20
    return entry(
        f"answer-{number:024d}",
        at=AT + 30 * DAY * number // num_entries,
        project=f"project-{project}",
        key_id=f"key-{project}-{user // 20 % 10}",
        user=f"user-{user}",
        route=f"route-{chosen.randrange(8)}",
        version=f"model-{chosen.randrange(12)}@1",
        app="support" if user % 3 == 0 else "",
        output_tokens=chosen.randrange(500),
    )


def _p95(times: list[float]) -> float:
    return quantiles(times, n=20)[-1]


if __name__ == "__main__":
    main()
