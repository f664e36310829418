"""Keys, tokens and passwords of programs."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial

from llmos.core.errors import BadRequest
from llmos.core.suggest import did_you_mean
from llmos.security.guardrails import guardrail
from llmos.security.guardrails.matching import MatchGuardrail
from llmos.security.guardrails.patterns import LATIN, parse
from llmos.security.guardrails.scanner import Rule, Spans

_BODY = r"[A-Za-z0-9+/=\s\\:,.-]{0,1000}" * 4

_SHAPES = {
    "private_key": rf"-----BEGIN (?:[A-Z0-9]{{1,12}} ){{0,3}}PRIVATE KEY(?: BLOCK)?-----(?:{_BODY}-----END"
    r" [A-Z0-9 ]{0,40}-----)?",
    "aws_access_key": "(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}",
    "github_token": "(?:gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{22,255})",
    "gitlab_token": r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat)-[A-Za-z0-9_.-]{20,300}",
    "slack_token": r"xox[abeoprs]-[A-Za-z0-9-]{10,250}",
    "slack_webhook": r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9_/+-]{20,120}",
    "stripe_key": "[rs]k_(?:live|test)_[A-Za-z0-9]{16,247}",
    "anthropic_key": "sk-ant-[A-Za-z0-9_-]{24,200}",
    "openai_key": "sk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,200}|[A-Za-z0-9]{32,64})",
    "google_api_key": "AIza[A-Za-z0-9_-]{35}",
    "huggingface_token": "hf_[A-Za-z0-9]{30,64}",
    "npm_token": "npm_[A-Za-z0-9]{36}",
    "pypi_token": "pypi-[A-Za-z0-9_-]{50,300}",
    "sendgrid_key": r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
    "telegram_token": "[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",
    "llmos_key": "llmos_[A-Za-z0-9_-]{43}",
    "jwt": r"eyJ[A-Za-z0-9_-]{10,1000}\.eyJ[A-Za-z0-9_-]{10,1000}\.[A-Za-z0-9_-]{10,1000}",
}
"""The patterns of secrets that are recognized without their names."""

_NAME = (
    r"(?:aws_?secret_?access_?key|secret_?access_?key|client_?secret|secret_?key|private_?key|api_?key|access_?key"
    r"|auth_?token|access_?token|refresh_?token|bearer_?token|password|passwort|passwd|pwd|secret|token|密码|口令)"
)

_GIVEN = r"(?:=>|:=|[:=：]|is )\s{0,3}[\"'`]?"

_ASSIGNED = rf"{_NAME}[\"'`]?\s{{0,3}}{_GIVEN}[!#-&(-_a-~]{{8,200}}"
"""A name of a secret, and a value that is given to it."""

_VALUE = re.compile(rf"{_GIVEN}([!#-&(-_a-~]+)\Z", re.IGNORECASE)

_IN_URL = r"://[A-Za-z0-9._~%+-]{1,64}:[A-Za-z0-9._~%!$&*+=-]{3,128}@"

RULES = (*_SHAPES, "assigned_secret", "url_password")

_MIN_ENTROPY = 3.0
"""Bits per character. English words have less than 3 at such lengths; 16 random hexadecimal digits have 3.4."""

_CLOSING = ",;)}]>."


class Options(guardrail.Options, frozen=True, kw_only=True):
    rules: Sequence[str] = ()
    """The kinds of secrets to look for; by default all."""
    min_entropy: float = _MIN_ENTROPY
    """Bits per character that a value needs behind a name such as password or api_key."""


GUARDRAIL = MatchGuardrail


def open(options: Options) -> MatchGuardrail:
    for name in options.rules:
        if name not in RULES:
            raise BadRequest(f"There is no rule {name[:80]!r}. {did_you_mean(name, RULES)}", param="rules")
    confirm_value = partial(_value, min_entropy=options.min_entropy)
    # A longer match wins, so the value behind a name is found by its own shape where it has one.
    rules = [Rule(name, parse(shape, left=LATIN, right=LATIN)) for name, shape in _SHAPES.items()]
    rules += [
        Rule("assigned_secret", parse(_ASSIGNED, ignore_case=True, left=LATIN), confirm_value),
        Rule("url_password", parse(_IN_URL), _password),
    ]
    return MatchGuardrail([rule for rule in rules if not options.rules or rule.name in options.rules])


def entropy(text: str) -> float:
    """Return the Shannon entropy of the text's characters, in bits per character."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)


def _value(candidate: str, *, min_entropy: float) -> Spans:
    """Return where the value is, if it looks random."""
    found = _VALUE.search(candidate)
    value = found[1].rstrip(_CLOSING) if found is not None else ""
    if found is None or len(value) < 8 or entropy(value) < min_entropy or not _looks_made(value):
        return []
    return [(found.start(1), found.start(1) + len(value))]


def _looks_made(value: str) -> bool:
    """Return whether the value has a digit, a sign, or letters of both cases in no usual order."""
    return any(map(str.isdigit, value)) or _is_mixed(value)


def _is_mixed(value: str) -> bool:
    letters = [each for each in value if each.isalpha()]
    has_signs = any(not each.isalnum() and each not in "_-./" for each in value)
    inside = [each for each in letters[1:] if each.isupper()]
    return has_signs or (len(inside) >= 2 and any(map(str.islower, letters)))


def _password(candidate: str) -> Spans:
    begin = candidate.index(":", 3) + 1
    return [(begin, len(candidate) - 1)]
