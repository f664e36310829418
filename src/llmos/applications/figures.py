"""Figures: the numbers, percentages and dates of a text, and those that no source has. It asks no model.

Numbers are compared by value: 1,200 is 1200, and 2 million is 2,000,000. Where a comma or a point may be either, both
readings count. A percentage is found only in a source that has it as one. Numbers in words count before `percent` and
`million` only, since "one of them" is no figure.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from llmos.core.sentences import Span

MARK = " [unverified]"

_SPELLED_NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty
"""
_TENS = {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_WORDS = {word: value for value, word in enumerate(_SPELLED_NUMBERS.split())} | _TENS
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_MONTH_NAMES = """
january jan, february feb, march mar, april apr, may, june jun, july jul, august aug, september sep sept, october oct,
november nov, december dec
"""
_MONTHS = {name: number for number, names in enumerate(_MONTH_NAMES.split(","), start=1) for name in names.split()}
_PERCENT = r"(?P<percent>\s?%|[ \u00a0](?:percent|per cent|prozent)\b)"
_SCALE = rf"[ \u00a0-](?P<scale>{'|'.join(_SCALES)})\b"
_MONTH = rf"(?P<month{{0}}>{'|'.join(_MONTHS)})\.?"
_DATE = re.compile(
    r"\b(?P<year0>\d{4})-(?P<month0>\d{2})-(?P<day0>\d{2})\b"
    r"|\b(?P<day1>\d{1,2})\.\s?(?P<month1>\d{1,2})\.\s?(?P<year1>\d{4})\b"
    rf"|\b(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\.? (?:of )?{_MONTH.format(2)},? (?P<year2>\d{{4}})\b"
    rf"|\b{_MONTH.format(3)} (?P<day3>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<year3>\d{{4}})\b"
    rf"|\b{_MONTH.format(4)},? (?P<year4>\d{{4}})\b",
    re.IGNORECASE,
)
_NUMERAL = re.compile(
    r"(?<![\w.,])(?<![A-Za-z]-)"  # COVID-19 and v1.2 are names.
    r"(?P<number>\d{1,3}(?:[.,'\u2019\u00a0\u202f]\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d+)?)"
    rf"(?:{_SCALE})?(?:{_PERCENT}|[^\W\d_]+)?",
    re.IGNORECASE,
)
_SPELLED = re.compile(
    rf"\b(?P<word>{'|'.join(_WORDS)})(?:{_SCALE}(?:{_PERCENT})?|{_PERCENT.replace('percent>', 'only>')})", re.IGNORECASE
)
_LIST_MARK = re.compile(r"^[^\S\n]*(?:[-*>][^\S\n]*)?\d+[.)](?=\s)", re.MULTILINE)
_GROUPED = re.compile(r"\d{1,3}([.,'\u2019\u00a0\u202f])\d{3}(?:\1\d{3})*")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, a percentage or a date of a text."""

    text: str
    span: Span
    readings: frozenset[str]
    """The values that it may stand for, each in a normal form that is the same for all ways of writing it."""


def figures_in(text: str) -> list[Figure]:
    """Return the figures of a text, in order. The numbers of a list's lines are none."""
    dates = [Figure(match[0], match.span(), _readings_of_date(match)) for match in _DATE.finditer(text)]
    numbers = [
        Figure(match[0], match.span(), _readings_of_number(match.groupdict()))
        for pattern in (_NUMERAL, _SPELLED)
        for match in pattern.finditer(text)
    ]
    taken = [*(match.span() for match in _LIST_MARK.finditer(text)), *(each.span for each in dates)]
    return sorted([*dates, *_outside(numbers, taken)], key=lambda each: each.span)


def readings_in(source: str) -> frozenset[str]:
    """Return the readings of all figures of a source, and what they imply: a date has its month and its year, too."""
    return frozenset(reading for each in figures_in(source) for reading in _implied(each))


def unverified(text: str, sources: Sequence[str]) -> list[Figure]:
    """Return the figures of a text that none of the sources has."""
    known = frozenset().union(*map(readings_in, sources))
    return [each for each in figures_in(text) if not each.readings & known]


def mark(text: str, figures: Sequence[Figure]) -> str:
    """Return a text with a mark behind each of these figures of it."""
    for each in sorted(figures, key=lambda each: -each.span[1]):
        end = each.span[1]
        if not text.startswith(MARK, end):
            text = text[:end] + MARK + text[end:]
    return text


def _outside(figures: Sequence[Figure], taken: Sequence[Span]) -> list[Figure]:
    """Return the figures that don't lie in parts of the text that are something else."""
    ends = [end for _, end in sorted(taken)]
    starts = [start for start, _ in sorted(taken)]
    kept = []
    for each in figures:
        index = bisect_right(starts, each.span[1] - 1) - 1
        if index < 0 or ends[index] <= each.span[0]:
            kept.append(each)
    return kept


def _implied(figure: Figure) -> Iterator[str]:
    for reading in figure.readings:
        yield reading
        if reading.startswith("date:"):
            parts = reading.removeprefix("date:").split("-")
            yield from (f"date:{'-'.join(parts[:count])}" for count in range(2, len(parts)))
            yield parts[0]


def _readings_of_date(match: re.Match[str]) -> frozenset[str]:
    found = {name[:-1]: value for name, value in match.groupdict().items() if value is not None}
    month = found["month"].casefold()
    number = int(month) if month.isdecimal() else _MONTHS[month]
    day = f"-{int(found['day']):02}" if "day" in found else ""
    return frozenset([f"date:{found['year']}-{number:02}{day}"])


def _readings_of_number(found: Mapping[str, str | None]) -> frozenset[str]:
    scale = _SCALES.get((found["scale"] or "").casefold(), 1)
    unit = "%" if found["percent"] or found.get("only") else ""
    word = found.get("word")
    values = [Decimal(_WORDS[word.casefold()])] if word else _values_of(found["number"] or "")
    return frozenset(f"{(value * scale).normalize():f}{unit}" for value in values)


def _values_of(number: str) -> list[Decimal]:
    """Return the values that digits may have, with points and commas in them: 1.200 has two, 1,200 and 1,5 have one."""
    digits = re.sub(r"\D", "", number)
    last = max(number.rfind("."), number.rfind(","))
    is_grouped = last < 0 or _GROUPED.fullmatch(number) is not None
    values = [Decimal(digits)] if is_grouped else []
    if last >= 0 and number.count(number[last]) == 1 and not (is_grouped and number[last] == ","):
        values.append(Decimal(f"{re.sub(r'[^0-9]', '', number[:last])}.{number[last + 1 :]}"))
    return values or [Decimal(digits)]
