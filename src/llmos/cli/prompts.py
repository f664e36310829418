"""llmos prompt: create, list, show, diff, rm, tag, describe, alias."""

from pathlib import Path
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.aliases import alias_group
from llmos.cli.control import open_control
from llmos.cli.labels import add_label_commands
from llmos.cli.named_nouns import PROMPTS
from llmos.cli.output import fields_of, print_json, readable_tags, stdout
from llmos.cli.version_output import print_known_facts, print_removed, print_versions
from llmos.core.config import load_settings
from llmos.core.schemas.prompts import PromptDescription, PromptDetails

_Prompt = Annotated[str, typer.Argument(metavar="PROMPT", help=options.REFERENCE)]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Manage prompts: texts with typed variables, in versions.")
    group.command("create")(create)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("diff")(diff)
    group.command("rm")(rm)
    add_label_commands(group, PROMPTS)
    group.add_typer(alias_group(PROMPTS), name="alias")
    app.add_typer(group, name="prompt")


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the prompt.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its text, with front matter for its variables.")],
    as_json: options.AsJson = False,
) -> None:
    """Make a version of a prompt from a file. The same text and variables give the same version."""
    with open_control(load_settings()) as control:
        before = {each.version for each in control.prompts.list()}
        made = control.prompts.create_from(name, file)
    if as_json:
        print_json(made)
        return
    said = "has this text already" if made.version in before else "is here"
    variables = f"variables: {', '.join(made.variables)}" if made.variables else "no variables"
    stdout().print(f"{made.version} {said}: {made.num_characters:,} characters, {variables}.")


def list_(as_json: options.AsJson = False) -> None:
    """List the versions of all prompts."""
    with open_control(load_settings()) as control:
        found = control.prompts.list()
    columns = {
        "version": "prompt",
        "num_characters": "characters",
        "variables": "variables",
        "source": "source",
        "created_at": "since",
    }
    print_versions(
        found, columns, _readable, none="No prompts yet. To make one: llmos prompt create NAME FILE", as_json=as_json
    )


def show(prompt: _Prompt, as_json: options.AsJson = False) -> None:
    """Show the text of a version, and its variables with their types."""
    with open_control(load_settings()) as control:
        details = control.prompts.get(prompt)
    if as_json:
        print_json(details)
        return
    print_known_facts(_readable(details))
    stdout().print()
    stdout().print(details.text)


def diff(
    older: Annotated[str, typer.Argument(metavar="OLDER", help=options.REFERENCE)],
    newer: Annotated[str, typer.Argument(metavar="NEWER", help=options.REFERENCE)],
    as_json: options.AsJson = False,
) -> None:
    """Compare two versions: the lines of their texts, and their variables."""
    with open_control(load_settings()) as control:
        found = control.prompts.diff(older, newer)
    if as_json:
        print_json(found)
        return
    for line in found.lines:
        stdout().print(line)
    for change in found.variables:
        stdout().print(change.sentence)
    if not found.lines and not found.variables:
        stdout().print(f"{found.older} and {found.newer} are the same.")


def rm(prompt: _Prompt, as_json: options.AsJson = False) -> None:
    """Remove a whole prompt (NAME), one version (NAME@3) or an alias (NAME:ALIAS)."""
    with open_control(load_settings()) as control:
        removed = control.prompts.remove(prompt)
    print_removed(prompt, removed, as_json=as_json, frees=False)


def _readable(described: PromptDescription) -> dict[str, Any]:
    from llmos.core.prompt_variables import describe

    facts = dict(fields_of(described))
    facts["num_characters"] = f"{described.num_characters:,}"
    facts["tags"], facts["prompt_tags"] = readable_tags(described.tags), readable_tags(described.prompt_tags)
    if isinstance(described, PromptDetails):
        del facts["text"], facts["types"], facts["variables"]
        for name, variable in described.types.items():
            note = f". {variable.description}" if variable.description else ""
            default = "" if variable.default is None else f", by default {variable.default!r}"
            facts[f"{{{{{name}}}}}"] = f"{describe(variable)}{default}{note}"
    return facts
