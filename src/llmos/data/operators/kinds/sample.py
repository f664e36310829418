"""A random part of the rows: the same rows and seed give the same part."""

import heapq
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.operators import operator
from llmos.data.operators.kinds._order import RandomOrder
from llmos.data.operators.operator import Context, Drop, Dropped, Item

VERSION = 1


class Options(operator.Options, frozen=True, kw_only=True):
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Rows."""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """Exactly one of the two is given."""
    seed: int = 0


class Sample:
    reads_twice: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        self._options = options

    def apply(self, items: Iterable[Item], drop: Drop) -> Iterator[Item]:
        order = RandomOrder(self._options.seed)
        numbers = [order.number(item.row.id) for item in items]
        count = self._options.count
        if count is None:
            assert self._options.share is not None
            count = round(self._options.share * len(numbers))
        chosen = set(heapq.nsmallest(count, range(len(numbers)), key=lambda i: (numbers[i], i)))
        for index, item in enumerate(items):
            if index in chosen:
                yield item
            else:
                drop(item, Dropped("not_sampled"))


def open(options: Options, context: Context) -> Sample:
    if (options.count is None) == (options.share is None):
        raise BadRequest("`sample` needs `count` or `share`, and not both.", param="count")
    return Sample(options)
