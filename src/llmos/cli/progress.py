"""The progress bar of long work, on stderr. Nothing is shown if stderr isn't a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Display
from rich.table import Column

from llmos.cli.output import stderr
from llmos.core.progress import Progress


@contextmanager
def progress_bar(unit: Literal["bytes", "steps"] = "bytes") -> Iterator[Progress]:
    """Show one bar with the time left; it disappears at the end. Yields the callback that moves it.

    The bar starts again when the work moves on to something else: when the total changes or the count goes back.
    """
    console = stderr()
    with Display(
        *_columns(unit, console.width), console=console, transient=True, disable=not console.is_terminal
    ) as display:
        task, done, total = display.add_task("", total=None), 0, None

        def on_progress(label: str, num_done: int, num_total: int | None) -> None:
            nonlocal done, total
            if num_total != total or num_done < done:
                display.reset(task)
            done, total = num_done, num_total
            display.update(task, description=label, completed=num_done, total=num_total)

        yield on_progress


def _columns(unit: Literal["bytes", "steps"], num_columns: int) -> list[ProgressColumn]:
    """Return columns that fit into the terminal, however long a label is: all from 80 characters on."""
    if num_columns < 80:
        label = TextColumn(
            "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
        )
        return [label, TaskProgressColumn()]
    width = 26 if unit == "bytes" else 36
    label = TextColumn(
        "{task.description}", markup=False, table_column=Column(max_width=width, no_wrap=True, overflow="ellipsis")
    )
    amount: list[ProgressColumn] = (
        [DownloadColumn(), TransferSpeedColumn()] if unit == "bytes" else [TaskProgressColumn()]
    )
    return [label, BarColumn(bar_width=14), *amount, TimeRemainingColumn()]
