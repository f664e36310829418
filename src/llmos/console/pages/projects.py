"""Projects: list, create, and one with its keys, limits and retention."""

from collections.abc import Sequence

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.schemas.projects import ProjectDescription

PAGE = Page(
    name="settings", path="/settings/projects", permission="projects:read", in_navigation=False, tab="projects.title"
)

_COLUMNS: Sequence[Column[ProjectDescription]] = (
    Column(
        name="name",
        title="projects.name",
        value=lambda row: row.name,
        link=lambda row: f"/settings/projects/{row.name}",
    ),
    Column(name="description", title="models.description", value=lambda row: row.description),
    Column(name="num_keys", title="projects.keys", value=lambda row: row.num_keys, kind="number"),
    Column(name="retention", title="projects.retention", value=lambda row: row.retention),
    Column(name="created_at", title="projects.created", value=lambda row: row.created_at, kind="time"),
)


@PAGE.get()
async def list_projects(view: View) -> Response:
    projects = await view.api.list(ProjectDescription, "/llmos/v1/projects")
    table = Table(view, "projects", _COLUMNS, projects, empty="projects.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "projects.html",
        table=table,
        code=code.changing(
            "POST",
            "llmos project create acme",
            "/llmos/v1/projects",
            {"name": "acme"},
            'client.projects.create("acme")',
        ),
    )


@PAGE.post("/create")
async def create_project(view: View) -> Response:
    form = await view.form()
    name = form.get("name", "").strip()
    await view.api.post("/llmos/v1/projects", {"name": name, "description": form.get("description", "")})
    return view.redirect("/settings/projects", view.t("projects.was_created", name=name))


@PAGE.get("/{name}")
async def show_project(view: View) -> Response:
    name = view.request.path_params["name"]
    project = await view.api.read(ProjectDescription, f"/llmos/v1/projects/{name}")
    return view.render(
        "project.html",
        project=project,
        code=code.changing(
            "PUT",
            f"llmos project set-retention {name} 30d",
            f"/llmos/v1/projects/{quote_path(name)}/retention",
            {"retention": "30d"},
            f'client.projects.set_retention("{name}", "30d")',
        ),
    )


@PAGE.post("/{name}/retention")
async def set_retention(view: View) -> Response:
    form, name = await view.form(), view.request.path_params["name"]
    view.form_came_from = f"/settings/projects/{name}"
    retention = form.get("retention", "").strip()
    await view.api.put(f"/llmos/v1/projects/{name}/retention", {"retention": retention})
    return view.redirect(view.form_came_from, view.t("projects.retained", name=name, retention=retention))


@PAGE.post("/{name}/remove")
async def remove_project(view: View) -> Response:
    await view.form()
    name = view.request.path_params["name"]
    view.form_came_from = f"/settings/projects/{name}"
    await view.api.delete(f"/llmos/v1/projects/{name}")
    return view.redirect("/settings/projects", view.t("projects.removed", name=name))
