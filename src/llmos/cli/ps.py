"""llmos ps, stop: what a server runs."""

from typing import Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import fields_of, print_json, print_table, readable_size, stderr
from llmos.core.config import load_settings
from llmos.core.schemas.deployments import DeploymentDescription


def register(app: typer.Typer) -> None:
    app.command("ps")(ps)
    app.command("stop")(stop)


def ps(as_json: options.AsJson = False) -> None:
    """List running and deployed models."""
    with open_control(load_settings()) as control:
        deployments = control.deployments.running()
        url = control.server_url
    if as_json:
        print_json(deployments)
    elif not deployments:
        stderr().print(f"The server at {url} runs no models yet. It loads a model at its first request.")
    else:
        has_reasons = any(each.reason for each in deployments)
        columns = _COLUMNS | ({"reason": "reason"} if has_reasons else {})
        print_table([_readable(each) for each in deployments], columns)


def stop(model: options.ModelOrRoute) -> None:
    """Stop a running model after its running requests finish. The next request loads it again."""
    with open_control(load_settings()) as control:
        control.deployments.stop(model)
    print(f"{model} is stopped.")


_COLUMNS = {
    "version": "model",
    "state": "state",
    "replicas": "replicas",
    "pid": "pid",
    "nodes": "nodes",
    "requests": "requests",
    "memory": "memory",
    "restarts": "restarts",
    "since": "since",
}


def _readable(deployment: DeploymentDescription) -> dict[str, Any]:
    load, ready = deployment.load, deployment.ready
    progress = [f"{deployment.percent_loaded:.0f} %"] if deployment.percent_loaded is not None else []
    progress += [f"{deployment.seconds_left:.0f} s left"] if deployment.seconds_left is not None else []
    return {
        **fields_of(deployment),
        "state": " ".join([deployment.state, *([f"({', '.join(progress)})"] if progress else [])]),
        "replicas": f"{deployment.replicas_ready}/{deployment.replicas_wanted}",
        "nodes": ", ".join(dict.fromkeys(each.node for each in deployment.replicas if each.node)) or None,
        "requests": load and f"{load.num_running} running, {load.num_waiting} waiting",
        # The KV cache takes memory only as it fills.
        "memory": ready and f"up to {readable_size(ready.weight_bytes + ready.kv_bytes)}",
    }
