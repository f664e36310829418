"""Listing: one page of a list that is too long to be read whole, and the whole list as CSV, page after page.

A Table sorts and filters rows that it has. A Listing shows the rows that the server has chosen, in the server's order.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from starlette.responses import StreamingResponse

from llmos.console import CONSOLE_PATH
from llmos.console.tables import Column, csv_cell
from llmos.console.view import View
from llmos.core.csv_text import csv_lines

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Part(Generic[R]):
    """Some rows, and the cursor of those behind them; None on the last page."""

    rows: Sequence[R]
    next: str | None


class Listing(Generic[R]):
    """One page of a list. The parameter `after` of the address says where it begins."""

    def __init__(self, view: View, id: str, columns: Sequence[Column[R]], part: Part[R], *, empty: str) -> None:
        """`id`: tells the tables of a page apart. `empty`: the key of the message for a list without rows."""
        self.id, self.columns, self.rows, self.empty = id, columns, part.rows, empty
        kept = [(name, value) for name, value in view.request.query_params.multi_items() if value]
        own = [(name, value) for name, value in kept if name not in ("after", "csv")]
        path = CONSOLE_PATH + view.shown_path
        self.first_path = _address(path, own) if view.query("after") else None
        self.next_path = None if part.next is None else _address(path, [*own, ("after", part.next)])
        self.csv_path = _address(path, [*own, ("csv", id)])


def is_wanted_as_csv(view: View, id: str) -> bool:
    return view.query("csv") == id


async def csv_response(
    id: str, columns: Sequence[Column[R]], read: Callable[[str | None], Awaitable[Part[R]]]
) -> StreamingResponse:
    """Return all rows as CSV. `read`: returns the part behind a cursor.

    An error of the first part is raised. A later one ends the answer without its last chunk, so that it isn't taken
    for a whole list.
    """
    first = await read(None)

    async def lines() -> AsyncIterator[str]:
        part, is_first = first, True
        while True:
            rows = [[csv_cell(column.value(row)) for column in columns] for row in part.rows]
            text = [*csv_lines([column.name for column in columns], rows)]
            yield "".join(text if is_first else text[1:])
            if part.next is None:
                return
            part, is_first = await read(part.next), False

    headers = {"Content-Disposition": f'attachment; filename="{id}.csv"'}
    return StreamingResponse(lines(), 200, headers, "text/csv; charset=utf-8")


def _address(path: str, query: Sequence[tuple[str, Any]]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
