"""llmos push, export: send a version to another server or a registry, or write it into a file, or lend it to Triton."""

from pathlib import Path
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.control.port import ControlPort
from llmos.cli.output import print_json, readable_size, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.transfers import ExportDescription

_Decrypt = Annotated[
    bool,
    typer.Option(
        "--decrypt", help="Send the files of an encrypted model unencrypted; without this option, that is refused."
    ),
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
        Path | None,
        typer.Argument(
            metavar="PATH",
            help="The file to write, by default NAME-NUMBER.llmos.tar; or Triton's model repository, by default"
            " triton-models.",
        ),
    ] = None,
    decrypt: _Decrypt = False,
    target: Annotated[
        str,
        typer.Option("--as", metavar="FORMAT", help="archive, or triton: models that pass Triton's requests to LLMOS."),
    ] = "archive",
    name: Annotated[
        str | None, typer.Option(help="triton: the model's name there, by default MODEL.", show_default=False)
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="triton: the URL of LLMOS, as Triton's machine reaches it.", show_default=False),
    ] = None,
    key_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="triton: a file on Triton's machine with the key, instead of LLMOS_API_KEY in its environment.",
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a version into one file, which `llmos import FILE` imports, also on a machine without a network.

    With --as triton, MODEL may be a route, and no weights are written: Triton asks the server for each answer.
    """
    if target == "triton":
        _export_to_triton(model, path, name, endpoint, key_file, as_json=as_json)
        return
    if target != "archive":
        raise BadRequest(f"There is no format {target[:80]!r}. --as takes archive or triton.", param="as")
    for option, value in {"--name": name, "--endpoint": endpoint, "--key-file": key_file}.items():
        if value is not None:
            raise BadRequest(f"{option} is for --as triton. Add that, or leave it out.", param="as")
    with open_control(load_settings()) as control, progress_bar() as progress:
        exported = control.models.export(model, path, progress, decrypts=decrypt)
    if as_json:
        print_json(exported)
    else:
        size = readable_size(exported.size_bytes)
        stdout().print(f"Wrote {exported.path}, {size}. To import it: llmos import {exported.path}")


def _export_to_triton(
    model: str, path: Path | None, name: str | None, endpoint: str | None, key_file: str | None, *, as_json: bool
) -> None:
    from llmos.models.transfer.triton.repository import TritonOptions, write_repository

    settings, path = load_settings(), path or Path("triton-models")
    with open_control(settings) as control:
        _check_answers(control, model)
    options = TritonOptions(model=model, name=name, endpoint=endpoint or settings.endpoint, key_file=key_file)
    plain, streamed = write_repository(path, options)
    if as_json:
        sizes = (file.stat().st_size for each in (plain, streamed) for file in each.rglob("*") if file.is_file())
        print_json(ExportDescription(path=str(path), size_bytes=sum(sizes)))
        return
    key = f"the key in {key_file}" if key_file else "LLMOS_API_KEY in its environment"
    stdout().print(
        f"Wrote {plain} and {streamed}, which streams. To serve them, with {key}:"
        f" tritonserver --model-repository={path.absolute()}"
    )


def _check_answers(control: ControlPort, model: str) -> None:
    """Raise NotFound unless callers may ask for a model or a route of this name."""
    if not any(route.name == model for route in control.routes.list()):
        control.models.get(model)
