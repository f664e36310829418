"""Keys: list, create (the text is shown once), rotate and revoke."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.schemas.keys import KeyDescription, NewKeyDescription
from llmos.core.schemas.projects import ProjectDescription

PAGE = Page(name="settings", path="/settings/keys", permission="keys:read", tab="keys.title")

ROLES = ("viewer", "developer", "operator", "owner")

_COLUMNS: Sequence[Column[KeyDescription]] = (
    Column(name="id", title="keys.id", value=lambda row: row.id, link=lambda row: f"/settings/keys/{row.id}"),
    Column(name="name", title="keys.name", value=lambda row: row.name),
    Column(name="role", title="users.role", value=lambda row: row.role),
    Column(name="project", title="users.project", value=lambda row: row.project),
    Column(name="state", title="keys.state", value=lambda row: row.state, kind="state"),
    Column(name="ends_with", title="keys.ends_with", value=lambda row: row.ends_with),
    Column(name="last_used_at", title="keys.used", value=lambda row: row.last_used_at, kind="time"),
    Column(name="expires_at", title="keys.expires", value=lambda row: row.expires_at, kind="time"),
)


@PAGE.get()
async def list_keys(view: View) -> Response:
    table = Table(view, "keys", _COLUMNS, await view.api.list(KeyDescription, "/llmos/v1/keys"), empty="keys.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "keys.html",
        table=table,
        roles=ROLES,
        projects=await projects_of(view),
        code=code.changing(
            "POST",
            "llmos key create --name CI --role developer",
            "/llmos/v1/keys",
            {"name": "CI", "role": "developer"},
            'print(client.keys.create(name="CI", role="developer").key)',
        ),
    )


@PAGE.post("/create")
async def create_key(view: View) -> Response:
    form = await view.form()
    body: dict[str, Any] = {name: form.get(name, "") for name in ("name", "role", "project") if form.get(name)}
    if form.get("expires"):
        body["expires_at"] = f"{form['expires']}T00:00:00Z"
    return _show_once(view, await view.api.post("/llmos/v1/keys", body))


@PAGE.get("/{id}")
async def show_key(view: View) -> Response:
    id = view.request.path_params["id"]
    key = await view.api.read(KeyDescription, f"/llmos/v1/keys/{id}")
    return view.render(
        "key.html",
        key=key,
        code=code.changing(
            "POST",
            f"llmos key revoke {id}",
            f"/llmos/v1/keys/{quote_path(id)}/revoke",
            {},
            f'client.keys.revoke("{id}")',
        ),
    )


@PAGE.post("/{id}/rotate")
async def rotate_key(view: View) -> Response:
    await view.form()
    id = view.request.path_params["id"]
    view.form_came_from = f"/settings/keys/{id}"
    return _show_once(view, await view.api.post(f"/llmos/v1/keys/{id}/rotate"))


@PAGE.post("/{id}/revoke")
async def revoke_key(view: View) -> Response:
    await view.form()
    id = view.request.path_params["id"]
    view.form_came_from = f"/settings/keys/{id}"
    await view.api.post(f"/llmos/v1/keys/{id}/revoke")
    return view.redirect(view.form_came_from, view.t("keys.revoked", id=id))


async def projects_of(view: View) -> list[str]:
    """Return the projects that the visitor may choose among; none if there is only the own one."""
    if view.session.project != "owner" or not view.may("projects:read"):
        return []
    names = [each.name for each in await view.api.list(ProjectDescription, "/llmos/v1/projects")]
    return ["owner", *(name for name in names if name != "owner")]


def _show_once(view: View, created: Any) -> Response:
    """Return the page with the text of a new key, which no other page has."""
    key = NewKeyDescription(**{name: created[name] for name in ("id", "name", "role", "project", "key")})
    view.shown_path = "/settings/keys"
    return view.render("key_once.html", key=key)
