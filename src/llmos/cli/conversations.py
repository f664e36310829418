"""llmos conversation list, show, rename, rm: the key's stored conversations with models."""

from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_facts, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings

_Id = Annotated[str, typer.Argument(metavar="CONVERSATION", help="Its id: see `llmos conversation list`.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Search, read, rename and remove stored conversations with models.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("rename")(rename)
    group.command("rm")(rm)
    app.add_typer(group, name="conversation")


def list_(
    words: Annotated[
        str,
        typer.Argument(metavar="[WORDS]", help="Only conversations that contain all these words.", show_default=False),
    ] = "",
    limit: Annotated[int, typer.Option("-n", min=1, max=200, help="The maximum number.")] = 20,
    as_json: options.AsJson = False,
) -> None:
    """List your key's conversations, the most recently used first. Those of other keys and of users are never shown."""
    with open_control(load_settings()) as control:
        page = control.conversations.list(words, limit=limit)
        found = [*page.data]
        while page.next is not None and len(found) < limit:  # A search reads a limited amount at a time.
            page = control.conversations.list(words, after=page.next, limit=limit - len(found))
            found += page.data
    if as_json:
        print_json(found)
        return
    if not found:
        stderr().print("No conversation has these words." if words else "There are no conversations.")
        return
    columns = {"id": "conversation", "title": "title", "num_messages": "messages", "updated_at": "used"}
    print_table(found, columns | ({"excerpt": "found"} if words else {}))


def show(id: _Id, as_json: options.AsJson = False) -> None:
    """Show the last used branch of a conversation; with --json, all branches."""
    with open_control(load_settings()) as control:
        found = control.conversations.get(id)
    if as_json:
        print_json(found)
        return
    print_facts({name: getattr(found, name) for name in ("id", "title", "num_messages", "updated_at", "expires_at")})
    branch, at = [], found.leaf
    while at is not None:
        branch.append(found.messages[at].message)
        at = found.messages[at].parent
    for message in reversed(branch):
        content = message.get("content")
        text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())
        stdout().print(f"\n{message.get('role', '')}: {text}", markup=False)


def rename(
    id: _Id,
    title: Annotated[str, typer.Argument(metavar="TITLE", help="The new title.")],
    as_json: options.AsJson = False,
) -> None:
    """Give a conversation another title."""
    with open_control(load_settings()) as control:
        changed = control.conversations.change(id, title=title)
    if as_json:
        print_json(changed)
    else:
        stdout().print(f"{id} is called {changed.title}.", markup=False)


def rm(id: _Id) -> None:
    """Remove a conversation with all its branches."""
    with open_control(load_settings()) as control:
        control.conversations.remove(id)
    stdout().print(f"Removed {id}.")
