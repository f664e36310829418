"""Phrases and regular expressions of topics that are not talked about."""

from collections.abc import Sequence

from llmos.core.errors import BadRequest
from llmos.security.guardrails import guardrail
from llmos.security.guardrails.matching import MatchGuardrail
from llmos.security.guardrails.patterns import parse, parse_phrase
from llmos.security.guardrails.scanner import Rule

MAX_EXPRESSIONS = 1000


class Options(guardrail.Options, frozen=True, kw_only=True):
    phrases: Sequence[str] = ()
    """Matched as whole words, in any case, with any space between the words."""
    patterns: Sequence[str] = ()
    """Regular expressions in Python's syntax, without lookaround and backreferences. Case counts, unless one begins
    with (?i)."""
    topic: str = "denied_topic"
    """The name of the topic in messages and findings."""


GUARDRAIL = MatchGuardrail


def open(options: Options) -> MatchGuardrail:
    num_expressions = len(options.phrases) + len(options.patterns)
    if not 0 < num_expressions <= MAX_EXPRESSIONS:
        raise BadRequest(f"Give 1 to {MAX_EXPRESSIONS:,} `phrases` and `patterns`.", param="phrases")
    if not options.topic.isidentifier() or len(options.topic) > 64:
        raise BadRequest("`topic` must be 1 to 64 letters, digits and underscores.", param="topic")
    patterns = [*map(parse_phrase, options.phrases), *map(parse, options.patterns)]
    return MatchGuardrail([Rule(options.topic, pattern) for pattern in patterns])
