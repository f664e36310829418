"""llmos push, export: versions on their way to another server, a registry, or a machine without a network."""

from pathlib import Path
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.models import open_local, shown_progress
from llmos.cli.output import print_json, readable_size, stdout


def register(app: typer.Typer) -> None:
    app.command("push")(push)
    app.command("export")(export)


def push(
    model: options.ModelReference,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="oci:HOST/REPOSITORY:TAG, or llmos:https://HOST of another server.")
    ],
    base: Annotated[
        str | None,
        typer.Option("--base", help="An image (oci:…) below the model's layers, such as busybox: KServe runs its sh."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Send a version to another LLMOS server, or as an image to an OCI registry. Only what is missing there is sent."""
    from llmos.models.transfer.transfers import Transfers

    registry = open_local("push")
    with shown_progress() as progress:
        pushed = Transfers(registry).push(model, target, progress, base=base)
    if as_json:
        print_json({"location": pushed.location, "sent_bytes": pushed.num_bytes})
    else:
        stdout().print(
            f"Pushed {model}: {readable_size(pushed.num_bytes)} sent. To get it: llmos pull {pushed.location}"
        )


def export(
    model: options.ModelReference,
    path: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The file to write; NAME-NUMBER.llmos.tar otherwise.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a version into one file. `llmos import FILE` takes it in, on a machine without a network too."""
    from llmos.models.transfer.transfers import Transfers

    registry = open_local("export")
    with shown_progress() as progress:
        path = Transfers(registry).export(model, path, progress)
    if as_json:
        print_json({"path": path, "size_bytes": path.stat().st_size})
    else:
        stdout().print(f"Wrote {path}, {readable_size(path.stat().st_size)}. To take it in: llmos import {path}")
