"""llmos receipt key: the public key that verifies what this server has signed."""

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_json
from llmos.core.config import load_settings


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Signed receipts of answers.")
    group.command("key")(key)
    app.add_typer(group, name="receipt")


def key(as_json: options.AsJson = False) -> None:
    """Print the public key that verifies receipts and checkpoints, in PEM."""
    with open_control(load_settings()) as control:
        found = control.receipts.signing_key()
    if as_json:
        print_json(found)
        return
    print(found.pem, end="")
