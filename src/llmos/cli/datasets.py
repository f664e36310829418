"""llmos dataset: import, list, show, head, query, diff, export, rm, tag, describe, alias."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmos.cli import dataset_answers, dataset_cleaning, dataset_reports, options
from llmos.cli.aliases import alias_group
from llmos.cli.confirmation import confirm
from llmos.cli.control import open_control
from llmos.cli.labels import add_label_commands
from llmos.cli.named_nouns import DATASETS
from llmos.cli.output import (
    cut,
    fields_of,
    print_json,
    print_table,
    readable_size,
    readable_tags,
    stderr,
    stdout,
)
from llmos.cli.progress import progress_bar
from llmos.cli.version_output import print_known_facts, print_removed, print_versions
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.datasets import (
    ChangedRowDescription,
    DatasetDescription,
    PreviewDescription,
    RowDescription,
)

if TYPE_CHECKING:
    from llmos.client.dataset_calls import ImportSettings

_Dataset = Annotated[str, typer.Argument(metavar="DATASET", help=options.REFERENCE)]
_SHOWN_CHARACTERS = 300


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Manage datasets: rows with their provenance, in versions.")
    group.command("import")(import_)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("head")(head)
    group.command("query")(query)
    group.command("diff")(diff)
    dataset_answers.register(group)
    dataset_cleaning.register(group)
    dataset_reports.register(group)
    group.command("export")(export)
    group.command("rm")(rm)
    add_label_commands(group, DATASETS)
    group.add_typer(alias_group(DATASETS), name="alias")
    app.add_typer(group, name="dataset")


def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|FOLDER|LOCATION", help="The data to import. A location begins with hf:, https:, pypi: or s3:."
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the dataset.")],
    shape: Annotated[
        str | None, typer.Option("--as", metavar="SHAPE", help="The shape of the records.", show_default="recognized")
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="The column of a field. Can be repeated."),
    ] = None,
    on_error: Annotated[
        Literal["stop", "skip"], typer.Option(help="stop imports nothing if a line is bad; skip leaves bad lines out.")
    ] = "stop",
    license: Annotated[str | None, typer.Option(help="License.", show_default="that of the README")] = None,
    consent: Annotated[
        Literal["train", "eval", "none"] | None, typer.Option(help="The allowed use of the rows.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Language of the rows, such as en.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of the rows.", show_default="by file names")] = None,
    config: Annotated[str | None, typer.Option(help="One of the README's configs.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the shape and two rows, without importing anything.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Import files as a new version of a dataset. The same files give the same version."""
    given: dict[str, Any] = {
        "shape": shape,
        "mapping": dict(map(_parse_mapping, mapping or [])),
        "on_error": on_error,
        "license": license,
        "consent": consent,
        "language": language,
        "split": split,
        "config": config,
    }
    settings: ImportSettings = given  # type: ignore[assignment]
    with open_control(load_settings()) as control, progress_bar() as progress:
        if _is_location(source):
            if dry_run:
                raise BadRequest("Only files of this machine can be shown with --dry-run.")
            made = control.datasets.import_location(source, name, progress, **settings)
        else:
            path = Path(source)
            if dry_run or not as_json:
                preview = control.datasets.preview(path, **settings)
                _print_preview(preview, as_json=as_json)
                if dry_run:
                    return
                if not yes and sys.stdin.isatty():
                    confirm(f"Import {readable_size(preview.num_bytes)} as {name}?")
            made = control.datasets.import_path(path, name, progress, **settings)
    _print_made(made, as_json)


def list_(as_json: options.AsJson = False) -> None:
    """List the versions of all datasets."""
    with open_control(load_settings()) as control:
        found = control.datasets.list()
    columns = {
        "version": "dataset",
        "kind": "kind",
        "num_rows": "rows",
        "content_bytes": "content",
        "license": "license",
        "created_at": "since",
    }
    print_versions(
        found,
        columns,
        _readable,
        none="No datasets yet. To make one: llmos dataset import FILE --name NAME",
        as_json=as_json,
    )


def show(dataset: _Dataset, as_json: options.AsJson = False) -> None:
    """Show the details of a version."""
    with open_control(load_settings()) as control:
        details = control.datasets.get(dataset)
    if as_json:
        print_json(details)
        return
    facts = _readable(details)
    facts["parents"] = facts.pop("made_from")
    print_known_facts(facts)


