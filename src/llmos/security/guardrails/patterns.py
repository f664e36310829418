"""Patterns: regular expressions that are matched in linear time, and their beginnings.

Python's own expressions can take exponential time. A pattern is therefore parsed with Python's parser and written
again for RE2, twice: as it is, and as the expression of every proper beginning of a match, which says how much of a
growing text has to be held back:

    ab{1,2}c   →   beginnings: (empty) | a | ab | abb
"""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from llmos.core.errors import BadRequest
from llmos.security.guardrails.needles import Needles, needles_of

_parser: Any = import_module("re._parser")
_ops: Any = import_module("re._constants")

MAX_WIDTH = 5000
"""The longest match of a pattern, in characters: no more is ever held back."""

_FEW = 32
"""Repetitions that are written out in beginnings."""

_MAX_BYTES = 64 << 20
"""The limit of RE2's memory for one expression."""

_DIGIT = r"\p{Nd}"
_SPACE = r"\s\x{85}\p{Z}"
_WORD = r"\p{L}\p{M}\p{N}_"


@dataclass(frozen=True, slots=True)
class Border:
    """Characters that must not be beside a match."""

    characters: str
    """The inside of an RE2 character class."""
    contains: Callable[[str], bool]


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


WORD = Border(_WORD, _is_word)
LATIN = Border(r"A-Za-z0-9_\x{C0}-\x{24F}", lambda each: each < "\u0250" and _is_word(each))
"""For codes in texts of languages without spaces, where any letter may stand beside a code."""
DIGIT = Border("0-9", lambda each: "0" <= each <= "9")


@dataclass(frozen=True, slots=True)
class Pattern:
    core: str
    """Without its borders, for RE2."""
    beginning: str
    """Matches every proper beginning of a match, the empty one included, and what is longer than any because a part
    is repeated too often: see `width`."""
    width: int
    """The characters of the longest match."""
    left: Border | None = None
    right: Border | None = None
    is_at_start: bool = False
    """Matches only at the start of the text."""
    is_at_end: bool = False
    """Matches only at the end of the text."""
    loose_core: str = ""
    """The core, whose long repetitions may be longer still. Empty: the core itself."""
    needles: Needles | None = None
    """Strings of which every match in an ASCII text has one; None if there are none to look for."""

    @property
    def full(self) -> str:
        """The core as group 1, and what has to follow it."""
        if self.is_at_end:
            return rf"({self.core})\z"
        return f"({self.core})" if self.right is None else rf"({self.core})(?:\z|[^{self.right.characters}])"

    @property
    def needs_more(self) -> bool:
        """Return whether the end of a match depends on what follows it."""
        return self.is_at_end or self.right is not None

    @property
    def beginnings(self) -> str:
        """The beginnings, with the whole core if what follows it matters."""
        return f"(?:{self.beginning}|{self.loose_core or self.core})" if self.needs_more else self.beginning

    def may_follow(self, character: str) -> bool:
        """Return whether a match may begin after this character; "" is the start of the text."""
        if self.is_at_start:
            return not character
        return not (self.left is not None and character and self.left.contains(character))


