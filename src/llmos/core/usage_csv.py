"""Usage as CSV."""

from collections.abc import Mapping

import msgspec

from llmos.core.csv_text import csv_lines
from llmos.core.schemas.usage import UsageDescription, UsageReport


def write_usage(report: UsageReport) -> str:
    """Return one line for each value, below the names of the columns."""
    names = [name for name in UsageDescription.__struct_fields__ if name != "value"]
    rows = [msgspec.structs.asdict(row) for row in report.data]
    amounts = {name for name in names if name.endswith("costs") or name == "margins"}
    lines = csv_lines(
        [report.by, *names],
        ([row["value"], *(shown_costs(row[name]) if name in amounts else row[name] for name in names)] for row in rows),
        computed=amounts,
    )
    return "".join(lines)


def shown_costs(costs: Mapping[str, str]) -> str:
    """{"EUR": "1.5"} -> "1.5 EUR"."""
    return " + ".join(f"{cost} {currency}" for currency, cost in costs.items())
