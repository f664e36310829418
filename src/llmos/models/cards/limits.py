"""Limits: the numbers that a project allows on the cards of its versions, and whether a card keeps them.

A limit is a policy whose value is a number. Limits on comparisons with the parent don't apply to versions without one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llmos.core.schemas.cards import Card, LimitVerdict
from llmos.models.cards.metrics import (
    DECODE_RATIO,
    GREEDY_AGREEMENT,
    KL_MEAN,
    PERPLEXITY_INCREASE,
    PREFILL_RATIO,
    RESIDENT_BYTES,
    SIZE,
    Metric,
    format_percent,
    format_ratio,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    metric: Metric
    is_maximum: bool
    """The number may not exceed the limit; otherwise it may not be below it."""
    describe: Callable[[Card, float], str]
    """Returns what the number means, as the predicate of a sentence about the version."""
    format: Callable[[float], str]
    """Formats the limit."""


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.1f} MB"


LIMITS: Mapping[str, Limit] = {
    "max_perplexity_increase": Limit(
        metric=PERPLEXITY_INCREASE,
        is_maximum=True,
        describe=lambda card, value: f"has {format_percent(value)} more perplexity than {card.parent}",
        format=format_percent,
    ),
    "min_greedy_agreement": Limit(
        metric=GREEDY_AGREEMENT,
        is_maximum=False,
        describe=lambda card, value: (
            f"predicts the same token as {card.parent} at {format_percent(value)} of positions"
        ),
        format=format_percent,
    ),
    "max_kl_divergence": Limit(
        metric=KL_MEAN,
        is_maximum=True,
        describe=lambda card, value: f"has a KL divergence of {value:.4f} nats from {card.parent}",
        format=lambda value: f"{value:g} nats",
    ),
    "max_resident_bytes": Limit(
        metric=RESIDENT_BYTES,
        is_maximum=True,
        describe=lambda card, value: f"uses {_megabytes(value)} of memory while serving",
        format=_megabytes,
    ),
    "max_size_bytes": Limit(
        metric=SIZE,
        is_maximum=True,
        describe=lambda card, value: f"uses {_megabytes(value)} on disk",
        format=_megabytes,
    ),
    "min_prefill_ratio": Limit(
        metric=PREFILL_RATIO,
        is_maximum=False,
        describe=lambda card, value: f"reads a prompt {format_ratio(value)} as fast as {card.parent}",
        format=format_ratio,
    ),
    "min_decode_ratio": Limit(
        metric=DECODE_RATIO,
        is_maximum=False,
        describe=lambda card, value: f"generates {format_ratio(value)} as fast as {card.parent}",
        format=format_ratio,
    ),
}
"""{name of the policy: limit}"""


def failed(card: Card | None, policies: Mapping[str, object]) -> list[str]:
    """Return a sentence with the numbers for each limit that the card fails; none without a card.

    `policies`: {name: value} as in Policies.all(); other policies are ignored. A limit whose metric wasn't measured
    counts as failed.
    """
    return [verdict.sentence for verdict in verdicts(card, policies) if not verdict.passes]


def verdicts(card: Card | None, policies: Mapping[str, object]) -> list[LimitVerdict]:
    """Return the verdict of each limit that is set and applies to the card, in the order of LIMITS."""
    if card is None:
        return []
    found = []
    for name, limit in LIMITS.items():
        bound = policies.get(name)
        applies = card.parent is not None or not limit.metric.compares_with_parent
        if isinstance(bound, int | float) and not isinstance(bound, bool) and applies:
            found.append(_verdict(card, name, limit, bound))
    return found


def _verdict(card: Card, name: str, limit: Limit, bound: float) -> LimitVerdict:
    value = limit.metric.value(card)
    if value is None:
        reason = card.not_measured.get(limit.metric.field, f"Measure it: llmos card {card.version} --measure")
        sentence = f"{name} is {limit.format(bound)}, but {card.version}'s card lacks this number. {reason}"
        return LimitVerdict(name=name, limit=bound, value=None, passes=False, sentence=sentence)
    comparison = "at most" if limit.is_maximum else "at least"
    return LimitVerdict(
        name=name,
        limit=bound,
        value=value,
        passes=value <= bound if limit.is_maximum else value >= bound,
        sentence=f"{card.version} {limit.describe(card, value)}; {name} allows {comparison} {limit.format(bound)}.",
    )
