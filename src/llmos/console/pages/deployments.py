"""Deployments: what runs and what should, live; deploy, scale, sleep, wake, undeploy."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.forms import whole_number
from llmos.console.metrics import TOKENS, read_sums, tokens_per_second
from llmos.console.page import Fragments, Page
from llmos.console.pages.logs import log_lines
from llmos.console.pages.nodes import nodes_of
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.deployments import DeploymentDescription, DeploymentEventDescription
from llmos.core.schemas.models import ModelDescription
from llmos.core.schemas.nodes import NodeDescription

PAGE = Page(name="deployments", permission="deployments:read", tab="deployments.title")

_LOG_LINES = 100
_OPTIONS = ("kv_bytes", "snapshot_bytes", "max_sequences", "context_length")
"""Options of the engine that the page of `fit` has calculated."""

_EVENTS: Sequence[Column[DeploymentEventDescription]] = (
    Column(name="at", title="deployments.at", value=lambda row: row.at, kind="time"),
    Column(name="kind", title="deployments.event", value=lambda row: row.kind),
    Column(name="actor", title="deployments.actor", value=lambda row: row.actor),
    Column(name="reason", title="deployments.reason", value=lambda row: row.reason),
)


@PAGE.get()
async def list_deployments(view: View) -> Response:
    may_deploy = view.may("deployments:write")
    return view.render(
        "deployments.html",
        deployments=await _deployments(view),
        placements=placements(await nodes_of(view)) if may_deploy else [],
        models=await view.api.list(ModelDescription, "/llmos/v1/models") if may_deploy else [],
        may_deploy=may_deploy,
        code=code.reading(
            "llmos ps",
            "/llmos/v1/deployments",
            "for each in client.deployments.list():\n    print(each)",
        ),
        deploy_code=code.changing(
            "PUT",
            "llmos deploy smollm2@1 --replicas 2",
            "/llmos/v1/deployments/smollm2@1",
            {"replicas": 2},
            'client.deployments.deploy("smollm2@1", replicas=2)',
        ),
    )


@PAGE.live()
async def watch_deployments(view: View) -> Fragments:
    return {"deployments": view.html("deployments_list.html", deployments=await _deployments(view))}


@PAGE.get("/check")
async def check(view: View) -> Response:
    """Show whether the version that is chosen in the form fits, before it is deployed."""
    return view.redirect(f"/models/{view.query('version')}/fit" if view.query("version") else "/deployments")


@PAGE.post("/deploy")
async def deploy(view: View) -> Response:
    form = await view.form()
    version = form.get("version", "")
    if not version:
        raise BadRequest(view.t("deployments.no_model"))
    before = next((each.wanted for each in await _deployments(view) if each.version == version), None)
    body: dict[str, Any] = {
        "min_replicas": whole_number(view, form, "min_replicas", 1),
        "max_replicas": whole_number(view, form, "max_replicas", 1),
        "keep_warm": "keep_warm" in form,
    }
    if before is not None:  # The server replaces all settings, and the form doesn't have these.
        body |= {"runner": before.runner, "options": before.options, "placement": before.placement}
    if "placement" in form:
        body["placement"] = form["placement"] or None
    options = {name: whole_number(view, form, name, 0) for name in _OPTIONS if form.get(name, "").strip()}
    body["options"] = {**body.get("options", {}), **options}
    if form.get("idle_seconds"):
        body["idle_seconds"] = whole_number(view, form, "idle_seconds", 0)
    await view.api.put(f"/llmos/v1/deployments/{version}", body)
    return view.redirect("/deployments", view.t("deployments.deployed", version=version))


@PAGE.get("/{ref}")
async def show_deployment(view: View) -> Response:
    ref = view.request.path_params["ref"]
    deployment = await view.api.read(DeploymentDescription, f"/llmos/v1/deployments/{ref}")
    events: Sequence[DeploymentEventDescription] = ()
    if deployment.wanted is not None:
        events = await view.api.list(DeploymentEventDescription, f"/llmos/v1/deployments/{ref}/history")
    history = Table(view, "events", _EVENTS, events[::-1], empty="deployments.no_events")
    if history.is_wanted_as_csv:
        return history.csv()
    return view.render(
        "deployment.html",
        ref=ref,
        each=deployment,
        history=history,
        lines=await _log(view, deployment.version),
        **await _pace(view, deployment.version),
        code=code.changing(
            "POST",
            f"llmos scale {ref} --replicas 2",
            f"/llmos/v1/deployments/{quote_path(ref)}/scale",
            {"replicas": 2},
            f'client.deployments.scale("{ref}", 2)',
        ),
    )


@PAGE.live("/{ref}")
async def watch_deployment(view: View) -> Fragments:
    ref = view.request.path_params["ref"]
    deployment = await view.api.read(DeploymentDescription, f"/llmos/v1/deployments/{ref}")
    pace = await _pace(view, deployment.version)
    shown = {"deployment": view.html("deployment_state.html", each=deployment, **pace)}
    if view.may("logs:read"):
        shown["log"] = view.html("logs_lines.html", lines=await _log(view, deployment.version))
    return shown


@PAGE.post("/{ref}/scale")
async def scale(view: View) -> Response:
    form, ref = await _change(view)
    body = {name: whole_number(view, form, name, 0) for name in ("min_replicas", "max_replicas")}
    await view.api.post(f"/llmos/v1/deployments/{ref}/scale", body)
    return view.redirect(f"/deployments/{ref}", view.t("deployments.scaled", version=ref))


@PAGE.post("/{ref}/sleep")
async def sleep(view: View) -> Response:
    _, ref = await _change(view)
    await view.api.post(f"/llmos/v1/deployments/{ref}/sleep")
    return view.redirect(f"/deployments/{ref}", view.t("deployments.slept", version=ref))


@PAGE.post("/{ref}/wake")
async def wake(view: View) -> Response:
    _, ref = await _change(view)
    await view.api.post(f"/llmos/v1/deployments/{ref}/wake")
    return view.redirect(f"/deployments/{ref}", view.t("deployments.woken", version=ref))


@PAGE.post("/{ref}/remove")
async def undeploy(view: View) -> Response:
    _, ref = await _change(view)
    await view.api.delete(f"/llmos/v1/deployments/{ref}")
    return view.redirect("/deployments", view.t("deployments.removed", version=ref))


def placements(nodes: Sequence[NodeDescription]) -> list[tuple[str, str, str]]:
    """Return where a version can run, if there are nodes: the setting, the key of its text, and what the text names."""
    if not nodes:
        return []
    labels = sorted({f"{name}={value}" for node in nodes for name, value in node.labels.items()})
    return [
        ("", "deployments.here", ""),
        ("nodes", "deployments.any_node", ""),
        *((node.name, "deployments.on_node", node.name) for node in nodes),
        *((label, "deployments.with_label", label) for label in labels),
    ]


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    """Return the fields of a form on a deployment's page, and the deployment."""
    form, ref = await view.form(), view.request.path_params["ref"]
    view.form_came_from = f"/deployments/{ref}"
    return form, ref


async def _log(view: View, version: str) -> Sequence[tuple[str, str]]:
    """Return the last lines of the log about a version; none for a visitor who may not read the log."""
    return await log_lines(view, _LOG_LINES, version=version) if view.may("logs:read") else []


async def _pace(view: View, version: str) -> Mapping[str, Any]:
    """Return what the version's replicas write; None for a visitor who may not see what all callers do together."""
    if not view.may("metrics:read"):
        return {"tokens_per_second": None, "num_tokens": None}
    num_tokens = (await read_sums(view, (TOKENS,), model=version))[TOKENS]
    return {"tokens_per_second": tokens_per_second(view, num_tokens), "num_tokens": num_tokens}


async def _deployments(view: View) -> list[DeploymentDescription]:
    return await view.api.list(DeploymentDescription, "/llmos/v1/deployments")
