"""llmos encryption status, rotate, encrypt, models, discard: the keys of encryption at rest."""

from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.confirmation import confirm
from llmos.cli.control import open_control
from llmos.cli.output import print_facts, print_json, readable_size, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import load_settings


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        help="Manage the keys that encrypt stored responses, files, batches, datasets, models and providers' keys.",
    )
    group.command("status")(status)
    group.command("rotate")(rotate)
    group.command("encrypt")(encrypt)
    group.command("models")(models)
    group.command("discard")(discard)
    app.add_typer(group, name="encryption")


def status(as_json: options.AsJson = False) -> None:
    """Show the location of the keys, and the number of encrypted objects."""
    with open_control(load_settings()) as control:
        found = control.encryption.status()
    if as_json:
        print_json(found)
        return
    print_facts(
        {
            "master key": f"{found.master_key} ({found.master_key_id})",
            "key ring": found.key_ring,
            "project keys": found.num_project_keys,
            "keys of persons": found.num_subject_keys,
            "encrypted": found.num_objects,
            "not encrypted": f"{found.num_plain}, encrypt them: llmos encryption encrypt" if found.num_plain else 0,
        }
    )


def rotate(
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="Replace this project's key instead.", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Replace the master key, or the key of a project. The keys below it are wrapped anew; no data are rewritten."""
    with open_control(load_settings()) as control:
        done = control.encryption.rotate(project)
    if as_json:
        print_json(done)
        return
    if project is None:
        stdout().print(
            f"The master key is now {done.master_key_id}; project keys wrapped anew: {done.num_keys}."
            " Backups of the key ring from before need the old one."
        )
    else:
        stdout().print(f"{project} has a new key; objects whose keys were wrapped anew: {done.num_keys}.")


def encrypt(as_json: options.AsJson = False) -> None:
    """Encrypt data that an earlier version of LLMOS stored. A server does this at its start."""
    with open_control(load_settings()) as control:
        found = control.encryption.encrypt()
    if as_json:
        print_json(found)
        return
    stdout().print(f"Encrypted objects: {found.num_objects}; not encrypted: {found.num_plain}.")


def models(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A model, or one version (NAME@3); all models if it is left out."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Encrypt the files of stored models. An interrupted run loses nothing; the next one continues.

    A running replica keeps the weights that it has loaded; `llmos stop MODEL` ends it. Copies elsewhere stay as they
    are, also the file that a model was imported from.
    """
    with open_control(load_settings()) as control, progress_bar() as progress:
        done = control.models.encrypt(model, progress)
    if as_json:
        print_json(done)
        return
    stdout().print(
        f"Encrypted files: {done.num_files} ({readable_size(done.size_bytes)}). Versions that are encrypted now:"
        f" {', '.join(done.versions) or 'none'}."
    )


def discard(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete everything that is encrypted, with its keys: when the master key or the key ring is lost for good.

    Stop the server before. Models that aren't encrypted, routes, projects and API keys stay. The keys of providers must
    be entered again, and encrypted models and datasets be pulled or imported again.
    """
    from llmos.cli.control.local import LocalControl
    from llmos.cli.control.opening import check_local

    settings = load_settings()
    check_local(settings, "encryption discard")
    if not yes:
        confirm("Delete all datasets, and all stored responses, files, models and providers' keys that are encrypted?")
    with LocalControl(settings) as control:
        discarded = control.encryption.discard()
    stdout().print(f"Deleted encrypted objects: {discarded.num_objects}. New ones are encrypted under new keys.")
    for name in discarded.versions:
        stdout().print(f"The encrypted files of {name} are deleted. To see how to get them again: llmos doctor --store")
    for name in discarded.datasets:
        stdout().print(f"The rows of {name} are deleted. Import them again, or remove it: llmos dataset rm")
    for name in discarded.providers:
        stdout().print(f"Enter the key of the provider {name} again: llmos provider add {name} …")
