"""Usage as CSV."""

import msgspec

from llmos.core.csv_text import csv_lines
from llmos.core.schemas.usage import UsageDescription, UsageReport


def write_usage(report: UsageReport) -> str:
    """Return one line for each value, below the names of the columns."""
    names = [name for name in UsageDescription.__struct_fields__ if name != "value"]
    rows = [{**msgspec.structs.asdict(row), "costs": shown_costs(row)} for row in report.data]
    lines = csv_lines(
        [report.by, *names], ([row["value"], *(row[name] for name in names)] for row in rows), computed={"costs"}
    )
    return "".join(lines)


def shown_costs(row: UsageDescription) -> str:
    """{"EUR": "1.5"} -> "1.5 EUR"."""
    return " + ".join(f"{cost} {currency}" for currency, cost in row.costs.items())
