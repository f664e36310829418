"""Tables: filtered, sorted and paged by their addresses, and as CSV."""

from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request

from llmos.console.tables import PAGE_SIZE, Column, Table
from llmos.console.view import View


@dataclass(frozen=True)
class Row:
    name: str
    size: int | None


COLUMNS = (
    Column[Row](name="name", title="models.name", value=lambda row: row.name),
    Column[Row](name="size", title="models.size", value=lambda row: row.size, kind="size"),
)
ROWS = [Row("b two", 2), Row("a one", None), Row("C three", 3)]


def table_of(query: str, rows: list[Row] = ROWS) -> Table[Row]:
    scope: dict[str, Any] = {"type": "http", "path": "/console/x", "query_string": query.encode(), "headers": []}
    view = View(Request(scope | {"server": ("llmos", 80), "scheme": "http"}), cast(Any, None), None, "models")
    return Table(view, "t", COLUMNS, rows, empty="models.none")


def test_a_filter_keeps_rows_with_all_words() -> None:
    assert [row.name for row in table_of("t.q=ONE+a").rows] == ["a one"]
    assert table_of("t.q=nothing").rows == []


def test_a_column_sorts_both_ways_and_unknown_values_are_last() -> None:
    assert [row.size for row in table_of("t.sort=size").rows] == [2, 3, None]
    assert [row.size for row in table_of("t.sort=-size").rows] == [3, 2, None]
    assert [row.name[0] for row in table_of("t.sort=name").rows] == ["a", "b", "C"]
    assert table_of("t.sort=-size").order_of(COLUMNS[1]) == "descending"
    assert table_of("t.sort=whatever").rows == ROWS


def test_addresses_keep_what_other_tables_show() -> None:
    table = table_of("other.q=x&t.sort=name&t.page=7")
    address = parse_qs(urlsplit(table.sort_path(COLUMNS[0])).query)
    assert address == {"other.q": ["x"], "t.page": ["7"], "t.sort": ["-name"]}
    assert table.kept_query() == [("other.q", "x"), ("t.sort", "name")]


def test_pages_have_an_end_whatever_is_asked_for() -> None:
    rows = [Row(str(number), number) for number in range(PAGE_SIZE + 1)]
    assert len(table_of("", rows).rows) == PAGE_SIZE
    assert [table_of(f"t.page={asked}", rows).number for asked in ("2", "3", "-1", "x", "99999999999")] == [
        2,
        2,
        1,
        1,
        1,
    ]


def test_csv_has_all_rows_and_no_formula() -> None:
    rows = [Row("=HYPERLINK(1)", 1), Row('say "hi"', None)]
    lines = bytes(table_of("csv=t&t.page=9", rows).csv().body).decode().splitlines()
    assert lines == ["name,size", "'=HYPERLINK(1),1", '"say ""hi""",']
