"""Releases of applications: what a release would change, apply it, the history with who did what, and the way back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from llmos.client.server_errors import parse_error
from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.forms import whole_number
from llmos.console.page import Fragments, Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.apps import AppDescription, AppVersionDescription
from llmos.core.schemas.base import read_description
from llmos.core.schemas.releases import ReleaseDescription, ReleaseEventDescription, ReleasePlan, ReplayDescription

PAGE = Page(name="apps", path="/releases", permission="apps:read", in_navigation=False, tab="releases.title")

TAKING_OVER = ("starting", "running")
_TAR = {"content-type": "application/x-tar"}


@dataclass(frozen=True, slots=True)
class AppRow:
    """An application with its newest release."""

    app: str
    newest: ReleaseDescription | None


_APPS: Sequence[Column[AppRow]] = (
    Column(name="app", title="apps.name", value=lambda row: row.app, link=lambda row: f"/releases/{row.app}"),
    Column(name="number", title="releases.number", value=lambda row: row.newest and row.newest.number),
    Column(name="version", title="models.version", value=lambda row: row.newest and row.newest.version),
    Column(name="environment", title="releases.environment", value=lambda row: row.newest and row.newest.environment),
    Column(
        name="state",
        title="keys.state",
        value=lambda row: row.newest.state if row.newest else "unreleased",
        kind="state",
    ),
    Column(name="begun_by", title="deployments.actor", value=lambda row: row.newest and row.newest.begun_by),
    Column(name="created_at", title="runs.began", value=lambda row: row.newest and row.newest.created_at, kind="time"),
)
_RELEASES: Sequence[Column[ReleaseDescription]] = (
    Column(name="number", title="releases.number", value=lambda row: row.number, kind="number"),
    Column(
        name="version", title="models.version", value=lambda row: row.version, link=lambda row: f"/apps/{row.version}"
    ),
    Column(name="environment", title="releases.environment", value=lambda row: row.environment),
    Column(name="state", title="keys.state", value=lambda row: row.state, kind="state"),
    Column(name="percent", title="rollouts.percent", value=lambda row: row.percent, kind="number"),
    Column(name="begun_by", title="deployments.actor", value=lambda row: row.begun_by),
    Column(name="created_at", title="runs.began", value=lambda row: row.created_at, kind="time"),
    Column(name="ended_at", title="runs.ended", value=lambda row: row.ended_at, kind="time"),
    Column(name="reason", title="deployments.reason", value=lambda row: row.reason),
)
_EVENTS: Sequence[Column[ReleaseEventDescription]] = (
    Column(name="at", title="deployments.at", value=lambda row: row.at, kind="time"),
    Column(name="release", title="releases.number", value=lambda row: row.release, kind="number"),
    Column(name="kind", title="deployments.event", value=lambda row: row.kind),
    Column(name="actor", title="deployments.actor", value=lambda row: row.actor),
    Column(name="reason", title="deployments.reason", value=lambda row: row.reason),
)


@PAGE.get()
async def list_released(view: View) -> Response:
    found = await view.api.list(AppDescription, "/llmos/v1/apps")
    rows = []
    for name in sorted({each.name for each in found}):
        releases = await _releases(view, name)
        rows.append(AppRow(name, releases[0] if releases else None))
    table = Table(view, "apps", _APPS, rows, empty="apps.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "releases.html",
        table=table,
        code=code.reading(
            "llmos plan support",
            "/llmos/v1/apps/support/releases",
            'plan = client.apps.plan("support")\nfor change in plan.changes:\n    print(change.text)',
        ),
    )


@PAGE.get("/{name}")
async def show_releases(view: View) -> Response:
    name = view.request.path_params["name"]
    releases = await _releases(view, name)
    events = await view.api.list(ReleaseEventDescription, f"/llmos/v1/apps/{name}/releases/events")
    released = Table(view, "releases", _RELEASES, releases, empty="releases.none")
    history = Table(view, "events", _EVENTS, events[::-1], empty="deployments.no_events")
    for table in (released, history):
        if table.is_wanted_as_csv:
            return table.csv()
    app = await view.api.read(AppVersionDescription, f"/llmos/v1/apps/{name}")
    asked = {each: view.query(each) for each in ("version", "environment")}
    return view.render(
        "release.html",
        app=app,
        asked=asked,
        plan=await _plan(view, asked) if asked["version"] else None,
        released=released,
        history=history,
        **_at_work(releases),
        code=code.reading(
            f"llmos app releases {name} --events",
            f"/llmos/v1/apps/{quote_path(name)}/releases",
            f'for each in client.apps.releases("{name}"):\n    print(each.number, each.version, each.state)',
        ),
        apply_code=code.changing(
            "POST",
            f"llmos apply {name}" + (f" --env {asked['environment']}" if asked["environment"] else ""),
            f"/llmos/v1/apps/{quote_path(name)}/releases",
            {"version": _number(app.version), "environment": asked["environment"]},
            f'client.apps.release("{name}", {_number(app.version)}, environment="{asked["environment"]}")',
        ),
    )


@PAGE.live("/{name}")
async def watch_releases(view: View) -> Fragments:
    releases = await _releases(view, view.request.path_params["name"])
    return {"at-work": view.html("release_state.html", **_at_work(releases))}


@PAGE.post("/{name}/apply")
async def apply(view: View) -> Response:
    """Release what was planned. The server refuses it if there is another release since."""
    form, name = await view.form(), view.request.path_params["name"]
    ref, environment = form.get("version", ""), form.get("environment", "").strip()
    view.form_came_from = _plan_path(name, ref, environment)
    if not ref:
        raise BadRequest(view.t("releases.no_version"))
    made = await view.api.send_bytes("POST", "/llmos/v1/apps", await _files(view, ref), _TAR, environment=environment)
    body: dict[str, Any] = {"version": _number(made["version"]), "environment": environment}
    body["at_once"] = "at_once" in form
    if form.get("newest_release"):
        body["newest_release"] = whole_number(view, form, "newest_release", 0)
    begun = read_description(ReleaseDescription, await view.api.post(f"/llmos/v1/apps/{name}/releases", body))
    text = view.t("releases.begun", number=begun.number, version=begun.version, state=view.t.of("state", begun.state))
    return view.redirect(f"/releases/{name}", text)


@PAGE.post("/{name}/rollback")
async def roll_back(view: View) -> Response:
    form, name = await view.form(), view.request.path_params["name"]
    view.form_came_from = f"/releases/{name}"
    body = {"reason": form.get("reason", "").strip()}
    now = read_description(ReleaseDescription, await view.api.post(f"/llmos/v1/apps/{name}/rollback", body))
    return view.redirect(view.form_came_from, view.t("releases.rolled_back", version=now.version))


@PAGE.post("/{name}/replay")
async def replay(view: View) -> Response:
    """Ask a stored version and the deployed one what callers asked; the run of the eval has the answers."""
    form, name = await view.form(), view.request.path_params["name"]
    ref = form.get("version", "")
    view.form_came_from = _plan_path(name, ref, "")
    if not ref:
        raise BadRequest(view.t("releases.no_version"))
    body = {"version": _number(ref), "max_runs": whole_number(view, form, "max_runs", 200)}
    begun = read_description(ReplayDescription, await view.api.post(f"/llmos/v1/apps/{name}/replays", body))
    if begun.id:
        return view.redirect(f"/evals/{begun.id}", view.t("releases.replaying", version=ref, against=begun.against))
    raise BadRequest(" ".join([*begun.sentences, *begun.left_out]) or view.t("releases.nothing_to_replay"))


async def _releases(view: View, name: str) -> Sequence[ReleaseDescription]:
    return await view.api.list(ReleaseDescription, f"/llmos/v1/apps/{name}/releases")


def _at_work(releases: Sequence[ReleaseDescription]) -> Mapping[str, Any]:
    """Return the release that answers callers, and the one that takes over."""
    return {
        "active": next((each for each in releases if each.state == "active"), None),
        "taking_over": next((each for each in releases if each.state in TAKING_OVER), None),
    }


async def _plan(view: View, asked: Mapping[str, str]) -> ReleasePlan:
    """Return what a release of a stored version would change. A plan changes nothing; the server takes it as a POST,
    which needs the visitor's token."""
    view.api.csrf_token = view.session.csrf_token
    files = await _files(view, asked["version"])
    found = await view.api.send_bytes("POST", "/llmos/v1/app-plans", files, _TAR, environment=asked["environment"])
    return read_description(ReleasePlan, found)


async def _files(view: View, ref: str) -> bytes:
    """Return the archive of a version's files."""
    reply = await view.api.send("GET", f"/llmos/v1/apps/{ref}/files")
    if reply.status >= 400:
        raise parse_error(reply.status, reply.json())
    return reply.body


def _plan_path(name: str, version: str, environment: str) -> str:
    return f"/releases/{name}?{urlencode({'version': version, 'environment': environment})}"


def _number(version: str) -> int:
    return int(version.rpartition("@")[2])
