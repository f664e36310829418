"""The output of commands: tables for people, JSON for programs, hints on stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from llmos.cli.terminal import is_utf8
from llmos.core.sizes import readable_size as readable_size

Row = Mapping[str, Any] | msgspec.Struct
"""A thing with named fields."""


_NARROW_COLUMNS = 60
"""In a terminal with fewer columns, the rows of a table are printed one below the other."""


def print_json(value: Any) -> None:
    """Write `value` to stdout as indented JSON. Times become ISO 8601, paths strings, structs objects."""
    # In another encoding than UTF-8, JSON's own escapes lose no character.
    ensure_ascii = not is_utf8(sys.stdout.encoding)
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=ensure_ascii, default=_plain) + "\n")


def print_table(rows: Sequence[Row], columns: Mapping[str, str] | Sequence[str], *, as_json: bool = False) -> None:
    """Print rows as a table, or all of their fields as a JSON list.

    `columns` maps the fields that the table shows to their headings; a sequence of fields is its own headings.
    """
    if as_json:
        print_json(rows)
        return
    headings = columns if isinstance(columns, Mapping) else {name: name.replace("_", " ") for name in columns}
    console = stdout()
    if console.is_terminal and console.width < _NARROW_COLUMNS:
        for row in rows:
            fields = fields_of(row)
            print_facts({heading: fields.get(name) for name, heading in headings.items()})
            console.print()
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        fields = fields_of(row)
        table.add_row(*(shown(fields.get(name)) for name in headings))
    console.print(table)


def print_facts(facts: Row) -> None:
    """Print the fields of one thing, one per line. Fields that are None are left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in fields_of(facts).items():
        if value is not None:
            table.add_row(name.replace("_", " "), shown(value))
    stdout().print(table)


def fields_of(row: Row) -> Mapping[str, Any]:
    return msgspec.structs.asdict(row) if isinstance(row, msgspec.Struct) else row


def stdout() -> Console:
    """Return a console for results. Created on each call, so that it follows redirected output."""
    return _console(stderr=False)


def stderr() -> Console:
    """Return a console for progress, hints and warnings."""
    return _console(stderr=True)


def readable_count(count: int) -> str:
    """134515008 -> "134.5 M"."""
    size = float(count)
    for unit in ("", " k", " M", " B"):
        if size < 1000:
            return f"{size:.0f}" if unit == "" else f"{size:.1f}{unit}"
        size /= 1000
    return f"{size:.1f} T"


def readable_tags(tags: Mapping[str, str]) -> str:
    """{"team": "search", "approved": ""} -> "team=search, approved"."""
    return ", ".join(f"{key}={value}" if value else key for key, value in tags.items())


def shown(value: Any) -> str:
    """Return a value as readable text."""
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
    """Lines are folded on a terminal only, so that programs can read them."""
    console = Console(stderr=stderr, markup=False, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, markup=False, highlight=False, width=10_000)


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if isinstance(value, date):  # A datetime is one, too.
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def cut(text: str, max_characters: int) -> str:
    """Return a text, or its beginning."""
    return text if len(text) <= max_characters else f"{text[:max_characters]}…"


def one_line(text: str, max_characters: int) -> str:
    """Return a text in one line, or the beginning of that."""
    return cut(" ".join(text.split()), max_characters)
