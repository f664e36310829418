"""llmos user create, list, show, set-password, set-role, disable, enable, sign-out, remove: people who sign in."""

import os
import sys
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.confirmation import confirm
from llmos.cli.control import open_control
from llmos.cli.output import print_facts, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.users import UserDescription

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The user.")]
_FromEnv = Annotated[
    str | None,
    typer.Option(metavar="VARIABLE", help="Read the password from this environment variable.", show_default=False),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Manage users: people who sign in with a browser.")
    group.command("create")(create)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("set-password")(set_password)
    group.command("set-role")(set_role)
    group.command("disable")(disable)
    group.command("enable")(enable)
    group.command("sign-out")(sign_out)
    group.command("remove")(remove)
    app.add_typer(group, name="user")


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as ann or ann@example.com.")],
    role: Annotated[str, typer.Option(help="viewer, developer, operator or owner.")] = "developer",
    project: Annotated[str, typer.Option(help="The project.")] = "owner",
    password_from_env: _FromEnv = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="Set it later.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Create a user. Prompts for the password, or reads it from standard input."""
    password = None if no_password else _read_password(password_from_env)
    with open_control(load_settings()) as control:
        user = control.users.create(name, role=role, project=project, password=password)
    hint = f" To set a password: llmos user set-password {name}" if password is None else ""
    _print(user, f"Created {name}, role {user.role}, project {user.project}.{hint}", as_json=as_json)


def list_(
    project: Annotated[str | None, typer.Option(help="Only users of this project.", show_default="all")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List users."""
    with open_control(load_settings()) as control:
        users = control.users.list(project)
    if not users and not as_json:
        stderr().print("There are no users. To create one: llmos user create NAME --role owner")
        return
    columns = {
        "name": "user",
        "project": "project",
        "role": "role",
        "state": "state",
        "num_sessions": "sessions",
        "signed_in_at": "last sign-in",
        "issuer": "from",
    }
    print_table(users, columns, as_json=as_json)


def show(name: _Name, as_json: options.AsJson = False) -> None:
    """Describe a user."""
    with open_control(load_settings()) as control:
        user = control.users.get(name)
    if as_json:
        print_json(user)
        return
    print_facts(user)


def set_password(name: _Name, password_from_env: _FromEnv = None, as_json: options.AsJson = False) -> None:
    """Change a user's password, and end the user's sessions. Prompts for the password, or reads it from standard
    input."""
    password = _read_password(password_from_env)
    with open_control(load_settings()) as control:
        user = control.users.set_password(name, password)
    _print(user, f"Set the password of {name}, whose sessions have ended.", as_json=as_json)


def set_role(
    name: _Name,
    role: Annotated[str, typer.Option(help="viewer, developer, operator or owner.")],
    project: Annotated[str | None, typer.Option(help="Another project.", show_default="the same")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Change the role of a user. It applies to existing sessions, too."""
    with open_control(load_settings()) as control:
        user = control.users.set_role(name, role, project=project)
    _print(user, f"{name} has the role {user.role} in the project {user.project} now.", as_json=as_json)


def disable(name: _Name, as_json: options.AsJson = False) -> None:
    """Block a user until `enable`. Ends the user's sessions."""
    with open_control(load_settings()) as control:
        user = control.users.disable(name)
    _print(user, f"Disabled {name}. To let the user in again: llmos user enable {name}", as_json=as_json)


def enable(name: _Name, as_json: options.AsJson = False) -> None:
    """Let a disabled user sign in again."""
    with open_control(load_settings()) as control:
        user = control.users.enable(name)
    _print(user, f"Enabled {name}.", as_json=as_json)


def sign_out(name: _Name, as_json: options.AsJson = False) -> None:
    """End all sessions of a user, in every browser."""
    with open_control(load_settings()) as control:
        ended = control.users.sign_out(name)
    if as_json:
        print_json(ended)
        return
    stdout().print(f"Ended {ended.num_sessions} session{'s' * (ended.num_sessions != 1)} of {name}.")


def remove(name: _Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False) -> None:
    """Remove a user and end the user's sessions. The name can't be used again."""
    if not yes:
        confirm(f"Remove the user {name}? The name can't be given again.")
    with open_control(load_settings()) as control:
        control.users.remove(name)
    stdout().print(f"Removed {name}.")


def _print(user: UserDescription, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(user)
        return
    stdout().print(sentence)


def _read_password(variable: str | None) -> str:
    """Return the password. It is never an argument: every user of the machine can read the command line."""
    if variable is not None:
        password = os.environ.get(variable, "")
        if not password:
            raise BadRequest(f"The variable {variable} is empty or not set.", param="password_from_env")
        return password
    if sys.stdin.isatty():
        asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise BadRequest(
            "There is no password on standard input. Pipe it in, name a variable with --password-from-env, or run the"
            " command in a terminal, which asks for it.",
            param="password",
        )
    return password
