"""Prices: the versions of the price book and what differs between them; set new ones, and calculate an example."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.page import Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.base import read_description
from llmos.core.schemas.prices import PriceBookDescription, PriceExample
from llmos.core.yaml_text import read_yaml

PAGE = Page(name="settings", path="/settings/prices", permission="prices:read", in_navigation=False, tab="prices.title")

_COUNTS = ("input", "cached_input", "output", "embedding", "rated")


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceChange:
    """A price that isn't the same in two versions."""

    name: str
    was: str | None
    now: str | None


_COLUMNS: Sequence[Column[PriceBookDescription]] = (
    Column(
        name="version",
        title="models.version",
        value=lambda row: row.version,
        link=lambda row: f"/settings/prices/{row.version}",
    ),
    Column(name="valid_from", title="plans.valid_from", value=lambda row: row.valid_from, kind="time"),
    Column(name="currency", title="plans.currency", value=lambda row: row.currency),
    Column(name="prices", title="prices.of", value=lambda row: ", ".join(row.prices)),
    Column(name="plan", title="prices.plan", value=lambda row: row.plan),
    Column(name="created_by", title="deployments.actor", value=lambda row: row.created_by),
)
_CHANGES: Sequence[Column[PriceChange]] = (
    Column(name="name", title="prices.of", value=lambda row: row.name),
    Column(name="was", title="routes.before", value=lambda row: row.was),
    Column(name="now", title="routes.after", value=lambda row: row.now),
)


@PAGE.get()
async def list_prices(view: View) -> Response:
    return await _show(view)


@PAGE.get("/{name}")
async def show_version(view: View) -> Response:
    version, other = view.request.path_params["name"], view.query("to")
    book = await view.api.read(PriceBookDescription, f"/llmos/v1/prices/{version}")
    older = await view.api.read(PriceBookDescription, f"/llmos/v1/prices/{other}") if other.isdigit() else None
    changes = Table(view, "changes", _CHANGES, _changes(older, book) if older else [], empty="apps.no_difference")
    if changes.is_wanted_as_csv:
        return changes.csv()
    return view.render(
        "price_book.html",
        book=book,
        other=other,
        older=older,
        changes=changes,
        versions=[str(each.version) for each in await view.api.list(PriceBookDescription, "/llmos/v1/prices")],
        code=code.reading(
            f"llmos price show {book.version}",
            f"/llmos/v1/prices/{book.version}",
            f"print(client.prices.get({book.version}).prices)",
        ),
    )


@PAGE.post("/preview")
async def preview(view: View) -> Response:
    """Show what new prices would change. Nothing is set."""
    form = await view.form()
    view.shown_path = view.form_came_from = "/settings/prices"
    document = _document(view, form)
    now = _general(await view.api.list(PriceBookDescription, "/llmos/v1/prices"))
    new = PriceBookDescription(
        currency=str(document.get("currency", "")), prices=document.get("prices") or {}, free=document.get("free") or {}
    )
    return await _show(view, document=form.get("document", ""), changes=_changes(now, new))


@PAGE.post("/set")
async def set_prices(view: View) -> Response:
    form = await view.form()
    view.form_came_from = "/settings/prices"
    made = await view.api.post("/llmos/v1/prices", _document(view, form))
    return view.redirect(f"/settings/prices/{made['version']}", view.t("prices.was_set", version=made["version"]))


@PAGE.post("/try")
async def try_prices(view: View) -> Response:
    form = await view.form()
    view.shown_path = view.form_came_from = "/settings/prices"
    body: dict[str, Any] = {name: form[name].strip() for name in ("version", "route") if form.get(name, "").strip()}
    for name in _COUNTS:
        text = form.get(name, "").strip() or "0"
        if not (text.isascii() and text.isdigit() and len(text) < 13):
            raise BadRequest(view.t("base.no_number", text=text[:40]))
        body[name] = int(text)
    example = read_description(PriceExample, await view.api.post("/llmos/v1/prices/try", body))
    return await _show(view, asked=form, example=example)


async def _show(
    view: View,
    *,
    document: str = "",
    changes: Sequence[PriceChange] | None = None,
    asked: Mapping[str, str] = {},
    example: PriceExample | None = None,
) -> Response:
    books = await view.api.list(PriceBookDescription, "/llmos/v1/prices")
    table = Table(view, "prices", _COLUMNS, books[::-1], empty="prices.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "prices.html",
        table=table,
        document=document,
        changes=None if changes is None else Table(view, "changes", _CHANGES, changes, empty="apps.no_difference"),
        asked=asked,
        example=example,
        counts=_COUNTS,
        code=code.changing(
            "POST",
            "llmos price set prices.yaml",
            "/llmos/v1/prices",
            {"currency": "EUR", "prices": {"default": {"per_million_tokens": {"output": "0.60"}}}},
            'client.prices.set({"currency": "EUR", "prices": {"default": {"per_call": "0.01"}}})',
        ),
    )


def _document(view: View, form: Mapping[str, str]) -> dict[str, Any]:
    """Return the YAML of the form. Raises BadRequest for what is no object."""
    found = read_yaml(form.get("document", ""), view.t("prices.document"))
    if not isinstance(found, dict):
        raise BadRequest(view.t("prices.no_document"))
    return found


def _general(books: Sequence[PriceBookDescription]) -> PriceBookDescription:
    """Return the newest version that belongs to no plan."""
    return next((each for each in reversed(books) if not each.plan), PriceBookDescription())


def _changes(older: PriceBookDescription, newer: PriceBookDescription) -> list[PriceChange]:
    was, now = dict(_flat(older)), dict(_flat(newer))
    return [
        PriceChange(name=name, was=was.get(name), now=now.get(name))
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]


def _flat(book: PriceBookDescription) -> Iterator[tuple[str, str]]:
    """Yield each price with its path, such as default per_million_tokens output."""
    yield from _leaves({"currency": book.currency, **book.prices, "free": book.free}, ())


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves(each, (*path, str(name)))
    elif value not in ("", None):
        yield " ".join(path), str(value)
