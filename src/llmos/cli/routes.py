"""llmos route set, list, rm: the names that callers ask for."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.output import print_json, print_table, stdout
from llmos.cli.remote import remote_server
from llmos.core.config import load_settings

if TYPE_CHECKING:
    from llmos.deployments.route import Route
    from llmos.deployments.routes import Routes

_Name = Annotated[str, typer.Argument(help="The name that callers ask for.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="The names that callers ask for, and the models behind them.")
    group.command("set")(set_)
    group.command("list")(list_)
    group.command("rm")(rm)
    app.add_typer(group, name="route")


def set_(
    name: _Name,
    target: options.ModelReference,
    as_json: options.AsJson = False,
) -> None:
    """Point a name at a model. A running server follows at once."""
    if (server := remote_server(load_settings())) is not None:
        route = server.routes.set(name, target).raw
    else:
        route = _facts(_open().set(name, target))
    if as_json:
        print_json(route)
        return
    stdout().print(f"{route['name']} → {route['target']}")


def list_(as_json: options.AsJson = False) -> None:
    """List the routes, and the version that each leads to."""
    if (server := remote_server(load_settings())) is not None:
        rows = [route.raw for route in server.routes.list()]
        print_table(rows, {"name": "route", "target": "model"}, as_json=as_json)
        return
    routes = _open()
    dangling = {route.name for route in routes.dangling()}
    rows = [
        _facts(route) | {"version": None if route.name in dangling else routes.resolve(route.name).ref}
        for route in routes.list()
    ]
    columns = {"name": "route", "target": "model", "version": "answers now", "updated_at": "since"}
    print_table(rows, columns, as_json=as_json)


def rm(name: _Name) -> None:
    """Remove a route. Who asks for the name then gets a 404 that says how to set it."""
    if (server := remote_server(load_settings())) is not None:
        server.routes.remove(name)
    else:
        _open().remove(name)
    stdout().print(f"Removed the route {name}.")


def _facts(route: "Route") -> dict[str, Any]:
    return {"name": route.name, "target": route.target, "updated_at": route.updated_at}


def _open() -> "Routes":
    from llmos.deployments.routes import Routes
    from llmos.models import open_registry

    return Routes(open_registry(load_settings()))
