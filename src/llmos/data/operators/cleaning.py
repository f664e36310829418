"""Cleaning: runs a recipe over a version, and writes what is kept as a new one, with a reason for every other row."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import msgspec

from llmos.core.progress import Progress
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.rows import Row
from llmos.data.datasets.versions import DatasetVersion
from llmos.data.operators.operator import Context, Drop, Dropped, Item, Operator
from llmos.data.operators.recipe import Recipe, Step
from llmos.data.operators.spooled_items import SpooledItems

DropBy = Callable[[str, Item, Dropped], None]
"""Record that the operator of this name leaves an item out."""

_PROGRESS_ROWS = 500

_NUM_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Example:
    """A row that a recipe leaves out or changes."""

    id: str
    text: str
    """The beginning of its texts."""
    detail: str | None = None


@dataclass(slots=True)
class Forecast:
    """The effect that a recipe would have on a version."""

    num_rows: int = 0
    num_kept: int = 0
    num_changed: int = 0
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(operator, reason) -> rows."""
    examples: dict[tuple[str, str], list[Example]] = field(default_factory=dict)
    """The first few of each."""


def clean(
    datasets: ProjectDatasets,
    version: DatasetVersion,
    recipe: Recipe,
    context: Context,
    *,
    name: str | None = None,
    actor: str | None = None,
    progress: Progress = lambda label, done, total: None,
) -> DatasetVersion:
    """Run the recipe over a version and return the new one, of the same dataset or of `name`.

    The same version and recipe give the same digest. Raises BadRequest where no row is left, or an operator lacks what
    it needs; nothing is kept then.
    """
    operators = [(step, step.open(context)) for step in recipe.steps]
    with datasets.writing(
        name or version.dataset, version.kind, parents=[version], recipe=recipe.as_json, actor=actor
    ) as writer:

        def drop(operator: str, item: Item, dropped: Dropped) -> None:
            writer.drop(_as_it_was(item), operator, dropped.reason, dropped.detail)

        with ExitStack() as stack:
            items = _items(datasets.rows(version), version.num_rows, progress)
            for item in _applied(operators, items, drop, stack):
                if item.changed_by is None:
                    writer.add(item.row)
                else:
                    writer.replace(_as_it_was(item), item.row, *item.changed_by)
        return writer.finish()


def forecast(
    rows: Iterable[Row],
    num_rows: int,
    recipe: Recipe,
    context: Context,
    progress: Progress = lambda label, done, total: None,
) -> Forecast:
    """Run the recipe over rows and return what it would do, without keeping anything."""
    found = Forecast()

    def drop(operator: str, item: Item, dropped: Dropped) -> None:
        key = (operator, dropped.reason)
        found.dropped[key] += 1
        examples = found.examples.setdefault(key, [])
        if len(examples) < _NUM_EXAMPLES:
            examples.append(Example(item.source, "\n".join(item.row.texts)[:200], dropped.detail))

    def counted(items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            found.num_rows += 1
            yield item

    operators = [(step, step.open(context)) for step in recipe.steps]
    with ExitStack() as stack:
        for item in _applied(operators, counted(_items(rows, num_rows, progress)), drop, stack):
            found.num_kept += 1
            found.num_changed += item.changed_by is not None
    return found


def _items(rows: Iterable[Row], num_rows: int, progress: Progress) -> Iterator[Item]:
    for index, row in enumerate(rows):
        if index % _PROGRESS_ROWS == 0:
            progress("rows", index, num_rows)
        yield Item(row, row.id)
    progress("rows", num_rows, num_rows)


def _applied(
    operators: Iterable[tuple[Step, Operator]],
    items: Iterable[Item],
    drop: DropBy,
    stack: ExitStack,
) -> Iterable[Item]:
    """Return the items that all operators keep. Files that this takes are gone when the stack closes."""
    for step, operator in operators:
        if operator.reads_twice:
            items = stack.enter_context(SpooledItems(items))
        items = operator.apply(items, _dropping(step.name, drop))
    return items


def _dropping(operator: str, drop: DropBy) -> Drop:
    return lambda item, dropped: drop(operator, item, dropped)


def _as_it_was(item: Item) -> Row:
    """Return a row with the id that the item had in the version that is cleaned."""
    return msgspec.structs.replace(item.row, id=item.source)