def head(
    dataset: _Dataset,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=1000, help="Number of rows.")] = 10,
    skip: Annotated[int, typer.Option(min=0, help="Skip this many rows.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Show the first rows of a version."""
    with open_control(load_settings()) as control:
        rows = control.datasets.rows(dataset, limit=limit, skip=skip)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        _print_row(row)


def query(
    dataset: _Dataset,
    sql: Annotated[str, typer.Argument(help="One SELECT on the table `rows`.")],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most rows of the result.")] = 1000,
    as_json: options.AsJson = False,
) -> None:
    """Query the rows of a version with SQL. The columns: id, content (JSON), origin, language, license, consent,
    subject, split. The query has access to nothing but these rows."""
    with open_control(load_settings()) as control:
        result = control.datasets.query(dataset, sql, limit=limit)
    if as_json:
        print_json(result)
        return
    names = [str(number) for number in range(len(result.columns))]
    print_table(
        [dict(zip(names, row, strict=True)) for row in result.rows], dict(zip(names, result.columns, strict=True))
    )
    if result.is_cut:
        stderr().print(f"There are more rows than {limit:,}. For more of them: --limit N")


def diff(
    older: _Dataset,
    newer: Annotated[str, typer.Argument(metavar="NEWER", help="The version to compare it with.")],
    limit: Annotated[int, typer.Option(min=0, max=1000, help="The most rows to show in each direction.")] = 20,
    as_json: options.AsJson = False,
) -> None:
    """Show the rows that only one of two versions has, and the reasons for their removal."""
    with open_control(load_settings()) as control:
        found = control.datasets.diff(older, newer, limit=limit)
    if as_json:
        print_json(found)
        return
    stdout().print(
        f"{found.newer} has {found.num_same:,} rows of {found.older};"
        f" {found.num_removed:,} went, {found.num_added:,} came."
    )
    for sign, rows in (("-", found.removed), ("+", found.added)):
        for row in rows:
            why = f"  ({row.operator}: {row.detail or row.reason})" if row.operator else ""
            stdout().print(f"{sign} {row.id[:12]} {_shortened(row)}{why}")


def export(
    dataset: _Dataset,
    path: Annotated[
        Path,
        typer.Argument(
            help="A file that ends in .jsonl, .jsonl.gz or .jsonl.zst; or a folder, laid out as for the Hub."
        ),
    ],
    shape: Annotated[
        str | None, typer.Option("--as", metavar="SHAPE", help="The shape of the records.", show_default="LLMOS's own")
    ] = None,
    columns: Annotated[
        bool, typer.Option("--columns/--no-columns", help="Write origin, language, license, consent and split, too.")
    ] = True,
    as_json: options.AsJson = False,
) -> None:
    """Write a version to a file or a folder. Importing it again gives the same version."""
    with open_control(load_settings()) as control, progress_bar() as progress:
        exported = control.datasets.export_to(dataset, path, progress, shape=shape, columns=columns)
    if as_json:
        print_json(exported)
        return
    stdout().print(f"Wrote {exported.num_rows:,} rows to {exported.path}, {readable_size(exported.size_bytes)}.")


def rm(dataset: _Dataset, as_json: options.AsJson = False) -> None:
    """Remove a dataset (NAME), one version (NAME@3) or an alias (NAME:ALIAS), and files that nothing else uses."""
    with open_control(load_settings()) as control:
        removed = control.datasets.remove(dataset)
    print_removed(dataset, removed, as_json=as_json)


def _is_location(source: str) -> bool:
    from llmos.data.datasets.fetching import is_location

    return is_location(source) and not Path(source).exists()


def _parse_mapping(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise BadRequest(f"--map {text} isn't FIELD=COLUMN, such as --map input=question.", param="map")
    return name, column


def _print_preview(preview: PreviewDescription, *, as_json: bool) -> None:
    if as_json:
        print_json(preview)
        return
    console = stderr()
    files = "1 file" if preview.num_files == 1 else f"{preview.num_files:,} files"
    console.print(f"{files}, {readable_size(preview.num_bytes)}, recognized as {preview.title} (--as {preview.shape}).")
    for row in preview.rows:
        console.print(f"  {_shortened(row)}")
    if preview.left_out:
        console.print(f"Columns that aren't kept: {', '.join(preview.left_out)}.")


def _print_made(made: DatasetDescription, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    stdout().print(
        f"{made.version} is here: {made.num_rows:,} rows of the kind {made.kind}, {readable_size(made.content_bytes)}."
    )
    if skipped := made.report.get("skipped"):
        problems: Sequence[str] = made.report.get("problems", [])
        stderr().print(f"{skipped:,} bad lines were left out:")
        for problem in problems:
            stderr().print(f"  {problem}")
    for name, count in made.report.get("widened", {}).items():
        stderr().print(f"{name}: {count:,} values became texts.")
    if documents := made.report.get("documents"):
        _print_documents(documents)


def _print_documents(documents: Mapping[str, Any]) -> None:
    """Print how much of the text of documents was kept, and what wasn't."""
    left_out = [f"{count:,} × {what.replace('_', ' ')}" for what, count in documents["left_out"].items()]
    without = f" Left out: {', '.join(left_out)}." if left_out else ""
    stderr().print(f"{documents['kept']:.1%} of the documents' text was kept.{without}")
    for note in documents["notes"]:
        stderr().print(f"  {note}")


def _print_row(row: RowDescription) -> None:
    columns = {name: getattr(row, name) for name in ("origin", "split", "language", "license", "consent", "subject")}
    known = ", ".join(f"{name} {value}" for name, value in columns.items() if value is not None)
    stdout().print(f"{row.id[:12]}  {known}")
    stdout().print(f"  {json.dumps(row.content, ensure_ascii=False)}")


def _shortened(row: RowDescription | ChangedRowDescription) -> str:
    return cut(json.dumps(row.content, ensure_ascii=False), _SHOWN_CHARACTERS)


def _readable(described: DatasetDescription) -> dict[str, Any]:
    facts = dict(fields_of(described))
    facts["num_rows"] = f"{described.num_rows:,}"
    facts["content_bytes"] = readable_size(described.content_bytes)
    facts["size_bytes"] = readable_size(described.size_bytes)
    facts["tags"], facts["dataset_tags"] = readable_tags(described.tags), readable_tags(described.dataset_tags)
    for name in ("recipe", "report"):
        facts[name] = json.dumps(facts[name], ensure_ascii=False) if facts[name] else None
    return facts
