"""Operator: the interface of one step of a recipe. A kind of operator is one file in kinds/.

    items of a version  →  apply  →  those that are kept, some of them changed; the others are dropped, with a reason

An operator is pure: what it keeps depends on the items and its options alone, so that the same recipe gives the same
version again. Operators that need something from outside (a tokenizer, other datasets) get it from a Context.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.datasets.contents import Content
from llmos.data.datasets.rows import Row


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of an operator, as a recipe gives them."""


@dataclass(slots=True)
class Item:
    """A row on its way through a recipe."""

    row: Row
    source: str
    """The id of the row that it was in the version that is cleaned."""
    changed_by: tuple[str, str] | None = None
    """The operator that changed it last, and the reason."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """The reason for which a row is left out."""

    reason: str
    """A short, fixed word, such as "too_short"."""
    detail: str | None = None
    """A sentence about this row."""


Drop = Callable[[Item, Dropped], None]
"""Record that an item is left out."""


class Operator(Protocol):
    """One configured step."""

    reads_twice: ClassVar[bool]
    """apply() reads its items more than once. They are kept on disk meanwhile."""

    def apply(self, items: Iterable[Item], drop: Drop) -> Iterator[Item]:
        """Yield the items that are kept, in their order, and drop each other one."""


class RowOperator(ABC):
    """An operator that looks at one row at a time."""

    reads_twice: ClassVar[bool] = False
    name: ClassVar[str]
    reason: ClassVar[str] = "changed"
    """The reason that is kept with a row whose content it changes."""

    @abstractmethod
    def decide(self, row: Row) -> Row | Dropped:
        """Return the row, the row that takes its place, or why it is left out."""

    def apply(self, items: Iterable[Item], drop: Drop) -> Iterator[Item]:
        for item in items:
            decision = self.decide(item.row)
            if isinstance(decision, Dropped):
                drop(item, decision)
                continue
            if decision.id != item.row.id:
                item.changed_by = (self.name, self.reason)
            item.row = decision
            yield item


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text that is personal data: text[start:end]."""

    start: int
    end: int
    kind: str
    """Such as "email"."""


def _no_detector(kinds: Sequence[str]) -> Callable[[str], list[Span]]:
    raise BadRequest("Personal data can't be found here: no detector is given.", param="recipe")


def _no_tokenizer(model: str) -> Callable[[Content], int]:
    raise BadRequest(f"The tokens of {model[:80]!r} can't be counted here: no models are given.", param="recipe")


def _no_datasets(reference: str) -> Iterable[Row]:
    raise BadRequest(f"The dataset {reference[:80]!r} can't be read here: no datasets are given.", param="recipe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The services that operators take from outside. The defaults raise BadRequest."""

    personal_data: Callable[[Sequence[str]], Callable[[str], list[Span]]] = field(default=_no_detector)
    """Return a function that finds personal data of these kinds (none: all kinds) in a text, in order."""
    token_counter: Callable[[str], Callable[[Content], int]] = field(default=_no_tokenizer)
    """Return a function that counts the tokens of a content, by a model's own template and tokenizer."""
    rows_of: Callable[[str], Iterable[Row]] = field(default=_no_datasets)
    """Return the rows of the version that a reference names."""


class Kind(Protocol):
    """A module of kinds/."""

    VERSION: int
    """Raised when the same options give another result. It is a part of the digests of what is made with it."""
    Options: type[Options]

    def open(self, options: Any, context: Context) -> Operator:
        """Return the operator. Raises BadRequest for options that don't go together."""
