"""Sums of rows by hour and by day, for each value of each dimension."""

from collections import defaultdict
from collections.abc import Sequence
from operator import add
from typing import Any

HOUR, DAY = 3600, 86_400

DIMENSIONS = ("project", "key", "user", "route", "model", "app")


def sums_of(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what the rows add to each hour and each day, by dimension. In a fixed order, so that no two wait for each
    other. `names`: the numbers that are added up; None counts as 0."""
    # Most rows that are added together are alike, and each counts for twelve sums.
    alike: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(names))
    for row in rows:
        total = alike[row["at"] - row["at"] % HOUR, row["currency"], *_values(row)]
        total[:] = map(add, total, [row[name] or 0 for name in names])
    sums: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(names))
    for (hour, currency, *values), numbers in alike.items():
        project = values[0]
        for dimension, value in zip(DIMENSIONS, values, strict=True):
            for period in (HOUR, DAY):
                total = sums[dimension, period, hour - hour % period, project, value, currency]
                total[:] = map(add, total, numbers)
    columns = ("dimension", "period", "start", "project", "value", "currency", *names)
    return [dict(zip(columns, (*key, *sums[key]), strict=True)) for key in sorted(sums)]


def _values(row: dict[str, Any]) -> tuple[str, ...]:
    """Return what a row counts for in each of the dimensions."""
    user = "" if row["user_number"] is None else str(row["user_number"])
    return row["project"], row["key_id"], user, row["route"], row["version"], row["app"]
