"""CSV for spreadsheets."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, computed: Collection[str] = ()
) -> Iterator[str]:
    """Yield the names of the columns, and each row, as lines of CSV.

    `computed`: columns with texts of this program, such as decimals, which stay as they are.
    """
    yield _line(columns)
    for row in rows:
        yield _line([value if name in computed else safe_cell(value) for name, value in zip(columns, row, strict=True)])


def safe_cell(value: Any) -> Any:
    """Return a cell; a text that a spreadsheet would take for a formula gets an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _line(values: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()
