"""Splits such as train and test, by group: conversations, persons and near duplicates are never on both sides."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.datasets.rows import Row
from llmos.data.operators import operator
from llmos.data.operators.kinds._order import RandomOrder
from llmos.data.operators.kinds._questions import question_of
from llmos.data.operators.kinds.near_duplicates import Texts
from llmos.data.operators.near_duplicate_rows import NearDuplicates
from llmos.data.operators.operator import Context, Drop, Item
from llmos.data.operators.words import words_of

VERSION = 1

By = Literal["content", "question", "subject", "origin", "near_duplicates"]


class Options(operator.Options, frozen=True, kw_only=True):
    shares: Mapping[str, Annotated[float, msgspec.Meta(gt=0)]]
    """The share of the rows of each split: {train = 0.9, test = 0.1}. They need not add up to 1."""
    by: Sequence[By] = ("content", "question", "subject", "near_duplicates")
    """Rows with the same value of any of these are a group. question: the words of what is asked. origin: the file
    that they came from."""
    threshold: Annotated[float, msgspec.Meta(ge=0.5, le=1)] = 0.8
    """The similarity of near duplicates."""
    seed: int = 0


class Split:
    reads_twice: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        self._options = options

    def apply(self, items: Iterable[Item], drop: Drop) -> Iterator[Item]:
        groups, ids = self._groups(items)
        splits = self._splits(groups, ids)
        for item, group in zip(items, groups, strict=True):
            item.row = msgspec.structs.replace(item.row, split=splits[group])
            yield item

    def _groups(self, items: Iterable[Item]) -> tuple[list[int], list[str]]:
        """Return the group of each item, as the index of its first member, and the id of each item's row."""
        groups = _Groups()
        firsts: dict[tuple[str, str], int] = {}
        ids = []
        for index, item in enumerate(items):
            groups.add()
            ids.append(item.row.id)
            for by in self._options.by:
                if by != "near_duplicates" and (value := _VALUES[by](item.row)):
                    groups.join(index, firsts.setdefault((by, value), index))
        if "near_duplicates" in self._options.by:
            for index, match in NearDuplicates(threshold=self._options.threshold).find(Texts(items)).items():
                groups.join(index, match.index)
        return [groups.first(index) for index in range(len(groups.parents))], ids

    def _splits(self, groups: Sequence[int], ids: Sequence[str]) -> dict[int, str]:
        """Return the split of each group: groups in random order fill one split after another."""
        sizes: dict[int, int] = {}
        for group in groups:
            sizes[group] = sizes.get(group, 0) + 1
        order = RandomOrder(self._options.seed)
        numbers = {group: order.number(ids[group]) for group in sizes}
        names, shares = list(self._options.shares), list(self._options.shares.values())
        ends = [sum(shares[: i + 1]) / sum(shares) * len(groups) for i in range(len(shares))]
        splits, num_rows, current = {}, 0, 0
        for group in sorted(sizes, key=numbers.__getitem__):
            # A group goes where its middle is.
            while current + 1 < len(ends) and num_rows + sizes[group] / 2 > ends[current]:
                current += 1
            splits[group] = names[current]
            num_rows += sizes[group]
        return splits


class _Groups:
    """Disjoint sets of indices, joined one after another (Tarjan 1975)."""

    def __init__(self) -> None:
        self.parents: list[int] = []

    def add(self) -> None:
        self.parents.append(len(self.parents))

    def first(self, index: int) -> int:
        """Return the smallest index of the set."""
        parents = self.parents
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    def join(self, one: int, other: int) -> None:
        one, other = sorted((self.first(one), self.first(other)))
        self.parents[other] = one


_VALUES: Mapping[str, Callable[[Row], str | None]] = {
    "content": lambda row: row.id,
    "question": lambda row: " ".join(words_of(question_of(row.content))),
    "subject": lambda row: row.subject,
    "origin": lambda row: row.origin and row.origin.rpartition(":")[0],
}


def open(options: Options, context: Context) -> Split:
    if len(options.shares) < 2:
        raise BadRequest("`shares` needs at least two splits, such as {train = 0.9, test = 0.1}.", param="shares")
    return Split(options)
