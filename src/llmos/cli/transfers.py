"""llmos push, export: send a version to another server or a registry, or write it into a file."""

from pathlib import Path
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_json, readable_size, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import load_settings

_Decrypt = Annotated[
    bool, typer.Option("--decrypt", help="Let an encrypted model leave in the clear; without it, that is refused.")
]


def register(app: typer.Typer) -> None:
    app.command("push")(push)
    app.command("export")(export)


def push(
    model: options.ModelReference,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="oci:HOST/REPOSITORY:TAG, or llmos:https://HOST for another server.")
    ],
    base: Annotated[
        str | None,
        typer.Option("--base", help="Base image (oci:…) for the model's layers, such as busybox. KServe needs its sh."),
    ] = None,
    decrypt: _Decrypt = False,
    as_json: options.AsJson = False,
) -> None:
    """Push a version to another LLMOS server, or as an image to an OCI registry. Sends only what is missing there."""
    with open_control(load_settings()) as control, progress_bar() as progress:
        pushed = control.models.push(model, target, progress, base=base, decrypts=decrypt)
    if as_json:
        print_json(pushed)
    else:
        stdout().print(
            f"Pushed {model}: {readable_size(pushed.sent_bytes)} sent. To get it: llmos pull {pushed.location}"
        )


def export(
    model: options.ModelReference,
    path: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The file to write; by default NAME-NUMBER.llmos.tar.")
    ] = None,
    decrypt: _Decrypt = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a version into one file, which `llmos import FILE` imports, also on a machine without a network."""
    with open_control(load_settings()) as control, progress_bar() as progress:
        exported = control.models.export(model, path, progress, decrypts=decrypt)
    if as_json:
        print_json(exported)
    else:
        size = readable_size(exported.size_bytes)
        stdout().print(f"Wrote {exported.path}, {size}. To import it: llmos import {exported.path}")
