"""One form for equal texts: Unicode's composed form, one kind of line break, no invisible or control characters, and no
spaces at the ends of lines and texts."""

import re
import unicodedata
from typing import ClassVar, Literal

from llmos.data.datasets.rows import Row
from llmos.data.operators import operator
from llmos.data.operators.operator import Context, RowOperator

VERSION = 1

_LINE_BREAKS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Not U+200C and U+200D, which scripts such as Persian and Hindi need, and emoji.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\x80-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff]")
_ENDS_OF_LINES = re.compile("[ \t\u00a0\u3000]+(?=\n)")
_BLANK_LINES = re.compile("\n{3,}")


class Options(operator.Options, frozen=True, kw_only=True):
    form: Literal["NFC", "NFKC"] = "NFC"
    """Unicode's normal form. NFKC also replaces ligatures, full-width letters and the like."""
    strip: bool = True
    """Remove spaces at the ends of lines and texts, and all but one of several blank lines."""


class Normalize(RowOperator):
    name: ClassVar[str] = "normalize"
    reason: ClassVar[str] = "normalized"

    def __init__(self, options: Options) -> None:
        self._options = options

    def decide(self, row: Row) -> Row:
        return row.map_texts(self._normalized)

    def _normalized(self, text: str) -> str:
        text = _INVISIBLE.sub("", _LINE_BREAKS.sub("\n", text))
        text = unicodedata.normalize(self._options.form, text)
        if self._options.strip:
            text = _BLANK_LINES.sub("\n\n", _ENDS_OF_LINES.sub("", text)).strip()
        return text


def open(options: Options, context: Context) -> Normalize:
    return Normalize(options)
