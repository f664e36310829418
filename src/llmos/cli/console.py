"""llmos console: open the server's web pages, signed in."""

import re
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.output import print_json, stderr
from llmos.core.errors import NotFound

if TYPE_CHECKING:
    from llmos.client import Client

_NOT_IN_NAMES = re.compile(r"[^a-z0-9._@+-]+")


def register(app: typer.Typer) -> None:
    app.command("console")(console)


def console(
    user: Annotated[
        str | None,
        typer.Option(help="The user to sign in.", show_default="the user of this machine, as an owner"),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address only.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Open the console of the running server in a browser, signed in.

    The address works once, and for five minutes. Without --user it is for the user with your name on this machine, who
    is created as an owner without a password if there is none.
    """
    from llmos.client import Client
    from llmos.console import CONSOLE_PATH

    client = Client()
    name = user or _own_user(client)
    link = client.users.create_link(name)
    url = f"{client.endpoint}{link.path}&next={CONSOLE_PATH}/sign-in?signed_in=yes"
    if as_json:
        print_json({"user": link.user, "url": url, "expires_at": link.expires_at})
        return
    print(url)
    stderr().print(f"The address signs {link.user} in, once, within five minutes.")
    if not no_browser:
        webbrowser.open(url)


def _own_user(client: "Client") -> str:
    """Return the user with the name of this machine's user, who is created if there is none."""
    from llmos.core.who import this_user

    name = _NOT_IN_NAMES.sub("-", this_user().lower()).strip("._@+-")[:58] or "owner"
    try:
        return client.users.get(name).name
    except NotFound:
        stderr().print(f"Created the user {name}, role owner, without a password. To list users: llmos user list")
        return client.users.create(name, role="owner").name
