"""llmos ps, stop: what the server runs."""

from typing import Any

import typer

from llmos.cli import options


def register(app: typer.Typer) -> None:
    app.command("ps")(ps)
    app.command("stop")(stop)


def ps(as_json: options.AsJson = False) -> None:
    """List what is deployed and what else the server runs: replicas ready, replicas wanted."""
    from llmos.cli.output import print_json, print_table, stderr
    from llmos.client import Client

    with Client() as client:
        deployments = [deployment.raw for deployment in client.deployments.list()]
    if not deployments and not as_json:
        stderr().print(f"The server at {client.endpoint} runs no model yet; it loads one when it is first asked for.")
        return
    if as_json:
        print_json(deployments)
        return
    has_reasons = any(each.get("reason") for each in deployments)
    columns = _COLUMNS | ({"reason": "why not ready"} if has_reasons else {})
    print_table([_shown(each) for each in deployments], columns)


def stop(model: options.ModelOrRoute) -> None:
    """Stop a model that the server runs, when its answers are whole. Who asks for it next loads it again."""
    from llmos.client import Client

    with Client() as client:
        client.deployments.stop(model)
    print(f"{model} is stopped.")


_COLUMNS = {
    "version": "model",
    "state": "state",
    "replicas": "replicas",
    "pid": "pid",
    "requests": "requests",
    "memory": "memory",
    "restarts": "restarts",
    "since": "since",
}


def _shown(deployment: dict[str, Any]) -> dict[str, Any]:
    from datetime import datetime

    from llmos.cli.output import readable_size

    load, ready, since = (deployment.get(name) for name in ("load", "ready", "since"))
    percent, seconds_left = deployment.get("percent_loaded"), deployment.get("seconds_left")
    progress = [f"{percent:.0f} %"] if percent is not None else []
    progress += [f"{seconds_left:.0f} s left"] if seconds_left is not None else []
    return {
        **deployment,
        "state": " ".join([deployment["state"], *([f"({', '.join(progress)})"] if progress else [])]),
        "replicas": f"{deployment.get('replicas_ready', 0)}/{deployment.get('replicas_wanted', 0)}",
        "requests": load and f"{load['num_running']} running, {load['num_waiting']} waiting",
        # The KV cache takes real memory only as it fills.
        "memory": ready and f"up to {readable_size(ready['weight_bytes'] + ready['kv_bytes'])}",
        "since": since and datetime.fromisoformat(since),
    }
