"""The number of tokens of each row, by a model's own template and tokenizer."""

from collections.abc import Callable
from typing import Annotated, ClassVar

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.datasets.contents import Content
from llmos.data.datasets.rows import Row
from llmos.data.operators import operator
from llmos.data.operators.operator import Context, Dropped, RowOperator

VERSION = 1

Count = Annotated[int, msgspec.Meta(ge=1)]


class Options(operator.Options, frozen=True, kw_only=True):
    model: str
    """The model whose tokens are counted, such as smollm2@1."""
    least: Count | None = None
    most: Count | None = None
    """At least one of the two is given."""


class Tokens(RowOperator):
    name: ClassVar[str] = "tokens"

    def __init__(self, options: Options, count: Callable[[Content], int]) -> None:
        self._options, self._count = options, count

    def decide(self, row: Row) -> Row | Dropped:
        count, least, most = self._count(row.content), self._options.least, self._options.most
        if most is not None and count > most:
            return Dropped("too_long", f"{count:,} tokens; the most is {most:,}")
        if least is not None and count < least:
            return Dropped("too_short", f"{count:,} tokens; the least is {least:,}")
        return row


def open(options: Options, context: Context) -> Tokens:
    if options.least is None and options.most is None:
        raise BadRequest("`tokens` needs `least` or `most`.", param="most")
    return Tokens(options, context.token_counter(options.model))
