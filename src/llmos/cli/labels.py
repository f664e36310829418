"""The commands tag and describe of every noun with versions: tags and descriptions of names and versions."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.named_nouns import MODELS, NamedNoun
from llmos.cli.output import print_json, print_table, readable_tags, stdout
from llmos.core.config import load_settings
from llmos.core.schemas.labels import LabelChangeDescription

_History = Annotated[bool, typer.Option("--history", help="Show all changes, with time, actor, old and new value.")]


def register(app: typer.Typer) -> None:
    add_label_commands(app, MODELS)


def add_label_commands(group: typer.Typer, noun: NamedNoun) -> None:
    """Add `tag` and `describe` to a noun's commands."""
    group.command("tag", help=f"Set and remove tags, and show the tags.{noun.tag_note}")(_tag(noun))
    group.command("describe", help=f"Set the description of {noun.one} or a version; without TEXT, show it.")(
        _describe(noun)
    )


def _tag(noun: NamedNoun) -> Callable[..., None]:
    def tag(
        subject: str = noun.subject_argument(),
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
        from llmos.core.versioning.labels import parse_tag

        with open_control(load_settings()) as control:
            names = noun.names_of(control)
            labels = names.labels(subject)
            if tags or remove:
                new = dict(map(parse_tag, tags or []))
                labels = names.change_labels(subject, tags=new, remove_tags=remove or [])
            changes = names.label_history(subject) if history else []
        if history:
            _print_history([change for change in changes if change.what != "description"], as_json)
        elif as_json:
            print_json(labels.tags)
        else:
            stdout().print(readable_tags(labels.tags) or f"{subject} has no tags.")

    return tag


def _describe(noun: NamedNoun) -> Callable[..., None]:
    def describe(
        subject: str = noun.subject_argument(),
        text: Annotated[
            str | None,
            typer.Argument(metavar="TEXT", help="The new description; an empty one removes it.", show_default=False),
        ] = None,
        history: _History = False,
        as_json: options.AsJson = False,
    ) -> None:
        with open_control(load_settings()) as control:
            names = noun.names_of(control)
            labels = names.labels(subject) if text is None else names.change_labels(subject, description=text)
            changes = names.label_history(subject) if history else []
        if history:
            _print_history([change for change in changes if change.what == "description"], as_json)
        elif as_json:
            print_json({"description": labels.description})
        else:
            stdout().print(labels.description or f"{subject} has no description.")

    return describe


def _print_history(changes: Sequence[LabelChangeDescription], as_json: bool) -> None:
    columns = {"at": "when", "subject": "of", "what": "what", "was": "was", "now": "now", "by": "by"}
    print_table(changes, columns, as_json=as_json)
