"""llmos exporter add, list, show, test, pause, resume, retry, rm: services that are sent the entries of the ledger."""

import os
from pathlib import Path
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import fields_of, print_facts, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.exporters import ExporterDescription

_Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of your choice.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        help="Manage exporters, which send the entries of the ledger to services such as OpenMeter and Lago.",
    )
    group.command("add")(add)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("test")(check)
    group.command("pause")(pause)
    group.command("resume")(resume)
    group.command("retry")(retry)
    group.command("rm")(rm)
    app.add_typer(group, name="exporter")


def add(
    name: _Name,
    kind: Annotated[str, typer.Option(help="openmeter, lago or cloudevents.")],
    url: Annotated[
        str, typer.Option(help="The URL of the service; for cloudevents, the URL that events are posted to.")
    ],
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read its API key from this file.", show_default=False)
    ] = None,
    key_from_env: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", help="Read the key from this environment variable.", show_default=False),
    ] = None,
    subject: Annotated[str, typer.Option(help="The subject of events: project, key or user.")] = "project",
    type_: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="The type of the events; for Lago, the prefix of the metric codes.",
            show_default="llmos.usage, or llmos",
        ),
    ] = "",
    source: Annotated[str, typer.Option(help="The source of the events.")] = "llmos",
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="WHEN", help="Entries since 24h or 7d ago, or a date.", show_default="now"),
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="The service is your own: allow http and private addresses.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Send the entries of the ledger to a service, as events that it counts exactly once."""
    from llmos.cli.times import parse_past

    with open_control(load_settings()) as control:
        exporter = control.exporters.add(
            name,
            kind,
            url,
            key=_read_key(key_file, key_from_env),
            subject=subject,
            type=type_,
            source=source,
            start=None if start is None else parse_past(start),
            allow_private=allow_private,
        )
    if as_json:
        print_json(exporter)
        return
    stdout().print(f"Added {name}, with {exporter.num_pending:,} entries to send. A running server sends them.")
    stderr().print(f"To test it: llmos exporter test {name}")


def list_(as_json: options.AsJson = False) -> None:
    """List exporters, with their progress."""
    with open_control(load_settings()) as control:
        exporters = control.exporters.list()
    if not exporters and not as_json:
        stderr().print("There are no exporters. To add one: llmos exporter add NAME --kind openmeter --url URL")
        return
    columns = {"name": "exporter", "kind": "kind", "url": "URL", "state": "state", "num_delivered": "delivered"}
    columns |= {"num_pending": "pending", "num_refused": "refused", "delivered_at": "last delivery"}
    print_table(exporters, columns, as_json=as_json)


def show(name: _Name, as_json: options.AsJson = False) -> None:
    """Show an exporter, with its last error, and the entries that the service refused."""
    with open_control(load_settings()) as control:
        exporter = control.exporters.get(name)
    if as_json:
        print_json(exporter)
        return
    facts = {key: value for key, value in fields_of(exporter).items() if key != "refused" and value != ""}
    print_facts(facts)
    if exporter.refused:
        stdout().print("\nRefused:")
        columns = {"entry": "entry", "at": "at", "reason": "reason", "is_waiting": "sent again"}
        print_table(exporter.refused, columns)
        stderr().print(f"To send them once more: llmos exporter retry {name}")


def check(name: _Name, as_json: options.AsJson = False) -> None:
    """Send a test event without usage, and show the answer of the service."""
    with open_control(load_settings()) as control:
        answer = control.exporters.test(name)
    if as_json:
        print_json(answer)
    elif answer.is_accepted:
        stdout().print(f"{name} took the event, with the status {answer.status} in {answer.seconds:.2f} s.")
    else:
        stderr().print(f"{name} didn't take the event. {answer.error}", markup=False)
    if not answer.is_accepted:
        raise typer.Exit(1)


def pause(name: _Name, as_json: options.AsJson = False) -> None:
    """Stop sending until the exporter is resumed."""
    with open_control(load_settings()) as control:
        exporter = control.exporters.pause(name)
    _print(exporter, f"{name} is paused. To go on: llmos exporter resume {name}", as_json=as_json)


def resume(name: _Name, as_json: options.AsJson = False) -> None:
    """Continue after a pause, or retry at once after a failure."""
    with open_control(load_settings()) as control:
        exporter = control.exporters.resume(name)
    _print(exporter, f"{name} goes on, with {exporter.num_pending:,} entries to send.", as_json=as_json)


def retry(name: _Name, as_json: options.AsJson = False) -> None:
    """Send the entries that the service refused again."""
    with open_control(load_settings()) as control:
        exporter = control.exporters.retry(name)
    _print(exporter, f"{exporter.num_refused:,} refused entries are sent once more.", as_json=as_json)


def rm(name: _Name) -> None:
    """Remove an exporter and its key. The service keeps the events that it has received."""
    with open_control(load_settings()) as control:
        control.exporters.remove(name)
    stdout().print(f"Removed the exporter {name}.")


def _print(exporter: ExporterDescription, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(exporter)
    else:
        stdout().print(sentence)


def _read_key(file: Path | None, variable: str | None) -> str | None:
    """Return the key, if there is one. It is never an argument: every user of the machine can read the command line."""
    if file is not None and variable is not None:
        raise BadRequest("--key-file and --key-from-env exclude each other. Leave one of them out.", param="key_file")
    if file is None and variable is None:
        return None
    key = (os.environ.get(variable, "") if variable is not None else Path(str(file)).read_text()).strip()
    if not key:
        where = f"The variable {variable}" if variable is not None else f"The file {file}"
        raise BadRequest(f"{where} has no key.", param="key_file")
    return key
