"""llmos audit list, verify, checkpoint, export: the audit log."""

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmos.core.schemas.audit import AuditVerification
    from llmos.security.signing_key import PublicKey

_Keys = Annotated[
    list[Path] | None,
    typer.Option(
        "--key", metavar="FILE", help="A public key that may sign checkpoints. Can be repeated.", show_default="own"
    ),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Read and verify the audit log of all changes.")
    group.command("list")(list_)
    group.command("verify")(verify)
    group.command("checkpoint")(checkpoint)
    group.command("export")(export)
    app.add_typer(group, name="audit")


def list_(
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="The beginning: 24h or 7d ago, or a date.", show_default=False)
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Only entries of this key or user.", show_default=False)] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this action, such as key.revoke, or a noun: key.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The maximum number of entries.")] = 100,
    as_json: options.AsJson = False,
) -> None:
    """List the newest entries, newest first."""
    from llmos.cli.times import parse_past

    moment = None if since is None else parse_past(since)
    with open_control(load_settings()) as control:
        entries = control.audit.list(since=moment, actor=actor, action=action, limit=limit)
    if as_json:
        print_json(entries)
        return
    if not entries:
        stderr().print("No entries match. To list the newest of all: llmos audit list")
        return
    rows = [
        {
            "number": entry.number,
            "time": entry.time[:19].replace("T", " "),
            "actor": entry.actor,
            "action": entry.action,
            "object": entry.object,
            "outcome": entry.outcome + (f" ({entry.error})" if entry.error else ""),
            "address": entry.address,
            "times": entry.count,
        }
        for entry in entries
    ]
    print_table(rows, {**{name: name for name in rows[0]}, "time": "time (UTC)"})


def verify(
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="An export, instead of the log itself.", show_default=False),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="A checkpoint that was stored on another machine. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    key: _Keys = None,
    as_json: options.AsJson = False,
) -> None:
    """Verify the log: find entries that were edited, deleted, inserted or moved, and, with a checkpoint, a cut tail."""
    from llmos.security.audit.checkpoints import read_checkpoints
    from llmos.security.signing_key import read_public_key

    checkpoints = [each for path in checkpoint or [] for each in read_checkpoints(path)]
    keys = [read_public_key(path) for path in key or []]
    if file is None:
        with open_control(load_settings()) as control:
            found = control.audit.verify(checkpoints=checkpoints, keys=keys)
    else:
        found = _verify_file(file, checkpoints, keys)
    if as_json:
        print_json(found)
    else:
        _print_found(found)
    if not found.is_intact:
        raise typer.Exit(1)


def checkpoint(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it to this file.", show_default="stdout"),
    ] = None,
) -> None:
    """Sign a checkpoint of the newest entry, in JSON. Keep it on another machine."""
    with open_control(load_settings()) as control:
        made = control.audit.checkpoint()
    if output is None:
        print_json(made)
        return
    output.write_text(json.dumps(made.raw, indent=2) + "\n", encoding="utf-8")
    stderr().print(f"Wrote {output}: the log up to entry {made.number:,}. Keep it on another machine.")


def export(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it to this file.", show_default="stdout"),
    ] = None,
) -> None:
    """Write every entry, oldest first, one JSON object in each line."""
    num_entries = 0
    with open_control(load_settings()) as control, ExitStack() as held:
        target = sys.stdout.buffer if output is None else held.enter_context(output.open("wb"))
        for line in control.audit.export():
            target.write(line)
            num_entries += 1
    if output is not None:
        stderr().print(f"Wrote {num_entries:,} entries. To verify them: llmos audit verify --file {output}")


def _verify_file(path: Path, checkpoints: "Sequence[Any]", keys: "Sequence[PublicKey]") -> "AuditVerification":
    from llmos.security.audit.entries import read_line
    from llmos.security.audit.verification import verify as verify_entries
    from llmos.security.signing_key import SigningKey

    own = load_settings().signing_key_path
    known = [*keys, *([SigningKey(own).public] if own.exists() else [])]
    try:
        with path.open("rb") as lines:
            return verify_entries((read_line(line) for line in lines if line.strip()), checkpoints, known)
    except BadRequest as error:
        raise BadRequest(f"{path} can't be verified. {error.message}", param="file") from None


def _print_found(found: "AuditVerification") -> None:
    if found.is_intact:
        covered = f"up to entry {found.covered:,}" if found.covered else "none of it"
        stdout().print(f"The audit log is intact: {found.num_entries:,} entries, signed {covered}.")
    elif found.first_bad is None:
        stdout().print(f"The audit log is not proved: {found.problem}.")
    else:
        stdout().print(f"The audit log was tampered with at entry {found.first_bad:,}: {found.problem}.")
    if found.unknown_keys:
        stderr().print(
            f"Checkpoints of other keys were left out: {', '.join(found.unknown_keys)}. Give their public halves:"
            " --key FILE"
        )
