"""Planted texts, such as a mark in a system prompt, that must never come out."""

import re
from collections.abc import Sequence
from typing import ClassVar

from llmos.core.errors import BadRequest
from llmos.security.guardrails import guardrail
from llmos.security.guardrails.guardrail import Action, Side
from llmos.security.guardrails.matching import MatchGuardrail
from llmos.security.guardrails.patterns import parse
from llmos.security.guardrails.scanner import Rule

MIN_LENGTH = 8


class Options(guardrail.Options, frozen=True, kw_only=True):
    tokens: Sequence[str]
    """The planted texts. They are found in any case."""


class Canary(MatchGuardrail):
    actions: ClassVar[Sequence[Action]] = ("block", "mask", "flag")
    sides: ClassVar[Sequence[Side]] = ("output",)


GUARDRAIL = Canary


def open(options: Options) -> Canary:
    if not options.tokens:
        raise BadRequest("Give at least one of `tokens`.", param="tokens")
    for token in options.tokens:
        if not MIN_LENGTH <= len(token) <= 256 or token != token.strip():
            raise BadRequest(
                f"A token has {len(token)} characters; it takes {MIN_LENGTH} to 256, so that nothing else contains it,"
                " and none of them a space at an end.",
                param="tokens",
            )
    return Canary([Rule("canary", parse(re.escape(token), ignore_case=True)) for token in options.tokens])
