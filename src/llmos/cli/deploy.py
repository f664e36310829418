"""llmos deploy, scale, sleep, wake, undeploy, deployment list|history: what is wanted to run.

What is wanted is kept in the database, so these commands need no server: a running one follows within a second.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.output import print_json, print_table, stderr, stdout
from llmos.cli.remote import remote_server
from llmos.core.config import load_settings
from llmos.core.who import this_user

if TYPE_CHECKING:
    from llmos.deployments.desired.deployment import Deployment
    from llmos.deployments.desired.deployments import Deployments
    from llmos.models.registry import Registry

_Replicas = Annotated[int | None, typer.Option("--replicas", help="So many replicas, always.", show_default=False)]
_Min = Annotated[
    int | None, typer.Option("--min", help="At least so many; 0 unloads it while idle.", show_default=False)
]
_Max = Annotated[int | None, typer.Option("--max", help="At most so many, under load.", show_default=False)]
_Deployed = Annotated[str, typer.Argument(metavar="MODEL", help="What is deployed: NAME@NUMBER, NAME or NAME:ALIAS.")]


def register(app: typer.Typer) -> None:
    app.command("deploy")(deploy)
    app.command("scale")(scale)
    app.command("sleep")(sleep)
    app.command("wake")(wake)
    app.command("undeploy")(undeploy)
    group = typer.Typer(no_args_is_help=True, help="What is deployed, and what happened to it.")
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
        typer.Option(metavar="SECONDS", help="Unload it when nobody has asked for so long.", show_default=False),
    ] = None,
    keep_warm: Annotated[bool, typer.Option("--keep-warm", help="Never unload it.")] = False,
    route: Annotated[
        str | None, typer.Option(metavar="NAME", help="Point this route at it, too.", show_default=False)
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An option of the engine, such as threads=2; may be repeated."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Whatever its card says; the history keeps that.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Keep a version of a model running. What was wanted of it before is forgotten."""
    from llmos.deployments.desired.deployment import DeploymentSettings, replica_limits
    from llmos.models.names import check_name

    min_replicas, max_replicas = replica_limits(replicas, least, most)
    if route is not None:
        check_name(route, "a route")  # before anything is deployed
    settings: dict[str, Any] = {
        "min_replicas": min_replicas,
        "max_replicas": max_replicas,
        "idle_seconds": idle,
        "keep_warm": keep_warm,
        "options": _engine_options(option or []),
    }
    if (server := remote_server(load_settings())) is not None:
        deployed = server.deployments.deploy(model, **settings, force=force)
        ref, facts = deployed.version, deployed.raw
        if route is not None:
            server.routes.set(route, ref)
    else:
        registry = _open_registry()
        deployment = _deployments(registry).deploy(
            model, DeploymentSettings(**settings), actor=this_user(), force=force
        )
        ref, facts = deployment.ref, _facts(deployment)
        if route is not None:
            _point(registry, route, ref)
    if as_json:
        print_json(facts)
        return
    stdout().print(f"{ref} is deployed: {_in_words(min_replicas, max_replicas)}.")
    if route is not None:
        stdout().print(f"{route} → {ref}")
    _say_what_follows()


def scale(
    model: _Deployed,
    replicas: _Replicas = None,
    least: _Min = None,
    most: _Max = None,
    as_json: options.AsJson = False,
) -> None:
    """Change how many replicas a deployment has. A limit that isn't given stays."""
    asked = {"replicas": replicas, "min_replicas": least, "max_replicas": most}
    if (server := remote_server(load_settings())) is not None:
        facts = server.deployments.scale(model, **asked).raw
        wanted = facts["wanted"]
    else:
        facts = wanted = _facts(_deployments(_open_registry()).scale(model, actor=this_user(), **asked))
    if as_json:
        print_json(facts)
    else:
        stdout().print(f"{facts['version']} is to have {_in_words(wanted['min_replicas'], wanted['max_replicas'])}.")


def sleep(model: _Deployed, as_json: options.AsJson = False) -> None:
    """Unload a deployment when its answers are whole. Who asks for it next wakes it."""
    if (server := remote_server(load_settings())) is not None:
        facts = server.deployments.stop(model).raw
    else:
        facts = _facts(_deployments(_open_registry()).sleep(model, actor=this_user()))
    if as_json:
        print_json(facts)
    else:
        stdout().print(f"{facts['version']} sleeps.")


