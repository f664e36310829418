"""The calls about deployed applications: what each sends and how its reply is read."""

from collections.abc import Mapping
from typing import Any, TypedDict
from urllib.parse import quote, urlencode

from llmos.client.call import Call, DownloadCall, json_object, read_as, read_each, read_one
from llmos.client.draft import MalformedReply
from llmos.client.server_errors import parse_error
from llmos.core.schemas.hosted_apps import AppDeploymentDescription, RunEvent, RunResult

_APPS = "/llmos/v1/apps"


class RunSettings(TypedDict, total=False):
    """The settings of one run."""

    session: str
    """The conversation that it belongs to, by a name of your own."""
    user: str
    """The person whose data the run has, for erasures."""
    variables: Mapping[str, Any]
    """Values for variables of the application's prompt."""
    messages: list[Mapping[str, Any]]
    """The conversation before the input, instead of a session."""
    dry_run: bool
    """Call no tools and cause no side effects."""
    wait_seconds: float
    """Wait this long for another run in the session to end."""
    priority: int


def deploy_app(name: str, version: int | None, alias: str | None) -> Call[AppDeploymentDescription]:
    body = {key: value for key, value in (("version", version), ("alias", alias)) if value is not None}
    return Call(method="POST", path=_path(name, "deploy"), body=body, read=read_one(AppDeploymentDescription))


def stop_app(name: str) -> Call[AppDeploymentDescription]:
    return Call(method="POST", path=_path(name, "stop"), read=read_one(AppDeploymentDescription))


def get_app_deployment(name: str) -> Call[AppDeploymentDescription]:
    return Call(method="GET", path=_path(name, "deployment"), read=read_one(AppDeploymentDescription))


def list_app_deployments() -> Call[list[AppDeploymentDescription]]:
    return Call(method="GET", path="/llmos/v1/app-deployments", read=read_each(AppDeploymentDescription))


def run_app(name: str, input: Any, settings: RunSettings) -> Call[RunResult]:
    return Call(method="POST", path=_path(name, "runs"), body={"input": input, **settings}, read=read_one(RunResult))


def stream_app(name: str, input: Any, settings: RunSettings) -> DownloadCall:
    body = {"input": input, "stream": True, **settings}
    return DownloadCall(method="POST", path=_path(name, "runs"), body=body)


def resume_app(name: str, run: str, value: Mapping[str, Any]) -> Call[RunResult]:
    """`value`: {} or {"value": …}."""
    path = f"{_path(name, 'runs')}/{quote(run, safe='')}/resume"
    return Call(method="POST", path=path, body=value, read=read_one(RunResult))


def read_app_logs(name: str, lines: int, follow: bool) -> DownloadCall:
    query = urlencode({"lines": lines, "follow": str(follow).lower()})
    return DownloadCall(path=f"{_path(name, 'logs')}?{query}")


def read_event(body: Any) -> RunEvent:
    """Return an event of a run. Raises the error that one without an answer ends with."""
    body = json_object(body)
    event = read_as(RunEvent, body)
    if event.type == "error":
        raise parse_error(424, body)
    if event.type == "done" and event.run is None:
        raise MalformedReply
    return event


def _path(name: str, what: str) -> str:
    return f"{_APPS}/{quote(name, safe='@:')}/{what}"
