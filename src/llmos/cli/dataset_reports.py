"""llmos dataset report."""

from pathlib import Path
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_facts, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.dataset_reports import DatasetReportDescription


def register(group: typer.Typer) -> None:
    group.command("report")(report)


def report(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=options.REFERENCE)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write a page with plots.", show_default=False)
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Count the tokens of this model, too.", show_default=False)
    ] = None,
    samples: Annotated[int, typer.Option(min=0, max=100, help="Number of rows to show.")] = 5,
    mask: Annotated[bool, typer.Option("--mask", help="Replace personal data in texts by placeholders.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the content of a version: rows by language and other columns, lengths, rows that its cleaning left out, and
    its lineage."""
    with open_control(load_settings()) as control:
        found = control.datasets.report(dataset, tokens=tokens, samples=samples, mask=mask)
    if output is not None:
        _write_page(found, output)
    if as_json:
        print_json(found)
    elif output is None:
        _print(found)


def _write_page(found: DatasetReportDescription, path: Path) -> None:
    from llmos.data.reports.page import page

    try:
        path.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"{path} can't be written: {error.strerror}.", param="output") from None
    stderr().print(f"Wrote {path}. Open it in a browser: {path.absolute().as_uri()}")


def _print(found: DatasetReportDescription) -> None:
    from llmos.data.reports.texts import facts, lengths_text, repeated_text, step_text

    print_facts({"version": found.version, **facts(found)})
    stdout().print(repeated_text(found))
    for lengths in found.lengths:
        stdout().print(lengths_text(lengths))
    counts = [
        {"column": name, "value": each.value or "–", "rows": f"{each.num_rows:,}"}
        for name, column in found.counts.items()
        for each in column.values
    ]
    print_table(counts, {"column": "column", "value": "value", "rows": "rows"})
    for each in found.left_out:
        stdout().print(f"{each.num_rows:,} left out by {each.operator}: {each.reason.replace('_', ' ')}")
    for step in found.lineage:
        stdout().print(f"{step.version or step.digest}: {step_text(step) or 'removed'}")
    stderr().print(f"For a page with plots and rows: llmos dataset report {found.version} --output FILE.html")
