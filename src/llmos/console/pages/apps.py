"""Apps: what is made and deployed, with runs and errors; one version: manifest, files, prompts, differences, log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Fragments, Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import NotFound
from llmos.core.schemas.apps import AppDescription, AppDifference, AppFileDescription, AppVersionDescription
from llmos.core.schemas.hosted_apps import AppDeploymentDescription
from llmos.core.schemas.runs import RunCount

PAGE = Page(name="apps", permission="apps:read", tab="apps.title")

_LOG_LINES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class AppRow:
    """An application in the list."""

    newest: AppDescription
    deployment: AppDeploymentDescription | None
    runs: Mapping[str, int]
    """{state: number of runs}"""

    @property
    def state(self) -> str:
        return "undeployed" if self.deployment is None else self.deployment.state


_COLUMNS: Sequence[Column[AppRow]] = (
    Column(
        name="name",
        title="apps.name",
        value=lambda row: row.newest.name,
        link=lambda row: f"/apps/{row.newest.name}",
    ),
    Column(name="version", title="apps.newest", value=lambda row: row.newest.version),
    Column(name="state", title="keys.state", value=lambda row: row.state, kind="state"),
    Column(name="serving", title="apps.serving", value=lambda row: row.deployment and row.deployment.serving),
    Column(name="model", title="apps.model", value=lambda row: row.newest.model),
    Column(name="num_runs", title="apps.runs", value=lambda row: sum(row.runs.values()), kind="number"),
    Column(name="num_failed", title="apps.failed", value=lambda row: row.runs.get("failed", 0), kind="number"),
    Column(name="num_waiting", title="apps.waiting", value=lambda row: row.runs.get("waiting", 0), kind="number"),
    Column(name="reason", title="deployments.reason", value=lambda row: row.deployment and row.deployment.reason),
)
_FILES: Sequence[Column[AppFileDescription]] = (
    Column(name="name", title="apps.file", value=lambda row: row.name),
    Column(name="size_bytes", title="models.size", value=lambda row: row.size_bytes, kind="size"),
    Column(name="digest", title="models.digest", value=lambda row: row.digest),
)


@PAGE.get()
async def list_apps(view: View) -> Response:
    table = Table(view, "apps", _COLUMNS, await _rows(view), empty="apps.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "apps.html",
        table=table,
        code=code.reading(
            "llmos app deployments",
            "/llmos/v1/app-deployments",
            "for each in client.apps.deployments():\n    print(each.version, each.state)",
        ),
    )


@PAGE.get("/{ref}")
async def show_app(view: View) -> Response:
    ref = view.request.path_params["ref"]
    app = await view.api.read(AppVersionDescription, f"/llmos/v1/apps/{ref}")
    files = Table(view, "files", _FILES, app.files, empty="apps.no_files")
    if files.is_wanted_as_csv:
        return files.csv()
    other = view.query("to")
    difference = None
    if other:
        difference = await view.api.read(AppDifference, f"/llmos/v1/apps/{app.version}/diff", to=other)
    return view.render(
        "app.html",
        app=app,
        files=files,
        other=other,
        difference=difference,
        files_path=f"/llmos/v1/apps/{quote_path(app.version)}/files",
        code=code.changing(
            "POST",
            f"llmos app deploy {app.version}",
            f"/llmos/v1/apps/{quote_path(app.version)}/deploy",
            {},
            f'client.apps.deploy("{app.version}")',
        ),
        **await _at_work(view, app.name),
    )


@PAGE.live("/{ref}")
async def watch_app(view: View) -> Fragments:
    name = _name(view.request.path_params["ref"])
    at_work = await _at_work(view, name)
    return {
        "deployment": view.html("app_deployment.html", name=name, **at_work),
        "log": view.html("app_log.html", log=at_work["log"]),
    }


@PAGE.post("/{ref}/deploy")
async def deploy(view: View) -> Response:
    form, ref = await _change(view)
    version = form.get("version") or ref
    described = await view.api.post(f"/llmos/v1/apps/{version}/deploy")
    if described["state"] == "failed":
        return view.redirect(f"/apps/{_name(ref)}", str(described["reason"]), kind="failed")
    return view.redirect(f"/apps/{_name(ref)}", view.t("apps.deployed", version=described["version"]))


@PAGE.post("/{ref}/stop")
async def stop(view: View) -> Response:
    _, ref = await _change(view)
    await view.api.post(f"/llmos/v1/apps/{_name(ref)}/stop")
    return view.redirect(f"/apps/{_name(ref)}", view.t("apps.stopped", name=_name(ref)))


@PAGE.post("/{ref}/remove")
async def remove(view: View) -> Response:
    _, ref = await _change(view)
    await view.api.delete(f"/llmos/v1/apps/{ref}")
    return view.redirect("/apps", view.t("apps.removed", version=ref))


async def _rows(view: View) -> list[AppRow]:
    newest: dict[str, AppDescription] = {}
    for each in await view.api.list(AppDescription, "/llmos/v1/apps"):
        if each.name not in newest or _number(each.version) > _number(newest[each.name].version):
            newest[each.name] = each
    deployed = await view.api.list(AppDeploymentDescription, "/llmos/v1/app-deployments")
    deployments = {each.app: each for each in deployed}
    runs = await count_runs(view)
    return [
        AppRow(newest=newest[name], deployment=deployments.get(name), runs=runs.get(name, {}))
        for name in sorted(newest)
    ]


async def count_runs(view: View) -> dict[str, dict[str, int]]:
    """Return {application: {state: number of runs}}."""
    counts: dict[str, dict[str, int]] = {}
    for each in await view.api.list(RunCount, "/llmos/v1/runs/counts"):
        counts.setdefault(each.app, {})[each.state] = each.num_runs
    return counts


async def _at_work(view: View, name: str) -> dict[str, Any]:
    """Return how an application is deployed, the end of its log, and its runs by state."""
    runs = (await count_runs(view)).get(name, {})
    links = [(state, number, f"/runs?{urlencode({'app': name, 'state': state})}") for state, number in runs.items()]
    try:
        deployment = await view.api.read(AppDeploymentDescription, f"/llmos/v1/apps/{name}/deployment")
    except NotFound:
        return {"deployment": None, "log": "", "runs": links}
    reply = await view.api.send("GET", f"/llmos/v1/apps/{name}/logs", lines=_LOG_LINES)
    return {"deployment": deployment, "log": reply.body.decode("utf-8", "replace"), "runs": links}


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    form, ref = await view.form(), view.request.path_params["ref"]
    view.form_came_from = f"/apps/{ref}"
    return form, ref


def _name(ref: str) -> str:
    return ref.partition("@")[0].partition(":")[0]


def _number(version: str) -> int:
    return int(version.rpartition("@")[2])
