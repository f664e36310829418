"""How every command prints: tables for people, JSON for programs, progress on stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table

Row = Mapping[str, Any]


def print_json(value: Any) -> None:
    """Write `value` to stdout as indented JSON. Times become ISO 8601, paths strings."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")


def print_table(rows: Sequence[Row], columns: Mapping[str, str] | Sequence[str], *, as_json: bool = False) -> None:
    """Print rows as a table, or all of their fields as a JSON list.

    `columns` maps the fields that the table shows to their headings; a plain sequence is its own headings.
    """
    if as_json:
        print_json([dict(row) for row in rows])
        return
    headings = columns if isinstance(columns, Mapping) else {name: name.replace("_", " ") for name in columns}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(shown(row.get(name)) for name in headings))
    stdout().print(table)


def print_facts(facts: Row) -> None:
    """Print one thing's fields, a line each; None is left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value is not None:
            table.add_row(name.replace("_", " "), shown(value))
    stdout().print(table)


def stdout() -> Console:
    """A console for results. Made anew each time, so that redirected output goes where it should."""
    return _console(stderr=False)


def stderr() -> Console:
    """A console for what is said on the way: progress, hints, warnings."""
    return _console(stderr=True)


def download_progress() -> Progress:
    """A progress display for byte counts, on stderr, gone when it is done; silent where stderr is no terminal."""
    console = stderr()
    return Progress(
        # One line on a terminal of 80 columns, whatever a file is called.
        TextColumn(
            "{task.description}", markup=False, table_column=Column(max_width=26, no_wrap=True, overflow="ellipsis")
        ),
        BarColumn(bar_width=14),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def work_progress() -> Progress:
    """The same for work that isn't counted in bytes."""
    console = stderr()
    return Progress(
        TextColumn(
            "{task.description}", markup=False, table_column=Column(max_width=36, no_wrap=True, overflow="ellipsis")
        ),
        BarColumn(bar_width=14),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def readable_size(num_bytes: int) -> str:
    """98362432 -> "98.4 MB"."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def readable_count(count: int) -> str:
    """134515008 -> "134.5 M"."""
    size = float(count)
    for unit in ("", " k", " M", " B"):
        if size < 1000:
            return f"{size:.0f}" if unit == "" else f"{size:.1f}{unit}"
        size /= 1000
    return f"{size:.1f} T"


def shown(value: Any) -> str:
    """One value as a person reads it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M")
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value) or "–"
    return str(value)


def _console(*, stderr: bool) -> Console:
    """What is no terminal gets lines of any length: a program that reads them must not find them folded."""
    console = Console(stderr=stderr, markup=False, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, markup=False, highlight=False, width=10_000)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
