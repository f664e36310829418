"""llmos forget: erase a person's data, and check certificates of that."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.confirmation import confirm
from llmos.cli.control import open_control
from llmos.cli.output import print_json, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.erasures import ErasedInProject


def register(app: typer.Typer) -> None:
    app.command("forget")(forget)


def forget(
    subject: Annotated[
        str, typer.Option(metavar="ID", help="The person, by the value of `user` in requests.", show_default=False)
    ] = "",
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only in this project.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the certificate there.", show_default=False)
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Verify a certificate instead of erasing data.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Erase a person's data: stored responses, sessions, runs and lines of batches whose requests named the person, and
    rows of datasets and documents of knowledge that were marked with the person.

    Their keys are destroyed, so that backups of stored responses can't be read either, and the same contents are
    refused from now on. The signed certificate says what was removed.
    """
    if verify is not None:
        _verify(verify, as_json=as_json)
        return
    if not subject:
        raise BadRequest("Say whose data: llmos forget --subject ID", param="subject")
    if not yes:
        confirm(f"Erase the data of {subject} in {project or 'all projects'}?")
    with open_control(load_settings()) as control:
        certificate = control.erasures.forget(subject=subject, project=project)
    if output is not None:
        import msgspec

        output.write_bytes(msgspec.json.format(msgspec.json.encode(certificate), indent=2) + b"\n")
    if as_json:
        print_json(certificate)
        return
    for each in certificate.projects:
        stdout().print(f"{each.project}: {', '.join(f'{what} {count:,}' for what, count in _counts(each).items())}")
    if not certificate.projects:
        stdout().print(f"Nothing of {subject} is kept.")
    if output is not None:
        stdout().print(f"The certificate is in {output}. To check it: llmos forget --verify {output}")


def _counts(erased: ErasedInProject) -> Mapping[str, int]:
    """Return how much was removed. What only some projects keep is left out where there was none."""
    always = {
        "responses": len(erased.responses),
        "lines of batches": sum(file.num_lines for file in erased.files),
        "keys destroyed": erased.num_keys_destroyed,
        "contents refused from now on": erased.num_contents_blocked,
    }
    others = {
        "conversations": len(erased.conversations),
        "feedback": len(erased.feedback),
        "evals": len(erased.evals),
        "sessions": len(erased.sessions),
        "runs": len(erased.runs),
        "rows of datasets": sum(each.num_rows for each in erased.datasets),
        "documents of knowledge": sum(each.num_documents for each in erased.knowledge),
        "entries of the ledger, now without a name": erased.num_ledger_entries,
        "answers, now without a name": erased.num_answers,
    }
    return always | {what: count for what, count in others.items() if count}


def _verify(path: Path, *, as_json: bool) -> None:
    import msgspec

    from llmos.core.schemas.base import read_description
    from llmos.core.schemas.erasures import ErasureCertificate
    from llmos.security.certificates import check_signature

    try:
        certificate = read_description(ErasureCertificate, msgspec.json.decode(path.read_bytes()))
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError):
        raise BadRequest(f"{path} isn't a certificate of an erasure.", param="verify") from None
    check_signature(certificate)
    if as_json:
        print_json(certificate)
    else:
        stdout().print(
            f"The certificate is unchanged. It was signed by {certificate.key} on"
            f" {certificate.issued_at:%Y-%m-%d %H:%M} UTC."
        )
