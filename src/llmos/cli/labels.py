"""llmos tag, describe: what people say of models and versions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.output import print_json, print_table, stdout
from llmos.cli.remote import refuse_remote
from llmos.core.config import load_settings

if TYPE_CHECKING:
    from llmos.models.registry import Registry
    from llmos.models.versions.labels import LabelChange

_Subject = Annotated[
    str, typer.Argument(metavar="MODEL", help="NAME is the model; NAME@3 or NAME:ALIAS one version of it.")
]
_History = Annotated[bool, typer.Option("--history", help="Print what was ever said, by whom and when.")]


def register(app: typer.Typer) -> None:
    app.command("tag")(tag)
    app.command("describe")(describe)


def tag(
    model: _Subject,
    tags: Annotated[
        list[str] | None, typer.Argument(metavar="TAG", help="To set: a word, or KEY=VALUE.", show_default=False)
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--rm", metavar="KEY", help="To remove; may be repeated.", show_default=False)
    ] = None,
    history: _History = False,
    as_json: options.AsJson = False,
) -> None:
    """Set and remove tags, then print those that there are. `llmos list --tag TAG` finds what has one."""
    from llmos.models.versions.labels import parse_tag

    registry = _open("tag")
    labels = registry.labels.get(model)
    if tags or remove:
        labels = registry.labels.tag(model, dict(map(parse_tag, tags or [])), remove or [])
    if history:
        changes = [change for change in registry.labels.history(model) if change.what != "description"]
        _print_history(changes, as_json)
    elif as_json:
        print_json(dict(labels.tags))
    else:
        stdout().print(readable_tags(labels.tags) or f"{model} has no tag.")


def describe(
    model: _Subject,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="What to say from now on; empty for nothing.", show_default=False),
    ] = None,
    history: _History = False,
    as_json: options.AsJson = False,
) -> None:
    """Say in words what a model or a version is for; without TEXT, print what is said."""
    registry = _open("describe")
    labels = registry.labels.get(model) if text is None else registry.labels.describe(model, text)
    if history:
        changes = [change for change in registry.labels.history(model) if change.what == "description"]
        _print_history(changes, as_json)
    elif as_json:
        print_json({"description": labels.description})
    else:
        stdout().print(labels.description or f"{model} has no description.")


def readable_tags(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" if value else key for key, value in tags.items())


def _print_history(changes: "Sequence[LabelChange]", as_json: bool) -> None:
    rows = [
        {
            "at": change.at,
            "subject": change.subject,
            "what": change.what,
            "was": change.was,
            "now": change.now,
            "by": change.actor,
        }
        for change in changes
    ]
    print_table(
        rows, {"at": "when", "subject": "of", "what": "what", "was": "was", "now": "now", "by": "by"}, as_json=as_json
    )


def _open(command: str) -> "Registry":
    from llmos.models import open_registry

    settings = load_settings()
    refuse_remote(settings, command)
    return open_registry(settings)
