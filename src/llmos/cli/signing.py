"""llmos sign, verify, trust: signatures of versions, and the keys that are trusted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.control.opening import check_local
from llmos.cli.output import print_json, print_table, stderr, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import load_settings
from llmos.core.schemas.signatures import KeyDescription

if TYPE_CHECKING:
    from llmos.models.signing.trusted_keys import Key, TrustedKeys

_SHORT = 16
"""Digits of a fingerprint that identify a key to a person."""


def register(app: typer.Typer) -> None:
    app.command("sign")(sign)
    app.command("verify")(verify)
    group = typer.Typer(no_args_is_help=True, help="Manage the keys whose signatures this machine trusts.")
    group.command("add")(add)
    group.command("list")(list_)
    group.command("rm")(rm)
    app.add_typer(group, name="trust")


def sign(
    model: options.ModelReference,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="The private key, in PEM: P-256, P-384 or P-521. Required.",
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Sign a version: its files, its parent, how it was made, its license, sampling and maker. Needs no network."""
    if key is None:
        from llmos.models.signing.trusted_keys import HOW_TO_MAKE_ONE

        raise typer.BadParameter(f"Give the file of a private key with --key. {HOW_TO_MAKE_ONE}")
    with open_control(load_settings()) as control, progress_bar() as progress:
        signed = control.signing.sign(model, key, progress)
    if as_json:
        print_json(signed)
        return
    stdout().print(f"{signed.version} is signed by {_render_key(signed.key)}.")
    if signed.key.fingerprint not in {each.fingerprint for each in _trusted().list()}:
        stderr().print(f"This machine doesn't trust that key yet. To trust it: llmos trust add NAME {key}")


def verify(
    model: options.ModelReference,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The public key; by default any trusted key.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Verify a version: read every byte, and check its signature."""
    with open_control(load_settings()) as control, progress_bar() as progress:
        verified = control.signing.verify(model, key, progress)
    if as_json:
        print_json(verified)
        return
    stdout().print(f"{verified.version} is verified: every byte is what {_render_key(verified.key)} signed.")
    if not verified.covers_statement:
        stderr().print(
            "The signature is of an older kind, which doesn't cover the license, the sampling parameters and the maker."
            f" Sign it again: llmos sign {verified.version} --key FILE"
        )


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your name for the key.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A key in PEM. Only the public key is stored.")],
    as_json: options.AsJson = False,
) -> None:
    """Trust a key."""
    check_local(load_settings(), "trust add")
    with _recorded("trust.add", name):
        key = _describe(_trusted().add(name, file))
    if as_json:
        print_json(key)
        return
    stdout().print(f"{_render_key(key)} is trusted.")


def list_(as_json: options.AsJson = False) -> None:
    """List the trusted keys."""
    check_local(load_settings(), "trust list")
    keys = [_describe(key) for key in _trusted().list()]
    if not keys and not as_json:
        stderr().print("No key is trusted yet. To trust one: llmos trust add NAME FILE")
        return
    print_table(keys, {"name": "key", "fingerprint": "sha256"}, as_json=as_json)


def rm(name: Annotated[str, typer.Argument(metavar="NAME", help="The key's name.")]) -> None:
    """Stop trusting a key. Versions that are running keep running until they are loaded again."""
    check_local(load_settings(), "trust rm")
    with _recorded("trust.remove", name):
        _trusted().remove(name)
    stdout().print(f"{name} is not trusted any more.")


@contextmanager
def _recorded(action: str, name: str) -> Iterator[None]:
    """Record in the audit log what the body does with a trusted key."""
    from llmos.cli.control.local import LocalControl
    from llmos.cli.control.recording import command

    with LocalControl(load_settings()) as control, control.acting(command(action, name)):
        yield


def _describe(key: "Key") -> KeyDescription:
    return KeyDescription(name=key.name, fingerprint=key.fingerprint)


def _render_key(key: KeyDescription) -> str:
    return f"{key.name} ({key.fingerprint[:_SHORT]}…)"


def _trusted() -> "TrustedKeys":
    from llmos.models.signing.trusted_keys import TrustedKeys

    return TrustedKeys(load_settings().trusted_keys_path)