def wake(model: _Deployed, as_json: options.AsJson = False) -> None:
    """Load a deployment that sleeps, before anybody asks for it."""
    if (server := remote_server(load_settings())) is not None:
        facts = server.deployments.wake(model).raw
    else:
        facts = _facts(_deployments(_open_registry()).wake(model, actor=this_user()))
    if as_json:
        print_json(facts)
    else:
        stdout().print(f"{facts['version']} is awake.")


def undeploy(model: _Deployed) -> None:
    """Keep a version running no longer. Its running answers end first; who calls it has it loaded on demand."""
    if (server := remote_server(load_settings())) is not None:
        server.deployments.remove(model)
        ref = model
    else:
        ref = _deployments(_open_registry()).remove(model, actor=this_user()).ref
    stdout().print(f"{ref} is deployed no longer.")


def list_(as_json: options.AsJson = False) -> None:
    """List what is deployed. What runs, and how it is, says: llmos ps."""
    if (server := remote_server(load_settings())) is not None:
        rows = [each.raw["wanted"] | {"version": each.version} for each in server.deployments.list() if each.wanted]
    else:
        rows = [_facts(each) for each in _deployments(_open_registry()).list()]
    if not rows and not as_json:
        stderr().print("Nothing is deployed. Deploy a model with: llmos deploy smollm2")
        return
    columns = {
        "version": "model",
        "min_replicas": "at least",
        "max_replicas": "at most",
        "idle_seconds": "sleeps after (s)",
        "keep_warm": "kept warm",
        "asleep": "asleep",
        "forced": "forced",
        "updated_at": "since",
    }
    print_table(rows, columns, as_json=as_json)


def history(model: _Deployed, as_json: options.AsJson = False) -> None:
    """Say what happened to a deployment, oldest first; also to one that was removed."""
    if (server := remote_server(load_settings())) is not None:
        rows = [event.raw for event in server.deployments.history(model)]
    else:
        rows = [
            {
                "at": event.at,
                "kind": event.kind,
                "actor": event.actor,
                "reason": event.reason,
                "data": dict(event.data),
            }
            for event in _deployments(_open_registry()).history(model)
        ]
    if as_json:
        print_json(rows)
        return
    shown = [{**row, "data": ", ".join(f"{name} {value}" for name, value in row["data"].items())} for row in rows]
    print_table(shown, {"at": "at", "kind": "what", "actor": "by", "reason": "why", "data": "how"})


def _engine_options(given: list[str]) -> Mapping[str, Any]:
    """Raises BadRequest for what isn't NAME=VALUE. Numbers and true or false are read as such."""
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


def _in_words(min_replicas: int, max_replicas: int) -> str:
    if min_replicas == max_replicas:
        return f"{max_replicas} replica{'s' * (max_replicas != 1)}"
    return f"{min_replicas} to {max_replicas} replicas"


def _say_what_follows() -> None:
    from llmos.cli.speaker import is_served

    settings = load_settings()
    if is_served(settings.endpoint):
        stderr().print("When it is ready, says: llmos ps")
    else:
        stderr().print("No server runs here yet; it is loaded when one does: llmos serve")


def _facts(deployment: "Deployment") -> dict[str, Any]:
    """A deployment, with the keys of the server's own JSON."""
    return {
        "version": deployment.ref,
        "min_replicas": deployment.min_replicas,
        "max_replicas": deployment.max_replicas,
        "runner": deployment.runner,
        "options": dict(deployment.options),
        "idle_seconds": deployment.idle_seconds,
        "keep_warm": deployment.keep_warm,
        "forced": deployment.forced,
        "asleep": deployment.asleep,
        "created_at": deployment.created_at,
        "updated_at": deployment.updated_at,
    }


def _point(registry: "Registry", route: str, ref: str) -> None:
    from llmos.deployments.routing.routes import Routes

    Routes(registry).set(route, ref, reason=f"{ref} was deployed for it.", actor=this_user())


def _open_registry() -> "Registry":
    from llmos.models import open_registry

    return open_registry(load_settings())


def _deployments(registry: "Registry") -> "Deployments":
    from llmos.deployments.opening import open_deployments

    return open_deployments(registry, load_settings())
