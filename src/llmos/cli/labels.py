"""llmos tag, describe: tags and descriptions of models and versions."""

from collections.abc import Sequence
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_json, print_table, readable_tags, stdout
from llmos.core.config import load_settings
from llmos.core.schemas.labels import LabelChangeDescription

_Subject = Annotated[
    str, typer.Argument(metavar="MODEL", help="NAME for the model; NAME@3 or NAME:ALIAS for one version.")
]
_History = Annotated[bool, typer.Option("--history", help="Show all changes: when, by whom, before and after.")]


def register(app: typer.Typer) -> None:
    app.command("tag")(tag)
    app.command("describe")(describe)


def tag(
    model: _Subject,
    tags: Annotated[
        list[str] | None, typer.Argument(metavar="TAG", help="Tags to set: KEY or KEY=VALUE.", show_default=False)
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--rm", metavar="KEY", help="Tag to remove. Can be repeated.", show_default=False),
    ] = None,
    history: _History = False,
    as_json: options.AsJson = False,
) -> None:
    """Set and remove tags, and show the tags. `llmos list --tag TAG` lists the models with a tag."""
    from llmos.core.versioning.labels import parse_tag

    with open_control(load_settings()) as control:
        labels = control.labels.get(model)
        if tags or remove:
            labels = control.labels.change(model, tags=dict(map(parse_tag, tags or [])), remove_tags=remove or [])
        changes = control.labels.history(model) if history else []
    if history:
        _print_history([change for change in changes if change.what != "description"], as_json)
    elif as_json:
        print_json(labels.tags)
    else:
        stdout().print(readable_tags(labels.tags) or f"{model} has no tags.")


def describe(
    model: _Subject,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="The new description; an empty one removes it.", show_default=False),
    ] = None,
    history: _History = False,
    as_json: options.AsJson = False,
) -> None:
    """Set the description of a model or a version; without TEXT, show it."""
    with open_control(load_settings()) as control:
        labels = control.labels.get(model) if text is None else control.labels.change(model, description=text)
        changes = control.labels.history(model) if history else []
    if history:
        _print_history([change for change in changes if change.what == "description"], as_json)
    elif as_json:
        print_json({"description": labels.description})
    else:
        stdout().print(labels.description or f"{model} has no description.")


def _print_history(changes: Sequence[LabelChangeDescription], as_json: bool) -> None:
    columns = {"at": "when", "subject": "of", "what": "what", "was": "was", "now": "now", "by": "by"}
    print_table(changes, columns, as_json=as_json)
