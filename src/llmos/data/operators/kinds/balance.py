"""As many rows of each value of a column: groups larger than the smallest, or than a limit, are cut at random."""

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Literal

import msgspec

from llmos.data.operators import operator
from llmos.data.operators.kinds._order import RandomOrder
from llmos.data.operators.operator import Context, Drop, Dropped, Item

VERSION = 1


class Options(operator.Options, frozen=True, kw_only=True):
    by: Literal["language", "license", "consent", "subject", "split"]
    """The column. Rows without a value are a group, too."""
    most: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Rows of a group. None: those of the smallest."""
    seed: int = 0


class Balance:
    reads_twice: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        self._options = options

    def apply(self, items: Iterable[Item], drop: Drop) -> Iterator[Item]:
        order = RandomOrder(self._options.seed)
        groups: dict[str | None, list[tuple[float, int]]] = {}
        for index, item in enumerate(items):
            groups.setdefault(self._value(item), []).append((order.number(item.row.id), index))
        most = self._options.most or min(map(len, groups.values()), default=0)
        kept = {index for group in groups.values() for _, index in sorted(group)[:most]}
        for index, item in enumerate(items):
            if index in kept:
                yield item
            else:
                value = self._value(item)
                named = "without a value" if value is None else f"of {value}"
                drop(item, Dropped("too_many", f"{len(groups[value]):,} rows {named}; {most:,} stay"))

    def _value(self, item: Item) -> str | None:
        value: str | None = getattr(item.row, self._options.by)
        return value


def open(options: Options, context: Context) -> Balance:
    return Balance(options)
