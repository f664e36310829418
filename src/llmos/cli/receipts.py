"""llmos receipt show, verify, key: signed receipts of answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_facts, print_json, stdout
from llmos.core.config import load_settings

if TYPE_CHECKING:
    from llmos.core.schemas.receipts import ReceiptDescription


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Show and verify signed receipts of answers.")
    group.command("show")(show)
    group.command("verify")(verify)
    group.command("key")(key)
    app.add_typer(group, name="receipt")


def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="The id of the answer, or of its request.")],
    as_json: options.AsJson = False,
) -> None:
    """Show the receipt of an answer. --json prints the signed document, for `verify`."""
    with open_control(load_settings()) as control:
        receipt = control.receipts.get(id)
    if as_json:
        print_json(receipt.raw)
        return
    _print(receipt)


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The receipt, in JSON.")],
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="The public key of the server. Can be repeated.",
            show_default="this machine's",
        ),
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The body of the request, to compare its hash.", show_default=False),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Verify a receipt. Needs no server and no network."""
    from llmos.core.errors import BadRequest, UntrustedModel
    from llmos.security.receipts.hashes import hash_of_body
    from llmos.security.receipts.verification import read_receipt, verify_receipt
    from llmos.security.signing_key import SigningKey, read_public_key

    document, own = read_receipt(file), load_settings().signing_key_path
    keys = [read_public_key(path) for path in key or []]
    if key is None and own.exists():
        keys = [SigningKey(own).public]
    receipt = verify_receipt(document, keys)
    if request is not None:
        try:
            body = request.read_bytes()
        except OSError as error:
            raise BadRequest(f"The request {request} can't be read: {error.strerror}.", param="request") from None
        if hash_of_body(body) != receipt.input:
            raise UntrustedModel(f"The receipt is genuine, but it is of another request than the one in {request}.")
    if as_json:
        print_json(receipt.raw)
        return
    stdout().print(f"Verified: {receipt.id} was signed by {receipt.key}.")
    _print(receipt)


def key(as_json: options.AsJson = False) -> None:
    """Print the public key that verifies receipts and checkpoints, in PEM."""
    with open_control(load_settings()) as control:
        found = control.receipts.signing_key()
    if as_json:
        print_json(found)
        return
    print(found.pem, end="")


def _print(receipt: "ReceiptDescription") -> None:
    policies = [f"{each['name']}@{each['version']}" for each in receipt.guardrails.get("policies", [])]
    findings = [f"{each['guardrail']}: {each['verdict']}" for each in receipt.guardrails.get("findings", [])]
    print_facts(
        {
            "answer": receipt.id,
            "project": receipt.project,
            "key": receipt.key_id,
            "ended": receipt.ended_at,
            "outcome": receipt.outcome + (f" ({receipt.error})" if receipt.error else ""),
            "model": receipt.model,
            "version": receipt.version,
            "digest": receipt.digest,
            "quantization": receipt.quantization,
            "guardrails": policies or None,
            "findings": findings or None,
            "tokens": ", ".join(f"{count} {name.removesuffix('_tokens')}" for name, count in receipt.usage.items()),
            "sampling": ", ".join(f"{name} {value}" for name, value in (receipt.sampling or {}).items()) or None,
            "input": f"sha256 {receipt.input.get('sha256')} of the {receipt.input.get('of')}",
            "output": f"sha256 {receipt.output.get('sha256')} of the {receipt.output.get('of')}",
        }
    )
