"""Measure lists of answers over a million of them.

python benchmarks/answers.py --answers 1000000 --databases sqlite postgresql

The answers are of thirty days, twenty projects, two hundred keys, two thousand users, twelve models; one in a hundred
failed, one in a thousand was blocked, and one in a thousand is expensive.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from llmos.core.database import Database
from llmos.data.answers import AnswerFilter, Answers
from llmos.data.answers.answers import read_place
from support.answers import AT, facts

DAYS = 30
_AT_ONCE = 10_000
_START = int(AT.timestamp())

FILTERS: Mapping[str, Mapping[str, Any]] = {
    "newest": {},
    "a project": {"project": "project-3"},
    "a key": {"key_id": "key-3-4"},
    "a user": {"user": "user-77"},
    "a user without answers": {"user": "nobody"},
    "a route": {"route": "route-2"},
    "a rare model": {"model": "rare"},
    "a version that never answered": {"model": "model-2", "version": "model-2@9"},
    "failed": {"outcome": "failed"},
    "blocked": {"verdict": "block"},
    "blocked, in a project": {"verdict": "block", "project": "project-3"},
    "an app and a project": {"app": "support", "project": "project-3"},
    "a route and a project": {"route": "route-2", "project": "project-3"},
    "a route, a key and an outcome": {"route": "route-2", "key_id": "key-5-1", "outcome": "failed"},
    "expensive": {"min_cost_nanos": 10**9},
    "expensive, in a project": {"min_cost_nanos": 10**9, "project": "project-3"},
    "costs something": {"min_cost_nanos": 1},
    "more than any costs": {"min_cost_nanos": 10**12},
    "slower than any is": {"min_seconds": 1e6},
    "more tokens than any has": {"min_output_tokens": 10**9},
    "a day, three weeks ago": {
        "since": datetime.fromtimestamp(_START, UTC) + timedelta(days=8),
        "until": datetime.fromtimestamp(_START, UTC) + timedelta(days=9),
    },
    "a project, on a day": {
        "project": "project-3",
        "since": datetime.fromtimestamp(_START, UTC) + timedelta(days=8),
        "until": datetime.fromtimestamp(_START, UTC) + timedelta(days=9),
    },
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmos-answers-") as name:
        folder = Path(name)
        if "sqlite" in options.databases:
            measure("sqlite", f"sqlite:///{folder / 'llmos.db'}", options)
        if "postgresql" in options.databases:
            from support.databases import Databases

            databases = Databases(folder)
            with databases.create("postgresql", folder) as url:
                measure("postgresql", url, options)
            databases.close()


def measure(kind: str, url: str, options: argparse.Namespace) -> None:
    database = Database(url)
    database.upgrade()
    answers = Answers(database, days=36_500, max_kept=2 * options.answers)
    began = time.process_time(), time.perf_counter()
    for part in parts(options.answers):
        with database.plain_counting() as transaction:
            answers.add(transaction, part)
    cpu, seconds = time.process_time() - began[0], time.perf_counter() - began[1]
    each = cpu / options.answers * 1e6
    print(f"{kind}: {options.answers:,} answers stored in {seconds:.0f} s; {each:.0f} µs of CPU here for each")
    worst = 0.0
    for what, wanted in FILTERS.items():
        times, num_found = _times(answers, options.repeats, wanted)
        worst = max(worst, _p95(times))
        print(f"{kind}: {what}: {num_found} found, p50 {median(times):.1f}, p95 {_p95(times):.1f} ms")
    after = f"{_START + DAYS * 43_200}-{options.answers}"
    times, num_found = _times(answers, options.repeats, {"project": "project-3", "after": read_place(after)})
    print(f"{kind}: a page in the middle: {num_found} found, p50 {median(times):.1f}, p95 {_p95(times):.1f} ms")
    print(f"{kind}: the slowest list: p95 {worst:.1f} ms")
    database.close()


def _times(answers: Answers, repeats: int, wanted: Mapping[str, Any]) -> tuple[list[float], int]:
    times, num_found = [], 0
    for _ in range(repeats):
        began = time.perf_counter()
        num_found = len(answers.list(AnswerFilter(**wanted)).data)
        times.append((time.perf_counter() - began) * 1000)
    return times, num_found


def parts(num_answers: int) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the facts of so many answers, a part at a time."""
    chosen = random.Random(0)
    for first in range(0, num_answers, _AT_ONCE):
        yield [_facts(n, num_answers, chosen) for n in range(first, min(first + _AT_ONCE, num_answers))]


def _facts(number: int, num_answers: int, chosen: random.Random) -> Mapping[str, Any]:
    user = chosen.randrange(2000)
    project, model = user % 20, "rare" if number % 100_000 == 5 else f"model-{chosen.randrange(12)}"
    return facts(
        f"answer-{chosen.getrandbits(96):024x}",
        seconds=DAYS * 86_400 * number // num_answers,
        project=f"project-{project}",
        key_id=f"key-{project}-{user // 20 % 10}",
        user=f"user-{user}" if user % 2 else "",
        route=f"route-{chosen.randrange(8)}",
        model=model,
        version=f"{model}@1",
        app="support" if user % 3 == 0 else "",
        outcome="failed" if chosen.random() < 0.01 else "answered",
        verdict="block" if chosen.random() < 0.001 else "",
        cost_nanos=10**9 if chosen.random() < 0.001 else chosen.randrange(1000),
        currency="EUR",
    )


def _p95(times: list[float]) -> float:
    return quantiles(times, n=20)[-1]


if __name__ == "__main__":
    main()
