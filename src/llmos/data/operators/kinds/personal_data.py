"""Personal data in texts: masked, replaced by placeholders, or a reason to drop the row."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from llmos.data.datasets.rows import Row
from llmos.data.operators import operator
from llmos.data.operators.operator import Context, Dropped, RowOperator, Span

VERSION = 1


class Options(operator.Options, frozen=True, kw_only=True):
    kinds: Sequence[str] = ()
    """Kinds of data, such as email and phone. None: all that are known."""
    action: Literal["mask", "placeholder", "drop"] = "mask"
    """mask: [EMAIL] stands in its place. placeholder: [EMAIL_1], the same for the same text of a row."""


class PersonalData(RowOperator):
    name: ClassVar[str] = "personal_data"
    reason: ClassVar[str] = "masked"

    def __init__(self, find: Callable[[str], list[Span]], action: str) -> None:
        self._find, self._action = find, action

    def decide(self, row: Row) -> Row | Dropped:
        if self._action == "drop":
            found = sorted({span.kind for text in row.texts for span in self._find(text)})
            return Dropped("personal_data", ", ".join(found)) if found else row
        return row.map_texts(Replacement(self._find, has_numbers=self._action == "placeholder"))


class Replacement:
    """Replaces what is found in the texts of one row."""

    def __init__(self, find: Callable[[str], list[Span]], *, has_numbers: bool = False) -> None:
        self._find, self._has_numbers = find, has_numbers
        self._numbers: dict[str, dict[str, int]] = {}
        """Kind -> text -> its number."""

    def __call__(self, text: str) -> str:
        parts, end = [], 0
        for span in self._find(text):
            parts += [text[end : span.start], self._placeholder(span.kind, text[span.start : span.end])]
            end = span.end
        return "".join([*parts, text[end:]])

    def _placeholder(self, kind: str, text: str) -> str:
        if not self._has_numbers:
            return f"[{kind.upper()}]"
        numbers = self._numbers.setdefault(kind, {})
        return f"[{kind.upper()}_{numbers.setdefault(text, len(numbers) + 1)}]"


def open(options: Options, context: Context) -> PersonalData:
    return PersonalData(context.personal_data(options.kinds), options.action)
