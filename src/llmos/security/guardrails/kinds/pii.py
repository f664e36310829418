"""Personal data: e-mail addresses, phone numbers, payment cards, IBANs, national ids, IP addresses, coordinates, and
dates of birth."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from llmos.core.errors import BadRequest
from llmos.core.suggest import did_you_mean
from llmos.security.guardrails import guardrail
from llmos.security.guardrails.guardrail import Action
from llmos.security.guardrails.kinds import _numbers as numbers
from llmos.security.guardrails.matching import MatchGuardrail
from llmos.security.guardrails.patterns import DIGIT, LATIN, Border, parse
from llmos.security.guardrails.scanner import Confirm, Rule, whole

_LETTERS = r"A-Za-z0-9\u00c0-\u024f"
_EMAIL = rf"[{_LETTERS}][{_LETTERS}._%+'-]{{0,63}}@(?:[{_LETTERS}-]{{1,63}}\.){{1,5}}[A-Za-z]{{2,24}}"

_DATE = (
    r"(?:[0-9]{4}\s?[-./年]\s?[0-9]{1,2}\s?[-./月]\s?[0-9]{1,2}日?|[0-9]{1,2}[-./][0-9]{1,2}[-./][0-9]{2,4}"
    r"|[0-9]{1,2}(?:st|nd|rd|th|\.)? (?:of )?[a-zà-ü]{3,10}\.?,? [0-9]{4}"
    r"|[a-zà-ü]{3,10}\.? [0-9]{1,2}(?:st|nd|rd|th)?,? [0-9]{4})"
)
_BIRTH = (
    r"(?:date of birth|birth ?date|birthday|born|d\.?o\.?b\.?|geburtsdatum|geburtstag|geboren|date de naissance|née? le"
    r"|fecha de nacimiento|nacid[oa] el|data di nascita|出生日期|出生年月日|出生于|生日|生年月日)"
)

_SHAPES: dict[str, Sequence[tuple[str, Border | None, Border | None, Confirm]]] = {
    "email": [(_EMAIL, LATIN, LATIN, whole)],
    "payment_card": [(r"[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}", DIGIT, DIGIT, numbers.cards)],
    "iban": [(r"[A-Z]{2}[0-9]{2}(?:[ ]?[A-Z0-9]){11,30}", LATIN, LATIN, numbers.ibans)],
    "national_id": [
        (shape, LATIN, LATIN, partial(numbers.national_id, module=module)) for module, shape in numbers.NATIONAL_IDS
    ],
    "ip_address": [
        (r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}", LATIN, LATIN, numbers.ip_address),
        (r"(?:[0-9A-Fa-f]{1,4}:|::)(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}", LATIN, LATIN, numbers.ip_address),
    ],
    "coordinates": [
        (
            r"[+-]?[0-9]{1,2}\.[0-9]{3,8}\s?°?\s?[NS]?\s?[,;]?\s?[+-]?[0-9]{1,3}\.[0-9]{3,8}(?:\s?°)?(?:\s?[EWO])?",
            DIGIT,
            DIGIT,
            numbers.coordinates,
        )
    ],
    "date_of_birth": [(rf"{_BIRTH}\s?(?:on|am|is|was|[:：,是为])?\s{{0,3}}{_DATE}", LATIN, LATIN, numbers.birth_date)],
    "phone": [
        (r"(?:\+|00)[1-9](?:[ ./()-]{0,2}[0-9]){6,14}", DIGIT, DIGIT, numbers.international_phone),
        (r"1[3-9][0-9](?:[ -]?[0-9]{4}){2}", DIGIT, DIGIT, numbers.chinese_mobile),
    ],
}
"""The shapes of each kind of data: expression, borders, and what confirms it."""

_NATIONAL_PHONE = r"\(?[0-9](?:[ ./()-]{0,2}[0-9]){6,13}"

KINDS = tuple(_SHAPES)


class Options(guardrail.Options, frozen=True, kw_only=True):
    kinds: Sequence[str] = KINDS
    """The kinds of personal data to look for; by default all."""
    phone_regions: Sequence[str] = ("US", "GB", "DE", "FR", "CN")
    """Countries (ISO 3166) whose phone numbers are found without a country code, too, if they are written with spaces
    or signs."""


class Pii(MatchGuardrail):
    actions: ClassVar[Sequence[Action]] = ("mask", "placeholder", "block", "flag")


GUARDRAIL = Pii


def open(options: Options) -> Pii:
    if not options.kinds:
        raise BadRequest("`kinds` is empty. Leave it out to look for all.", param="kinds")
    for kind in options.kinds:
        if kind not in KINDS:
            raise BadRequest(
                f"There is no kind {kind[:80]!r} of personal data. {did_you_mean(kind, KINDS)}", param="kinds"
            )
    numbers.check_regions(options.phone_regions)
    rules = [
        Rule(kind, parse(shape, ignore_case=kind in ("date_of_birth", "iban"), left=left, right=right), confirm)
        for kind in KINDS
        if kind in options.kinds
        for shape, left, right, confirm in _SHAPES[kind]
    ]
    if "phone" in options.kinds and options.phone_regions:
        confirm = partial(numbers.national_phone, regions=tuple(options.phone_regions))
        rules.append(Rule("phone", parse(_NATIONAL_PHONE, left=LATIN, right=LATIN), confirm))
    return Pii(rules)
