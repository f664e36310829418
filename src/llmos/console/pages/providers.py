"""Providers: services that run models elsewhere: list, add, test, change and remove them. Nothing shows their keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.providers import ProviderDescription, ProviderModels

PAGE = Page(
    name="deployments",
    path="/deployments/providers",
    permission="providers:read",
    in_navigation=False,
    tab="providers.title",
)

KINDS = ("openai", "anthropic", "open-inference")

_COLUMNS: Sequence[Column[ProviderDescription]] = (
    Column(
        name="name",
        title="providers.name",
        value=lambda row: row.name,
        link=lambda row: f"/deployments/providers/{row.name}",
    ),
    Column(name="kind", title="providers.kind", value=lambda row: row.kind),
    Column(name="base_url", title="providers.address", value=lambda row: row.base_url),
    Column(
        name="has_key",
        title="providers.key",
        value=lambda row: "has_key" if row.has_key else "no_key",
        kind="state",
    ),
    Column(name="updated_at", title="providers.updated", value=lambda row: row.updated_at, kind="time"),
)


@PAGE.get()
async def list_providers(view: View) -> Response:
    providers = await view.api.list(ProviderDescription, "/llmos/v1/providers")
    table = Table(view, "providers", _COLUMNS, providers, empty="providers.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "providers.html",
        table=table,
        kinds=KINDS,
        code=code.changing(
            "PUT",
            "llmos provider add openai --kind openai --base-url https://api.openai.com/v1 < key.txt",
            "/llmos/v1/providers/openai",
            {"kind": "openai", "base_url": "https://api.openai.com/v1", "key": "…"},
            'client.providers.add("openai", base_url="https://api.openai.com/v1", key="…")',
        ),
    )


@PAGE.post("/add")
async def add_provider(view: View) -> Response:
    form = await view.form()
    name = form.get("name", "").strip()
    if not name:
        raise BadRequest(view.t("providers.no_name"))
    known = [each.name for each in await view.api.list(ProviderDescription, "/llmos/v1/providers")]
    if name in known:  # The endpoint would replace it, and its key.
        raise BadRequest(view.t("providers.exists", name=name))
    await view.api.put(f"/llmos/v1/providers/{name}", _settings(form))
    return view.redirect(f"/deployments/providers/{name}", view.t("providers.added", name=name))


@PAGE.get("/{name}")
async def show_provider(view: View) -> Response:
    return await _show(view, view.request.path_params["name"], None)


@PAGE.post("/{name}/test")
async def test_provider(view: View) -> Response:
    """Ask the provider for its models, and show them: it can be reached, and accepts the key."""
    _, name = await _change(view)
    view.shown_path = view.form_came_from
    found = await view.api.read(ProviderModels, f"/llmos/v1/providers/{name}/models")
    return await _show(view, name, found.models)


@PAGE.post("/{name}/change")
async def change_provider(view: View) -> Response:
    form, name = await _change(view)
    await view.api.put(f"/llmos/v1/providers/{name}", _settings(form))
    return view.redirect(view.form_came_from, view.t("providers.changed", name=name))


@PAGE.post("/{name}/remove")
async def remove_provider(view: View) -> Response:
    _, name = await _change(view)
    await view.api.delete(f"/llmos/v1/providers/{name}")
    return view.redirect("/deployments/providers", view.t("providers.removed", name=name))


async def _show(view: View, name: str, models: Sequence[str] | None) -> Response:
    """`models`: what a test has found; None if there was none."""
    return view.render(
        "provider.html",
        provider=await view.api.read(ProviderDescription, f"/llmos/v1/providers/{name}"),
        models=models,
        kinds=KINDS,
        code=code.reading(
            f"llmos provider test {name}",
            f"/llmos/v1/providers/{quote_path(name)}/models",
            f'print(client.providers.models("{name}"))',
        ),
    )


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    """Return the fields of a form on a provider's page, and the provider's name."""
    form, name = await view.form(), view.request.path_params["name"]
    view.form_came_from = f"/deployments/providers/{name}"
    return form, name


def _settings(form: Mapping[str, str]) -> dict[str, Any]:
    settings = {"kind": form.get("kind", "openai"), "base_url": form.get("base_url", "").strip()}
    optional = {field: form.get(field, "").strip() for field in ("key", "text_input", "text_output")}
    return settings | {field: value for field, value in optional.items() if value}
