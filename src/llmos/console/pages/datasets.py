"""Datasets: the list, and one version with its rows, lineage, aliases, report and export; see dataset_work.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import HTMLResponse, Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.conversations import Turn, turns_of_messages
from llmos.console.page import Page
from llmos.console.pages import dataset_import, dataset_work, version_names
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.schemas.datasets import DatasetDescription, DatasetDetails, RowDescription

PAGE = Page(name="datasets", permission="datasets:read")
dataset_import.register(PAGE)
dataset_work.register(PAGE)
version_names.register(PAGE, "datasets")

PAGE_ROWS = 50
"""Rows that are fetched at once."""

_API = "/llmos/v1/datasets"

_VERSIONS: Sequence[Column[DatasetDescription]] = (
    Column(
        name="version",
        title="datasets.version",
        value=lambda row: row.version,
        link=lambda row: f"/datasets/{row.version}",
    ),
    Column(name="kind", title="datasets.kind", value=lambda row: row.kind),
    Column(name="num_rows", title="datasets.rows", value=lambda row: row.num_rows, kind="number"),
    Column(name="content_bytes", title="datasets.size", value=lambda row: row.content_bytes, kind="size"),
    Column(name="source", title="datasets.source", value=lambda row: row.source),
    Column(name="license", title="datasets.license", value=lambda row: row.license),
    Column(
        name="description", title="datasets.description", value=lambda row: row.description or row.dataset_description
    ),
    Column(name="tags", title="datasets.tags", value=lambda row: ", ".join([*row.dataset_tags, *row.tags])),
    Column(name="created_at", title="datasets.since", value=lambda row: row.created_at, kind="time"),
)


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row as the page shows it: its columns, and its content as titled parts or as turns."""

    row: RowDescription
    number: int
    columns: Mapping[str, str]
    parts: Sequence[tuple[str, Sequence[Turn]]]


@PAGE.get()
async def list_datasets(view: View) -> Response:
    versions = await view.api.list(DatasetDescription, _API)
    table = Table(view, "datasets", _VERSIONS, versions[::-1], empty="datasets.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "datasets.html",
        table=table,
        may_write=view.may("datasets:write") and view.may("jobs:write"),
        jobs=await dataset_work.jobs(view),
        code=code.reading(
            "llmos dataset list",
            _API,
            "for dataset in client.datasets.list():\n    print(dataset.version, dataset.num_rows)",
        ),
    )


@PAGE.get("/{ref}")
async def show_dataset(view: View) -> Response:
    ref = view.request.path_params["ref"]
    details = await view.api.read(DatasetDetails, f"{_API}/{ref}")
    start = _start(view, details.num_rows)
    return view.render(
        "dataset.html",
        details=details,
        start=start,
        rows=await _rows(view, details.version, start),
        page_rows=PAGE_ROWS,
        report=_report(details.report),
        recipe=None if details.recipe is None else json.dumps(details.recipe, indent=2, ensure_ascii=False),
        api_path=f"{_API}/{quote_path(details.version)}",
        code=code.reading(
            f"llmos dataset head {details.version}",
            f"{_API}/{details.version}/rows?limit={PAGE_ROWS}&skip={start}",
            f'for row in client.datasets.rows("{details.version}", limit={PAGE_ROWS}, skip={start}):\n'
            "    print(row.content)",
        ),
    )


@PAGE.get("/{ref}/rows")
async def more_rows(view: View) -> Response:
    """Return the HTML of some rows, for the list that fetches them as they are scrolled to."""
    skip = _whole(view.query("from")) + _whole(view.query("skip"))
    rows = await _rows(view, view.request.path_params["ref"], skip)
    return HTMLResponse(view.html("dataset_rows.html", rows=rows))


@PAGE.post("/{ref}/remove")
async def remove(view: View) -> Response:
    await view.form()
    ref = view.request.path_params["ref"]
    view.form_came_from = f"/datasets/{ref}"
    removed: Any = await view.api.delete(f"{_API}/{ref}")
    return view.redirect("/datasets", view.t("datasets.removed", name=ref, size=view.t.size(removed["freed_bytes"])))


async def _rows(view: View, ref: str, skip: int) -> Sequence[ShownRow]:
    found = await view.api.list(RowDescription, f"{_API}/{ref}/rows", limit=PAGE_ROWS, skip=skip)
    return [show_row(row, skip + index + 1) for index, row in enumerate(found)]


def show_row(row: RowDescription, number: int) -> ShownRow:
    names = ("origin", "split", "language", "license", "consent", "subject")
    columns = {name: value for name in names if (value := getattr(row, name))}
    return ShownRow(row, number, columns, parts_of(row.content))


def parts_of(content: Mapping[str, Any]) -> Sequence[tuple[str, Sequence[Turn]]]:
    """Return the fields of a content, each with its text or its turns. Messages need no title."""
    parts: list[tuple[str, Sequence[Turn]]] = []
    for name, value in content.items():
        is_messages = isinstance(value, list) and all(isinstance(each, dict) and "role" in each for each in value)
        if is_messages:
            parts.append(("" if name == "messages" else name, turns_of_messages(value)))
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            parts.append((name, [Turn("", text)]))
    parts.sort(key=lambda part: part[0] not in ("", "input"))  # What was asked stands before the answers.
    return parts


def _report(report: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Return the counts that were made while the version was written, as texts."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in report.items()
    ]


def _start(view: View, num_rows: int) -> int:
    """Return the number of rows before the first shown one. Links of pages have `skip`, and the form `row`, from 1."""
    row = _whole(view.query("row"))
    skip = row - 1 if row else _whole(view.query("skip"))
    return max(0, min(skip, num_rows - 1))


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