def parse(text: str, *, ignore_case: bool = False, left: Border | None = None, right: Border | None = None) -> Pattern:
    r"""Return the pattern of a regular expression in Python's syntax, without lookaround and backreferences.

    \b, ^ and $ may stand at its start and end; \b there means that no letter, digit or underscore is beside the match.
    Raises BadRequest for what RE2 can't match, for an expression that matches nothing, and for one whose matches may be
    longer than MAX_WIDTH.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Python may come to read differently
            tree = _parser.parse(text, re.IGNORECASE if ignore_case else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise _wrong(text, f"isn't one: {error}") from None
    if tree.state.flags & re.VERBOSE or tree.state.flags & re.MULTILINE:
        raise _wrong(text, "has the flag x or m, which aren't supported")
    items = list(tree)
    is_at_start = is_at_end = False
    while items and items[0][0] is _ops.AT:
        where = items.pop(0)[1]
        if where is _ops.AT_BOUNDARY:
            left = WORD
        elif where in (_ops.AT_BEGINNING, _ops.AT_BEGINNING_STRING):
            is_at_start = True
        else:
            raise _wrong(text, "begins with \\B or the end of a text")
    while items and items[-1][0] is _ops.AT:
        where = items.pop()[1]
        if where is _ops.AT_BOUNDARY:
            right = WORD
        elif where in (_ops.AT_END, _ops.AT_END_STRING):
            is_at_end = True
        else:
            raise _wrong(text, "ends with \\B or the start of a text")
    writer = _Writer(text)
    flags = f"(?{'i' * bool(tree.state.flags & re.IGNORECASE)}{'s' * bool(tree.state.flags & re.DOTALL)})"
    flags = "" if flags == "(?)" else flags
    low, high = tree.getwidth()
    if low == 0:
        raise _wrong(text, "matches the empty text, so it would match everywhere")
    if high > MAX_WIDTH:
        raise _wrong(
            text,
            f"can match more than {MAX_WIDTH:,} characters, which an answer would be held back for. Write how often its"
            " parts repeat at most, such as {1,80} instead of +",
        )
    core, beginning = writer.full(items), writer.beginning(items)
    pattern = Pattern(
        core=f"(?:{flags}{core})",
        beginning=f"(?:{flags}{beginning})",
        width=high,
        left=left,
        right=right,
        is_at_start=is_at_start,
        is_at_end=is_at_end,
        loose_core=f"(?:{flags}{writer.full(items, is_bounded=False)})",
        needles=needles_of(items),
    )
    try:
        compile_re2(pattern.full), compile_re2(pattern.beginnings)
    except ValueError as error:
        raise _wrong(text, f"is too much for RE2: {error}") from None
    return pattern


def parse_phrase(text: str, *, ignore_case: bool = True) -> Pattern:
    """Return the pattern of a phrase as a whole word or words, with any space where it has one."""
    words = text.split()
    if not words:
        raise BadRequest("A phrase is empty.", param="phrases")
    expression = r"\s{1,8}".join(map(re.escape, words))
    has_border = {side: _needs_border(words[side][side]) for side in (0, -1)}
    return parse(
        expression,
        ignore_case=ignore_case,
        left=WORD if has_border[0] else None,
        right=WORD if has_border[-1] else None,
    )


def _needs_border(character: str) -> bool:
    """Return whether the character's script puts spaces between words."""
    return _is_word(character) and not "\u0e00" <= character <= "\u0eff" and character < "\u2e80"


@lru_cache(maxsize=4096)
def compile_re2(expression: str) -> Any:
    """Return RE2's expression for UTF-8, which prefers the longest match. Raises ValueError."""
    # re2 takes 20 ms to import, and most calls are screened by nothing.
    import re2

    options = re2.Options()
    options.longest_match, options.log_errors, options.max_mem = True, False, _MAX_BYTES
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        reason = error.args[0]
        raise ValueError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from None


