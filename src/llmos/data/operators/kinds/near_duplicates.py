"""Rows whose texts have most of their sequences of words in common with an earlier row: the first of them stays."""

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

import msgspec

from llmos.data.operators import operator
from llmos.data.operators.near_duplicate_rows import NearDuplicates
from llmos.data.operators.operator import Context, Drop, Dropped, Item

VERSION = 1


class Options(operator.Options, frozen=True, kw_only=True):
    threshold: Annotated[float, msgspec.Meta(ge=0.5, le=1)] = 0.8
    """The least share of common sequences among all sequences of two texts (their Jaccard similarity)."""
    sequence_length: Annotated[int, msgspec.Meta(ge=1, le=50)] = 5
    """Words of a sequence."""


class NearDuplicateRows:
    reads_twice: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        self._search = NearDuplicates(threshold=options.threshold, sequence_length=options.sequence_length)

    def apply(self, items: Iterable[Item], drop: Drop) -> Iterator[Item]:
        matches = self._search.find(Texts(items))
        matched = {match.index for match in matches.values()}
        firsts: dict[int, str] = {}
        for index, item in enumerate(items):
            if index in matched:
                firsts[index] = item.source
            if (match := matches.get(index)) is None:
                yield item
            else:
                alike = f"{match.similarity:.0%} of the sequences of words are those of {firsts[match.index][:12]}"
                drop(item, Dropped("near_duplicate", alike))


class Texts:
    """All texts of each item, joined. Iterable as often as the items are."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[str]:
        for item in self._items:
            yield "\n".join(item.row.texts)


def open(options: Options, context: Context) -> NearDuplicateRows:
    return NearDuplicateRows(options)
