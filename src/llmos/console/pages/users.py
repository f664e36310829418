"""Users: list, create, and one with role, sessions, and the ways to keep it out."""

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Page
from llmos.console.pages.keys import ROLES, projects_of
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.schemas.users import UserDescription

PAGE = Page(name="settings", path="/settings/users", permission="users:read", in_navigation=False, tab="users.title")

_COLUMNS: Sequence[Column[UserDescription]] = (
    Column(name="name", title="users.name", value=lambda row: row.name, link=lambda row: f"/settings/users/{row.name}"),
    Column(name="role", title="users.role", value=lambda row: row.role),
    Column(name="project", title="users.project", value=lambda row: row.project),
    Column(name="state", title="keys.state", value=lambda row: row.state, kind="state"),
    Column(name="num_sessions", title="users.sessions", value=lambda row: row.num_sessions, kind="number"),
    Column(name="signed_in_at", title="users.signed_in", value=lambda row: row.signed_in_at, kind="time"),
    Column(name="issuer", title="users.issuer", value=lambda row: row.issuer),
)


@PAGE.get()
async def list_users(view: View) -> Response:
    table = Table(view, "users", _COLUMNS, await view.api.list(UserDescription, "/llmos/v1/users"), empty="users.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "users.html",
        table=table,
        roles=ROLES,
        projects=await projects_of(view),
        code=code.changing(
            "POST",
            "llmos user create ben --role developer",
            "/llmos/v1/users",
            {"name": "ben", "role": "developer"},
            'client.users.create("ben", role="developer")',
        ),
    )


@PAGE.post("/create")
async def create_user(view: View) -> Response:
    form = await view.form()
    body = {name: form[name] for name in ("name", "role", "project", "password") if form.get(name)}
    await view.api.post("/llmos/v1/users", body)
    return view.redirect("/settings/users", view.t("users.was_created", name=form.get("name", "")))


@PAGE.get("/{name}")
async def show_user(view: View) -> Response:
    name = view.request.path_params["name"]
    user = await view.api.read(UserDescription, f"/llmos/v1/users/{name}")
    return view.render(
        "user.html",
        user=user,
        roles=ROLES,
        code=code.changing(
            "PUT",
            f"llmos user set-role {name} {user.role}",
            f"/llmos/v1/users/{quote_path(name)}/role",
            {"role": user.role},
            f'client.users.set_role("{name}", "{user.role}")',
        ),
    )


@PAGE.post("/{name}/role")
async def set_role(view: View) -> Response:
    form, name = await _change(view)
    await view.api.put(f"/llmos/v1/users/{name}/role", {"role": form.get("role", "")})
    return view.redirect(f"/settings/users/{name}", view.t("users.role_set", name=name, role=form.get("role", "")))


@PAGE.post("/{name}/sign-out")
async def sign_out(view: View) -> Response:
    _, name = await _change(view)
    ended = await view.api.post(f"/llmos/v1/users/{name}/sign-out")
    return view.redirect(f"/settings/users/{name}", view.t("users.signed_out", name=name, number=ended["num_sessions"]))


@PAGE.post("/{name}/disable")
async def disable(view: View) -> Response:
    _, name = await _change(view)
    await view.api.post(f"/llmos/v1/users/{name}/disable")
    return view.redirect(f"/settings/users/{name}", view.t("users.disabled", name=name))


@PAGE.post("/{name}/enable")
async def enable(view: View) -> Response:
    _, name = await _change(view)
    await view.api.post(f"/llmos/v1/users/{name}/enable")
    return view.redirect(f"/settings/users/{name}", view.t("users.enabled", name=name))


@PAGE.post("/{name}/remove")
async def remove_user(view: View) -> Response:
    _, name = await _change(view)
    await view.api.delete(f"/llmos/v1/users/{name}")
    return view.redirect("/settings/users", view.t("users.removed", name=name))


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    """Return the fields of a form on a user's page, and the user."""
    form, name = await view.form(), view.request.path_params["name"]
    view.form_came_from = f"/settings/users/{name}"
    return form, name
