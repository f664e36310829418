"""Table: rows that a visitor filters, sorts and pages by the address, and takes along as CSV."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.responses import Response

from llmos.console import CONSOLE_PATH
from llmos.console.view import View
from llmos.core.csv_text import safe_cell

R = TypeVar("R")

PAGE_SIZE = 50


@dataclass(frozen=True, kw_only=True)
class Column(Generic[R]):
    name: str
    """The name in addresses and in the CSV file."""
    title: str
    """The key of its heading in the messages."""
    value: Callable[[R], Any]
    """The value that rows are sorted by, and that the CSV file contains."""
    kind: str = "text"
    """text, number, number_text (a decimal), size, share (progress), time, state, or the name of a kind of words in the
    messages: period stands for period.day, period.month."""
    link: Callable[[R], str | None] | None = None
    """The path below /console that the cell leads to."""

    @property
    def is_number(self) -> bool:
        return self.kind in ("number", "number_text", "size")


class Table(Generic[R]):
    def __init__(self, view: View, id: str, columns: Sequence[Column[R]], rows: Sequence[R], *, empty: str) -> None:
        """`id`: tells the tables of a page apart. `empty`: the key of the message for a table without rows."""
        self.id, self.columns, self.empty = id, columns, empty
        self._query = view.request.query_params
        self.path = CONSOLE_PATH + view.shown_path
        self.num_all = len(rows)
        self.filter = self._query.get(f"{id}.q", "")[:200]
        self.sort = self._query.get(f"{id}.sort", "")
        self.matching = self._sorted(self._filtered(rows))
        self.num_pages = max(1, -(-len(self.matching) // PAGE_SIZE))
        self.number = min(max(1, _whole(self._query.get(f"{id}.page", "1"))), self.num_pages)
        self.rows = self.matching[(self.number - 1) * PAGE_SIZE : self.number * PAGE_SIZE]
        self.csv_path = self._path(csv=self.id)

    @property
    def is_wanted_as_csv(self) -> bool:
        return self._query.get("csv") == self.id

    def csv(self) -> Response:
        """Return all rows that match the filter. A cell that a spreadsheet would run as a formula begins with '."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([column.name for column in self.columns])
        for row in self.matching:
            writer.writerow([csv_cell(column.value(row)) for column in self.columns])
        headers = {"Content-Disposition": f'attachment; filename="{self.id}.csv"'}
        return Response(text.getvalue(), 200, headers, "text/csv; charset=utf-8")

    def sort_path(self, column: Column[R]) -> str:
        """Return the address of the table sorted by a column, the other way round if it is already."""
        return self._path(**{f"{self.id}.sort": f"-{column.name}" if self.sort == column.name else column.name})

    def order_of(self, column: Column[R]) -> str:
        """Return how the table is sorted by a column, as aria-sort says it."""
        if self.sort.removeprefix("-") != column.name:
            return "none"
        return "descending" if self.sort.startswith("-") else "ascending"

    def page_path(self, number: int) -> str:
        return self._path(**{f"{self.id}.page": str(number)})

    def kept_query(self) -> Sequence[tuple[str, str]]:
        """Return the parameters that a filter form must not lose."""
        own = (f"{self.id}.q", f"{self.id}.page", "csv")
        return [(name, value) for name, value in self._query.multi_items() if name not in own]

    def _filtered(self, rows: Sequence[R]) -> list[R]:
        words = self.filter.lower().split()
        if not words:
            return [*rows]
        texts = ((row, " ".join(str(column.value(row)) for column in self.columns).lower()) for row in rows)
        return [row for row, text in texts if all(word in text for word in words)]

    def _sorted(self, rows: list[R]) -> list[R]:
        column = next((each for each in self.columns if each.name == self.sort.removeprefix("-")), None)
        if column is None:
            return rows
        by = column.value
        known = [row for row in rows if by(row) is not None]
        known.sort(key=lambda row: _sort_key(by(row)), reverse=self.sort.startswith("-"))
        return known + [row for row in rows if by(row) is None]

    def _path(self, **changes: str) -> str:
        return f"{self.path}?{urlencode(_changed(self._query, changes))}"


def _changed(query: QueryParams, changes: dict[str, str]) -> list[tuple[str, str]]:
    kept = [(name, value) for name, value in query.multi_items() if name not in changes and name != "csv"]
    return kept + list(changes.items())


def _sort_key(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def csv_cell(value: Any) -> Any:
    """Return a value as a cell of CSV that no spreadsheet runs."""
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else safe_cell(value)


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1
