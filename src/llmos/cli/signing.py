"""llmos sign, verify, trust: whose word there is for a version."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.models import open_local, shown_progress
from llmos.cli.output import print_json, print_table, stderr, stdout
from llmos.cli.remote import refuse_remote
from llmos.core.config import load_settings

if TYPE_CHECKING:
    from llmos.models.signing.signing import Signed, Signing
    from llmos.models.signing.trusted_keys import Key, TrustedKeys

_SHORT = 16
"""Digits of a fingerprint that are enough for a person."""


def register(app: typer.Typer) -> None:
    app.command("sign")(sign)
    app.command("verify")(verify)
    group = typer.Typer(no_args_is_help=True, help="The keys whose signatures are believed on this machine.")
    group.command("add")(add)
    group.command("list")(list_)
    group.command("rm")(rm)
    app.add_typer(group, name="trust")


def sign(
    model: options.ModelReference,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="A private key in PEM: P-256, P-384 or P-521.")],
    as_json: options.AsJson = False,
) -> None:
    """Vouch for a version: its files, its parent, how it was made, its licence. No network is needed."""
    signing = _signing("sign")
    with shown_progress() as progress:
        signed = signing.sign(model, key, lambda num_done: progress("reading", num_done, None))
    if as_json:
        print_json(_facts(signed))
        return
    stdout().print(f"{signed.version.ref} is signed by {_in_words(signed.key)}.")
    if signed.key.fingerprint not in {each.fingerprint for each in signing.trusted.list()}:
        stderr().print(f"This machine doesn't trust that key yet: llmos trust add NAME {key}")


def verify(
    model: options.ModelReference,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="By this key, rather than any that is trusted here.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Read every byte of a version and say whose signature vouches for it."""
    signing = _signing("verify")
    with shown_progress() as progress:
        verified = signing.verify(model, key, lambda num_done: progress("reading", num_done, None))
    if as_json:
        print_json(_facts(verified))
        return
    stdout().print(f"{verified.version.ref} is what {_in_words(verified.key)} signed, to the byte.")


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the key.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A PEM file; of a private key the public half is kept.")],
    as_json: options.AsJson = False,
) -> None:
    """Believe what a key has signed from now on."""
    refuse_remote(load_settings(), "trust add")
    key = _trusted().add(name, file)
    if as_json:
        print_json(_key(key))
        return
    stdout().print(f"{_in_words(key)} is trusted.")


def list_(as_json: options.AsJson = False) -> None:
    """List the keys that are trusted."""
    refuse_remote(load_settings(), "trust list")
    rows = [_key(key) for key in _trusted().list()]
    if not rows and not as_json:
        stderr().print("No key is trusted yet. Believe one: llmos trust add NAME FILE")
        return
    print_table(rows, {"name": "key", "fingerprint": "sha256"}, as_json=as_json)


def rm(name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is called.")]) -> None:
    """Believe a key no more. What runs already goes on until it is loaded again."""
    refuse_remote(load_settings(), "trust rm")
    _trusted().remove(name)
    stdout().print(f"{name} is not trusted any more.")


def _facts(signed: "Signed") -> dict[str, Any]:
    return {"version": signed.version.ref, "digest": signed.version.digest, "key": _key(signed.key)}


def _in_words(key: "Key") -> str:
    return f"{key.name} ({key.fingerprint[:_SHORT]}…)"


def _key(key: "Key") -> dict[str, Any]:
    return {"name": key.name, "fingerprint": key.fingerprint}


def _trusted() -> "TrustedKeys":
    from llmos.models.signing.trusted_keys import TrustedKeys

    return TrustedKeys(load_settings().trusted_keys_path)


def _signing(command: str) -> "Signing":
    from llmos.models.signing.signing import Signing

    return Signing(open_local(command), _trusted())
