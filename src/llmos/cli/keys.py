"""llmos key create, list, show, rotate, revoke: API keys."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.limits import facts_of, readable_limits
from llmos.cli.output import print_facts, print_json, print_table, shown, stderr, stdout
from llmos.cli.times import parse_duration, parse_moment
from llmos.core.config import load_settings
from llmos.core.schemas.keys import KeyDescription, NewKeyDescription
from llmos.core.suggest import nearest

if TYPE_CHECKING:
    from llmos.cli.control.port import ControlPort
    from llmos.client.security_calls import Limits

_Id = Annotated[str, typer.Argument(metavar="ID", help="The key's id, such as key-3f….")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Manage API keys. The owner's key isn't one of them.")
    group.command("create")(create)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("limit")(limit)
    group.command("rotate")(rotate)
    group.command("revoke")(revoke)
    app.add_typer(group, name="key")


@options.with_limits
def create(
    project: Annotated[str | None, typer.Option(help="The project.", show_default="owner")] = None,
    role: Annotated[str, typer.Option(help="viewer, developer, operator or owner.")] = "developer",
    name: Annotated[
        str, typer.Option(help="A label, such as the owner or the purpose of the key.", show_default=False)
    ] = "",
    expires: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="In 90d, 12h or 30m, or a date: 2027-01-31.", show_default="never"),
    ] = None,
    route: Annotated[
        list[str] | None,
        typer.Option(help="A route or model that the key may request. Can be repeated.", show_default="all"),
    ] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CIDR", help="A network that the key may be used from. Can be repeated.", show_default="all"
        ),
    ] = None,
    as_json: options.AsJson = False,
    *,
    limits: "Limits",
) -> None:
    """Create an API key and print it. It can't be printed again."""
    expires_at = None if expires is None else parse_moment(expires)
    with open_control(load_settings()) as control:
        for unknown in _unknown_names(control, route or []):
            stderr().print(f"Note: {unknown}")
        key = control.keys.create(
            project=project,
            role=role,
            name=name,
            expires_at=expires_at,
            routes=route or [],
            addresses=address or [],
            limits=limits,
        )
    _print_new(key, as_json=as_json)


def list_(
    project: Annotated[str | None, typer.Option(help="Only keys of this project.", show_default="all")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List API keys, including revoked and expired ones. Their secret texts are never shown."""
    with open_control(load_settings()) as control:
        keys = control.keys.list(project)
    if not keys and not as_json:
        stderr().print("There are no API keys, only the owner's. To create one: llmos key create")
        return
    columns = {
        "id": "key",
        "project": "project",
        "name": "name",
        "role": "role",
        "state": "state",
        "ends_with": "ends with",
        "expires_at": "expires",
        "last_used_at": "last used",
    }
    print_table(keys, columns, as_json=as_json)


def show(id: _Id, as_json: options.AsJson = False) -> None:
    """Describe an API key."""
    with open_control(load_settings()) as control:
        key = control.keys.get(id)
    _print_key(key, as_json=as_json)


@options.with_limits
def limit(id: _Id, as_json: options.AsJson = False, *, limits: "Limits") -> None:
    """Replace the limits of an API key. A limit that isn't given is removed; the limits of its project stay."""
    with open_control(load_settings()) as control:
        key = control.keys.set_limits(id, **limits)
    if as_json:
        print_json(key)
        return
    stdout().print(f"The limits of {id}: {readable_limits(key.limits)}.")


def rotate(
    id: _Id,
    overlap: Annotated[
        str,
        typer.Option(metavar="TIME", help="The time for which the old text keeps working: 24h, 30m, or 0s for none."),
    ] = "24h",
    as_json: options.AsJson = False,
) -> None:
    """Give an API key a new secret text and print it. Id, role and restrictions stay."""
    with open_control(load_settings()) as control:
        key = control.keys.rotate(id, overlap=parse_duration(overlap))
    _print_new(key, as_json=as_json)


def revoke(id: _Id, as_json: options.AsJson = False) -> None:
    """End an API key at once."""
    with open_control(load_settings()) as control:
        key = control.keys.revoke(id)
    if as_json:
        print_json(key)
        return
    stdout().print(f"Revoked {id}. A running server refuses it within seconds.")


def _unknown_names(control: "ControlPort", names: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each name that is neither a route nor a model. It may become one later."""
    if not names:
        return
    routes = {route.name for route in control.routes.list()}
    models = {model.version.partition("@")[0] for model in control.models.list()}
    for name in names:
        if name in routes or re.split("[:@]", name, maxsplit=1)[0] in models:
            continue
        near = nearest(name, sorted(routes | models), 1)
        yield f"there is no route or model {name!r}" + (f"; did you mean {near[0]}?" if near else " yet.")


def _print_new(key: NewKeyDescription, *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    old = "" if key.old_expires_at is None else f" The old text works until {shown(key.old_expires_at)}."
    stderr().print(f"{key.id}: role {key.role}, project {key.project}.{old} Copy the key now; it can't be shown again:")
    stdout().print(key.key)


def _print_key(key: KeyDescription, *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    print_facts(facts_of(key))
