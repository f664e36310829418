"""llmos app: init, eval, mcp, create, list, show, pull, diff, rm, tag, describe, alias."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.aliases import alias_group
from llmos.cli.app_eval import evaluate
from llmos.cli.app_hosting import register_hosting
from llmos.cli.app_init import init
from llmos.cli.app_mcp import mcp
from llmos.cli.app_releases import releases, rollback
from llmos.cli.control import open_control
from llmos.cli.labels import add_label_commands
from llmos.cli.named_nouns import APPS
from llmos.cli.output import (
    fields_of,
    print_json,
    print_table,
    readable_size,
    readable_tags,
    stdout,
)
from llmos.cli.version_output import print_known_facts, print_removed, print_versions
from llmos.core.config import load_settings
from llmos.core.plurals import counted
from llmos.core.schemas.apps import AppDescription, AppDifference, AppVersionDescription, FieldChange, FileChange

_App = Annotated[str, typer.Argument(metavar="APP", help=options.REFERENCE)]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Manage applications: folders with app.yaml, in versions.")
    group.command("init")(init)
    group.command("eval")(evaluate)
    group.command("mcp")(mcp)
    group.command("create")(create)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("pull")(pull)
    group.command("diff")(diff)
    group.command("rm")(rm)
    register_hosting(group)
    group.command("releases")(releases)
    group.command("rollback")(rollback)
    add_label_commands(group, APPS)
    group.add_typer(alias_group(APPS), name="alias")
    app.add_typer(group, name="app")


def create(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with app.yaml.")],
    as_json: options.AsJson = False,
) -> None:
    """Make a version of an application from a folder, without deploying it. The same files give the same version."""
    with open_control(load_settings()) as control:
        before = {each.version for each in control.apps.list()}
        made = control.apps.create(folder)
    if as_json:
        print_json(made)
        return
    if made.version in before:
        stdout().print(f"Nothing has changed: {made.version} has these files.")
        return
    prompts = f" Prompts: {', '.join(made.prompts)}." if made.prompts else ""
    stdout().print(
        f"{made.version} is here: {counted(made.num_files, 'file')}, {readable_size(made.size_bytes)}.{prompts}"
    )


def list_(as_json: options.AsJson = False) -> None:
    """List the versions of all applications."""
    with open_control(load_settings()) as control:
        found = control.apps.list()
    columns = {
        "version": "app",
        "model": "model",
        "num_files": "files",
        "size_bytes": "size",
        "created_at": "since",
    }
    print_versions(
        found,
        columns,
        _readable,
        none="No applications yet. To make a version of one: llmos app create DIR",
        as_json=as_json,
    )


def show(app: _App, as_json: options.AsJson = False) -> None:
    """Show the files of a version, its app.yaml, and its permissions."""
    with open_control(load_settings()) as control:
        details = control.apps.get(app)
    if as_json:
        print_json(details)
        return
    print_known_facts(_readable(details))
    stdout().print()
    files = [{"name": file.name, "size": readable_size(file.size_bytes)} for file in details.files]
    print_table(files, {"name": "file", "size": "size"})


def pull(
    app: _App,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    as_json: options.AsJson = False,
) -> None:
    """Write the files of a version into a new folder."""
    with open_control(load_settings()) as control:
        details = control.apps.get(app)
        path = control.apps.pull(details.version, folder)
    if as_json:
        print_json({"version": details.version, "path": str(path), "num_files": details.num_files})
        return
    stdout().print(f"{details.version} is in {path}.")


def diff(
    older: Annotated[str, typer.Argument(metavar="OLDER", help=options.REFERENCE)],
    newer: Annotated[str, typer.Argument(metavar="NEWER", help=options.REFERENCE)],
    as_json: options.AsJson = False,
) -> None:
    """Compare two versions: their files, the fields of app.yaml, and the variables of their prompts."""
    with open_control(load_settings()) as control:
        found = control.apps.diff(older, newer)
    if as_json:
        print_json(found)
    else:
        for line in _difference(found):
            stdout().print(line)


def rm(app: _App, as_json: options.AsJson = False) -> None:
    """Remove an application (NAME), one version (NAME@3) or an alias (NAME:ALIAS). Its prompts stay."""
    with open_control(load_settings()) as control:
        removed = control.apps.remove(app)
    print_removed(app, removed, as_json=as_json)


def _difference(found: AppDifference) -> list[str]:
    """Return a comparison in words and lines."""
    if not (found.files or found.manifest):
        return [f"{found.older} and {found.newer} are the same."]
    said = [_field_in_words(change) for change in found.manifest]
    said += [change.sentence for prompt in found.prompts for change in prompt.variables]
    return [*said, *(line for change in found.files for line in [_file_in_words(change), *change.lines[2:]])]


def _field_in_words(change: FieldChange) -> str:
    was, now = (json.dumps(value, ensure_ascii=False) for value in (change.was, change.now))
    if change.was is None:
        return f"app.yaml has `{change.name}` now: {now}"
    if change.now is None:
        return f"app.yaml has `{change.name}` no more; it was {was}"
    return f"app.yaml: `{change.name}` is {now}; it was {was}"


def _file_in_words(change: FileChange) -> str:
    sizes = [readable_size(size) for size in (change.was_bytes, change.now_bytes) if size is not None]
    return f"{change.name}: {change.change} ({' → '.join(sizes)})"


def _readable(described: AppDescription) -> dict[str, Any]:
    facts = dict(fields_of(described))
    facts["size_bytes"] = readable_size(described.size_bytes)
    facts["tags"], facts["app_tags"] = readable_tags(described.tags), readable_tags(described.app_tags)
    if isinstance(described, AppVersionDescription):
        del facts["files"], facts["manifest"], facts["model"], facts["permissions"], facts["name"]
        # app.yaml has these, too.
        for name, value in described.manifest.items():
            facts[name] = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
    return facts
