"""llmos project create, list, show, remove: the tenants of the installation."""

from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.confirmation import confirm
from llmos.cli.control import open_control
from llmos.cli.limits import facts_of, readable_limits
from llmos.cli.output import print_facts, print_json, print_table, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from llmos.client.security_calls import Limits

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The project.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        help="Manage projects: each has keys, files, batches and responses of its own.",
    )
    group.command("create")(create)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("limit")(limit)
    group.command("retention")(retention)
    group.command("remove")(remove)
    app.add_typer(group, name="project")


@options.with_limits
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits, and . _ - between them.")],
    description: Annotated[str, typer.Option(help="The purpose of the project.", show_default=False)] = "",
    as_json: options.AsJson = False,
    *,
    limits: "Limits",
) -> None:
    """Create a project. All its keys share its limits."""
    with open_control(load_settings()) as control:
        project = control.projects.create(name, description=description, limits=limits)
    if as_json:
        print_json(project)
        return
    stdout().print(f"Created {name}. To create a key for it: llmos key create --project {name}")


def list_(as_json: options.AsJson = False) -> None:
    """List projects. `owner` is the installation's own, which the owner's key belongs to."""
    with open_control(load_settings()) as control:
        projects = control.projects.list()
    columns = {"name": "project", "num_keys": "keys", "created_at": "since", "description": "description"}
    print_table(projects, columns, as_json=as_json)


def show(name: _Name, as_json: options.AsJson = False) -> None:
    """Describe a project."""
    with open_control(load_settings()) as control:
        project = control.projects.get(name)
    if as_json:
        print_json(project)
        return
    print_facts(facts_of(project))


@options.with_limits
def limit(name: _Name, as_json: options.AsJson = False, *, limits: "Limits") -> None:
    """Replace the limits of a project, which all its keys share. A limit that isn't given is removed."""
    with open_control(load_settings()) as control:
        project = control.projects.set_limits(name, **limits)
    if as_json:
        print_json(project)
        return
    stdout().print(f"The limits of {name}: {readable_limits(project.limits)}.")


def retention(
    name: _Name,
    days: Annotated[int | None, typer.Option(min=1, help="Keep everything this long.", show_default=False)] = None,
    nothing: Annotated[bool, typer.Option("--nothing", help="Keep nothing at all.")] = False,
    forever: Annotated[
        bool, typer.Option("--forever", help="Keep everything until it is deleted by a caller.")
    ] = False,
    default: Annotated[
        bool,
        typer.Option("--default", help="Keep responses for 30 days, and files until they are deleted by a caller."),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Set the time for which responses, files and batches of a project are stored. Older ones are deleted at once."""
    chosen = [
        text for text, is_chosen in (("nothing", nothing), ("forever", forever), ("default", default)) if is_chosen
    ]
    chosen += [] if days is None else [f"{days}d"]
    if len(chosen) != 1:
        raise BadRequest("Choose one of --days N, --nothing, --forever and --default.")
    with open_control(load_settings()) as control:
        project = control.projects.set_retention(name, chosen[0])
    if as_json:
        print_json(project)
        return
    stdout().print(f"The retention of {name}: {project.retention}.")


def remove(
    name: _Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Revoke a project's keys and delete its files, batches and stored responses. The name can't be used again."""
    if not yes:
        confirm(f"Revoke the keys of {name} and delete all that is kept for it?")
    with open_control(load_settings()) as control:
        control.projects.remove(name)
    stdout().print(f"Removed {name}, with its keys and what was kept for it.")
