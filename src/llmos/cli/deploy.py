"""llmos deploy, scale, sleep, wake, undeploy, deployment list|history: the versions that a server keeps running.

Deployments are kept in the database, so these commands need no running server: a server follows within a second.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import ControlPort, open_control
from llmos.cli.output import fields_of, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.deployments import DeploymentDescription, DeploymentSpec

_Replicas = Annotated[int | None, typer.Option("--replicas", help="Fixed number of replicas.", show_default=False)]
_Min = Annotated[
    int | None, typer.Option("--min", help="Minimum replicas; 0 unloads it while idle.", show_default=False)
]
_Max = Annotated[int | None, typer.Option("--max", help="Maximum replicas under load.", show_default=False)]
_Deployed = Annotated[str, typer.Argument(metavar="MODEL", help="A deployed version: NAME@NUMBER, NAME or NAME:ALIAS.")]


def register(app: typer.Typer) -> None:
    app.command("deploy")(deploy)
    app.command("scale")(scale)
    app.command("sleep")(sleep)
    app.command("wake")(wake)
    app.command("undeploy")(undeploy)
    group = typer.Typer(no_args_is_help=True, help="Show deployments and their history.")
    group.command("list")(list_)
    group.command("history")(history)
    app.add_typer(group, name="deployment")


def deploy(
    model: options.ModelReference,
    replicas: _Replicas = None,
    least: _Min = None,
    most: _Max = None,
    idle: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="Unload it after this long without a request.", show_default=False),
    ] = None,
    keep_warm: Annotated[bool, typer.Option("--keep-warm", help="Never unload it.")] = False,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Run it on `nodes` of the cluster, on the node of this name, on those with LABEL=VALUE, or where "
            "`ray` has room. By default on the server's machine.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="Split it over nodes of the cluster: `auto`, or the layers of each node, as in a:0-9,b:10-19. The "
            "first node also has the embedding and the head.",
            show_default=False,
        ),
    ] = None,
    split_anyway: Annotated[
        bool, typer.Option("--split-anyway", help="With --split: also where one node has room for all of it.")
    ] = False,
    route: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also point this route at it.", show_default=False)
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An engine option, such as threads=2. Can be repeated."),
    ] = None,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Deploy a version: keep it running. Replaces the settings of an earlier deployment."""
    from llmos.deployments.desired.deployment import replica_limits
    from llmos.deployments.placing.split_placement import split_placement
    from llmos.deployments.routing.route_names import check_route_name

    if split is not None and on is not None:
        raise BadRequest("--on and --split contradict each other: --split names the nodes.", param="split")
    if split is None and split_anyway:
        raise BadRequest("--split-anyway needs --split.", param="split")

    min_replicas, max_replicas = replica_limits(replicas, least, most)
    if route is not None:
        route = check_route_name(route)  # before anything is deployed
    settings: Any = {
        "min_replicas": min_replicas,
        "max_replicas": max_replicas,
        "idle_seconds": idle,
        "keep_warm": keep_warm,
        "options": _engine_options(option or []),
        "placement": on if split is None else split_placement(split, is_wanted_anyway=split_anyway),
    }
    with open_control(load_settings()) as control:
        deployment = control.deployments.deploy(model, **settings)
        ref = deployment.version
        task = control.models.details(ref).task
        if route is not None:
            control.routes.set(route, ref, reason=f"{ref} was deployed for it.")
        if as_json:
            print_json(deployment)
            return
        replicas_text = _render_replicas(min_replicas, max_replicas)
        stdout().print(
            f"{ref} is deployed: {replicas_text}.{f' Its task is {task}.' if task in ('embed', 'rerank') else ''}"
        )
        if route is not None:
            stdout().print(f"{route} → {ref}")
        _print_next_step(control)


def scale(
    model: _Deployed,
    replicas: _Replicas = None,
    least: _Min = None,
    most: _Max = None,
    as_json: options.AsJson = False,
) -> None:
    """Change the number of replicas of a deployment. A limit that isn't given stays."""
    with open_control(load_settings()) as control:
        deployment = control.deployments.scale(model, replicas=replicas, min_replicas=least, max_replicas=most)
    wanted = deployment.wanted or DeploymentSpec()
    replicas_text = _render_replicas(wanted.min_replicas, wanted.max_replicas)
    _print_change(deployment, f"{deployment.version} is scaled to {replicas_text}.", as_json)


def sleep(model: _Deployed, as_json: options.AsJson = False) -> None:
    """Unload a deployment after its running requests finish. The next request wakes it."""
    with open_control(load_settings()) as control:
        deployment = control.deployments.sleep(model)
    _print_change(deployment, f"{deployment.version} sleeps.", as_json)


def wake(model: _Deployed, as_json: options.AsJson = False) -> None:
    """Load a sleeping deployment now, before the next request."""
    with open_control(load_settings()) as control:
        deployment = control.deployments.wake(model)
    _print_change(deployment, f"{deployment.version} is awake.", as_json)


def undeploy(model: _Deployed) -> None:
    """Remove a deployment after its running requests finish. Later requests load the model on demand."""
    with open_control(load_settings()) as control:
        ref = control.deployments.remove(model)
    stdout().print(f"{ref} is not deployed any more.")


def list_(as_json: options.AsJson = False) -> None:
    """List deployments. For their state, see `llmos ps`."""
    with open_control(load_settings()) as control:
        specs = [each.wanted for each in control.deployments.list() if each.wanted is not None]
    if not specs and not as_json:
        stderr().print("Nothing is deployed. To deploy a model: llmos deploy smollm2")
        return
    columns = {
        "version": "model",
        "min_replicas": "min",
        "max_replicas": "max",
        "idle_seconds": "idle (s)",
        "keep_warm": "keep warm",
        "asleep": "asleep",
        "forced": "forced",
        "updated_at": "since",
    }
    print_table(specs, columns, as_json=as_json)


def history(model: _Deployed, as_json: options.AsJson = False) -> None:
    """Show the events of a deployment, oldest first, even after it was removed."""
    with open_control(load_settings()) as control:
        events = control.deployments.history(model)
    if as_json:
        print_json(events)
        return
    rows = [
        {**fields_of(event), "data": ", ".join(f"{name} {value}" for name, value in event.data.items())}
        for event in events
    ]
    print_table(rows, {"at": "when", "kind": "what", "actor": "by", "reason": "why", "data": "details"})


def _engine_options(given: list[str]) -> Mapping[str, Any]:
    """Return options by name; numbers, true and false are parsed. Raises BadRequest if one isn't NAME=VALUE."""
    import json

    from llmos.core.errors import BadRequest

    chosen: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise BadRequest(f"--option {each} has no value: write it as NAME=VALUE.", param="option")
        try:
            chosen[name] = json.loads(value)
        except ValueError:
            chosen[name] = value
    return chosen


def _render_replicas(min_replicas: int, max_replicas: int) -> str:
    if min_replicas == max_replicas:
        return f"{max_replicas} replica{'s' * (max_replicas != 1)}"
    return f"{min_replicas} to {max_replicas} replicas"


def _print_change(deployment: DeploymentDescription, text: str, as_json: bool) -> None:
    if as_json:
        print_json(deployment)
    else:
        stdout().print(text)


def _print_next_step(control: ControlPort) -> None:
    if control.is_served:
        stderr().print("Run `llmos ps` to check progress.")
    else:
        stderr().print("No server is running. To start one, which loads it: llmos serve")
