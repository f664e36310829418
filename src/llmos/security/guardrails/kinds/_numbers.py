"""Checks of numbers that have the shape of personal data: check digits, ranges, dates.

Each takes a candidate, and returns the parts of it that are what its name says.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.suggest import did_you_mean
from llmos.security.guardrails.scanner import Spans, whole

NATIONAL_IDS = (
    ("cn.ric", r"[1-9][0-9]{16}[0-9Xx]"),
    ("us.ssn", r"[0-9]{3}-[0-9]{2}-[0-9]{4}"),
    ("ca.sin", r"[0-9]{3}[ -][0-9]{3}[ -][0-9]{3}"),
    ("mx.curp", r"[A-Z]{4}[0-9]{6}[HM][A-Z]{5}[0-9A-Z][0-9]"),
    ("br.cpf", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}"),
    ("gb.nhs", r"[0-9]{3}[ -][0-9]{3}[ -][0-9]{4}"),
    ("fr.nir", r"[12][0-9]{2}(?:0[1-9]|1[0-2]|[2-9][0-9])[0-9][0-9AB][0-9]{6}[0-9]{2}"),
    ("fr.nir", r"[12] [0-9]{2} [0-9]{2} [0-9][0-9AB] [0-9]{3} [0-9]{3} [0-9]{2}"),
    ("es.dni", r"[0-9]{8}-?[A-Z]"),
    ("es.nie", r"[XYZ]-?[0-9]{7}-?[A-Z]"),
    ("it.codicefiscale", r"[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]"),
    ("ch.ssn", r"756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}"),
    ("be.nn", r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}"),
    ("pl.pesel", r"[0-9]{11}"),
    ("se.personnummer", r"[0-9]{6}(?:[0-9]{2})?[+-][0-9]{4}"),
    ("fi.hetu", r"[0-9]{6}[-+A][0-9]{3}[0-9A-Y]"),
    ("in_.aadhaar", r"[2-9][0-9]{3}[ -][0-9]{4}[ -][0-9]{4}"),
    ("kr.rrn", r"[0-9]{6}-[0-9]{7}"),
)
"""Module of python-stdnum, and how the number is written. Each has check digits, or rules as tight. Short numbers are
taken with their signs only: nine digits alone are too often something else."""


def national_id(candidate: str, *, module: str) -> Spans:
    return whole(candidate) if import_module(f"stdnum.{module}").is_valid(candidate) else []


def cards(candidate: str) -> Spans:
    """A payment card has 13 to 19 digits with a Luhn check digit. It may stand between other groups of digits."""
    for begin, end in _groups(candidate, 13, 19):
        digits = re.sub("[ -]", "", candidate[begin:end])
        if digits[0] in "23456" and _luhn(digits) and len(set(digits)) > 1:
            return [(begin, end)]
    return []


def ibans(candidate: str) -> Spans:
    """An IBAN, and not the words behind it."""
    from stdnum import iban

    ends = [i for i in range(15, len(candidate) + 1) if i == len(candidate) or candidate[i] == " "]
    return next(([(0, end)] for end in reversed(ends) if iban.is_valid(candidate[:end])), [])


def ip_address(candidate: str) -> Spans:
    """An address of a machine, and not that of every machine, or of one's own."""
    try:
        address = ipaddress.ip_address(candidate)
    except ValueError:
        return []
    is_nobody = address.is_loopback or address.is_unspecified or not re.search("[0-9]", candidate)
    return [] if is_nobody else whole(candidate)


def coordinates(candidate: str) -> Spans:
    latitude, longitude = (float(each) for each in re.findall(r"[+-]?[0-9]{1,3}\.[0-9]+", candidate)[:2])
    has_mark = re.search("[,;°NSEWO]|[0-9] ", candidate) is not None
    return whole(candidate) if abs(latitude) <= 90 and abs(longitude) <= 180 and has_mark else []


def birth_date(candidate: str) -> Spans:
    """The date behind a word such as "born"."""
    begin = re.search("[0-9]", candidate)
    assert begin is not None, "the shape has a date"
    # "born May 4, 1985": the date begins with the month.
    month = re.search(r"([A-Za-zÀ-ü]{3,10})\.? $", candidate[: begin.start()])
    is_month = month is not None and month[1][:3].casefold() in _MONTHS
    start = month.start() if month is not None and is_month else begin.start()
    years = [int(each) for each in re.findall("[0-9]{4}", candidate[start:])]
    return [(start, len(candidate))] if all(1900 <= year <= 2100 for year in years) else []


_MONTHS = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}


def chinese_mobile(candidate: str) -> Spans:
    return whole(candidate)


def international_phone(candidate: str) -> Spans:
    text = f"+{candidate[2:]}" if candidate.startswith("00") else candidate
    return _phone(candidate, text, None)


def national_phone(candidate: str, *, regions: Sequence[str]) -> Spans:
    """A number as it is written within a country. A row of digits alone, or a date, is none."""
    has_signs = re.search("[ ./()-]", candidate) is not None
    if not has_signs or _DATE.match(candidate) or _DECIMAL.fullmatch(candidate):
        return []
    return next((spans for region in regions if (spans := _phone(candidate, candidate, region))), [])


_DATE = re.compile(
    r"\(?(?:(?:19|20)[0-9]{2}[-./ ][0-9]{1,2}[-./ ][0-9]{1,2}|[0-9]{1,2}[-./][0-9]{1,2}[-./](?:19|20)[0-9]{2})"
)
_DECIMAL = re.compile(r"[0-9]+\.[0-9]+|[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


def _phone(candidate: str, text: str, region: str | None) -> Spans:
    import phonenumbers

    # The longest number that ends with a group: other digits may follow it.
    for _, end in sorted(_groups(text, 7, 15, from_start=True), key=lambda span: -span[1]):
        try:
            number = phonenumbers.parse(text[:end], region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return [(0, len(candidate) - len(text) + end)]
    return []


def check_regions(regions: Sequence[str]) -> None:
    if not regions:
        return
    import phonenumbers

    known: Any = phonenumbers.SUPPORTED_REGIONS
    for region in regions:
        if region not in known:
            raise BadRequest(
                f"There is no country {region[:80]!r}. {did_you_mean(region, sorted(known))}", param="phone_regions"
            )


def _groups(candidate: str, low: int, high: int, *, from_start: bool = False) -> Iterator[tuple[int, int]]:
    """Yield the spans of whole groups of digits with `low` to `high` digits together, the first and longest first."""
    groups = [found.span() for found in re.finditer("[0-9]+", candidate)]
    for i, (begin, _) in enumerate(groups[:1] if from_start else groups):
        for _, end in reversed(groups[i:]):
            if low <= sum(map(str.isdigit, candidate[begin:end])) <= high:
                yield begin, end


def _luhn(digits: str) -> bool:
    doubled = (int(digit) * (1 + i % 2) for i, digit in enumerate(reversed(digits)))
    return sum(each - 9 * (each > 9) for each in doubled) % 10 == 0