class _Writer:
    """Writes the parts of a parsed expression for RE2."""

    def __init__(self, text: str) -> None:
        self._text = text

    def full(self, items: Sequence[Any], *, is_bounded: bool = True) -> str:
        """Return the expression of a sequence. Unless `is_bounded`, long repetitions may be longer still: RE2 writes a
        part out as many times as it may come."""
        return "".join(self._full(item, is_bounded=is_bounded) for item in items)

    def beginning(self, items: Sequence[Any]) -> str:
        """Return the expression of the proper beginnings of a sequence: those of its first part, or the first part and
        the beginnings of the rest."""
        expression = ""
        for item in reversed(items):
            own, full = self._beginning(item), self._full(item, is_bounded=False)
            expression = f"(?:{own}|{full}{expression})" if expression or self._may_be_empty(item) else own
        return expression or "(?:)"

    def _full(self, item: Any, *, is_bounded: bool) -> str:
        op, value = item
        if op is _ops.LITERAL:
            return _character(value)
        if op is _ops.NOT_LITERAL:
            return f"[^{_character(value)}]"
        if op is _ops.ANY:
            return "."
        if op is _ops.IN:
            return self._class(value)
        if op is _ops.BRANCH:
            return f"(?:{'|'.join(self.full(branch, is_bounded=is_bounded) for branch in value[1])})"
        if op is _ops.SUBPATTERN:
            return f"(?{self._flags(value)}:{self.full(value[3], is_bounded=is_bounded)})"
        if op in (_ops.MAX_REPEAT, _ops.MIN_REPEAT):
            low, high, part = value
            return f"(?:{self.full(part, is_bounded=is_bounded)}){self._times(low, high, is_bounded=is_bounded)}"
        raise self._unsupported(op)

    def _beginning(self, item: Any) -> str:
        op, value = item
        if op is _ops.BRANCH:
            return f"(?:{'|'.join(self.beginning(branch) for branch in value[1])})"
        if op is _ops.SUBPATTERN:
            return f"(?{self._flags(value)}:{self.beginning(value[3])})"
        if op in (_ops.MAX_REPEAT, _ops.MIN_REPEAT):
            _, high, part = value
            # Any number of complete parts but the last, and the beginning of one.
            times = self._times(0, high - 1, is_bounded=False) if high > 1 else ""
            earlier = f"(?:{self.full(part, is_bounded=False)}){times}" if high > 1 else ""
            return f"(?:{earlier}{self.beginning(part)})" if high else "(?:)"
        return "(?:)"

    @staticmethod
    def _may_be_empty(item: Any) -> bool:
        return item[0] in (_ops.MAX_REPEAT, _ops.MIN_REPEAT) and item[1][1] > item[1][0]

    def _times(self, low: int, high: int, *, is_bounded: bool) -> str:
        if high > 1000:
            raise _wrong(self._text, "repeats a part more than 1,000 times")
        return f"{{{low},}}" if high > _FEW and not is_bounded else f"{{{low},{high}}}"

    @staticmethod
    def _flags(value: Any) -> str:
        _, added, removed, _ = value
        on = "".join(letter for flag, letter in ((re.IGNORECASE, "i"), (re.DOTALL, "s")) if added & flag)
        off = "".join(letter for flag, letter in ((re.IGNORECASE, "i"), (re.DOTALL, "s")) if removed & flag)
        return on + (f"-{off}" if off else "")

    def _class(self, items: Sequence[Any]) -> str:
        is_negated = items[0][0] is _ops.NEGATE
        parts = []
        for op, value in items[is_negated:]:
            if op is _ops.LITERAL:
                parts.append(_character(value))
            elif op is _ops.RANGE:
                parts.append(f"{_character(value[0])}-{_character(value[1])}")
            elif op is _ops.CATEGORY and value in _CATEGORIES:
                parts.append(_CATEGORIES[value])
            elif op is _ops.CATEGORY and value in _NOT_CATEGORIES and len(items) == 1:
                return f"[^{_NOT_CATEGORIES[value]}]"
            else:
                raise self._unsupported(value)
        return f"[{'^' * is_negated}{''.join(parts)}]"

    def _unsupported(self, op: Any) -> BadRequest:
        return _wrong(
            self._text,
            f"has a part that can't be matched in linear time or isn't supported ({str(op).lower()}): lookaround,"
            " backreferences, atomic groups, \\b, ^ or $ in the middle, or \\D, \\W or \\S among other characters",
        )


_CATEGORIES = {_ops.CATEGORY_DIGIT: _DIGIT, _ops.CATEGORY_SPACE: _SPACE, _ops.CATEGORY_WORD: _WORD}
_NOT_CATEGORIES = {_ops.CATEGORY_NOT_DIGIT: _DIGIT, _ops.CATEGORY_NOT_SPACE: _SPACE, _ops.CATEGORY_NOT_WORD: _WORD}


def _character(code: int) -> str:
    return chr(code) if chr(code).isascii() and chr(code).isalnum() else rf"\x{{{code:X}}}"


def _wrong(text: str, what: str) -> BadRequest:
    return BadRequest(f"The regular expression {text[:80]!r} {what}.", param="patterns")
