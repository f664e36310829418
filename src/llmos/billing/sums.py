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
    sums: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(names))
    for row in rows:
        numbers = [row[name] or 0 for name in names]
        for dimension, value in _values(row).items():
            for period in (HOUR, DAY):
                start = row["at"] - row["at"] % period
                total = sums[dimension, period, start, row["project"], value, row["currency"]]
                total[:] = map(add, total, numbers)
    columns = ("dimension", "period", "start", "project", "value", "currency", *names)
    return [dict(zip(columns, (*key, *sums[key]), strict=True)) for key in sorted(sums)]


def _values(row: dict[str, Any]) -> dict[str, str]:
    """Return what a row counts for in each dimension."""
    user = "" if row["user_number"] is None else str(row["user_number"])
    values = (row["project"], row["key_id"], user, row["route"], row["version"], row["app"])
    return dict(zip(DIMENSIONS, values, strict=True))
