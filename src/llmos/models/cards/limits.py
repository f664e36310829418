"""What a project allows its versions to cost, and what a card says to that.

A limit is a policy with a number. One that compares with the parent says nothing of a version without one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llmos.core.schemas.cards import Card, LimitVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    measure: Callable[[Card], float | None]
    fields: tuple[str, ...]
    """Of the card: `not_measured` says by these names why there is no number."""
    is_most: bool
    """The number may not be above the limit; otherwise not below it."""
    against_parent: bool
    says: Callable[[Card, float], str]
    """What the number means, as the beginning of a sentence."""
    shown: Callable[[float], str]


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.1f} MB"


def _times(ratio: float) -> str:
    return f"{ratio:.2f} times"


LIMITS: Mapping[str, Limit] = {
    "max_perplexity_increase": Limit(
        measure=lambda card: card.comparison.perplexity_increase if card.comparison else None,
        fields=("comparison",),
        is_most=True,
        against_parent=True,
        says=lambda card, value: f"has {_percent(value)} more perplexity than {card.parent}",
        shown=_percent,
    ),
    "min_greedy_agreement": Limit(
        measure=lambda card: card.comparison.greedy_agreement if card.comparison else None,
        fields=("comparison",),
        is_most=False,
        against_parent=True,
        says=lambda card, value: f"chooses the same token as {card.parent} in {_percent(value)} of places",
        shown=_percent,
    ),
    "max_kl_divergence": Limit(
        measure=lambda card: card.comparison.kl_mean if card.comparison else None,
        fields=("comparison",),
        is_most=True,
        against_parent=True,
        says=lambda card, value: f"has a KL divergence of {value:.4f} nats from {card.parent}",
        shown=lambda value: f"{value:g} nats",
    ),
    "max_resident_bytes": Limit(
        measure=lambda card: card.memory.resident_bytes if card.memory else None,
        fields=("memory",),
        is_most=True,
        against_parent=False,
        says=lambda card, value: f"takes {_megabytes(value)} of memory while it serves",
        shown=_megabytes,
    ),
    "max_size_bytes": Limit(
        measure=lambda card: card.size_bytes,
        fields=("size_bytes",),
        is_most=True,
        against_parent=False,
        says=lambda card, value: f"takes {_megabytes(value)} on disk",
        shown=_megabytes,
    ),
    "min_prefill_ratio": Limit(
        measure=lambda card: card.prefill.ratio if card.prefill else None,
        fields=("prefill",),
        is_most=False,
        against_parent=True,
        says=lambda card, value: f"reads a prompt {_times(value)} as fast as {card.parent}",
        shown=_times,
    ),
    "min_decode_ratio": Limit(
        measure=lambda card: card.decode.ratio if card.decode else None,
        fields=("decode",),
        is_most=False,
        against_parent=True,
        says=lambda card, value: f"writes {_times(value)} as fast as {card.parent}",
        shown=_times,
    ),
}
"""By the name of the policy that sets it."""


def failed(card: Card | None, policies: Mapping[str, object]) -> list[str]:
    """Return a sentence with the numbers for each limit that the card fails; none without a card.

    `policies`: name -> value, as Policies.all() has them; what is no limit is left alone. A limit whose number wasn't
    measured is failed.
    """
    return [verdict.sentence for verdict in verdicts(card, policies) if not verdict.passes]


def verdicts(card: Card | None, policies: Mapping[str, object]) -> list[LimitVerdict]:
    """Return what each limit that is set says of the card, in the order of LIMITS."""
    if card is None:
        return []
    found = []
    for name, limit in LIMITS.items():
        bound = policies.get(name)
        if isinstance(bound, int | float) and not isinstance(bound, bool) and (card.parent or not limit.against_parent):
            found.append(_verdict(card, name, limit, bound))
    return found


def _verdict(card: Card, name: str, limit: Limit, bound: float) -> LimitVerdict:
    value = limit.measure(card)
    if value is None:
        reasons = [card.not_measured[field] for field in limit.fields if field in card.not_measured]
        why = reasons[0] if reasons else f"Measure it: llmos card {card.version} --measure"
        sentence = f"{name} is {limit.shown(bound)}, but {card.version}'s card lacks this number. {why}"
        return LimitVerdict(name=name, limit=bound, value=None, passes=False, sentence=sentence)
    passes = value <= bound if limit.is_most else value >= bound
    allowed = "at most" if limit.is_most else "at least"
    return LimitVerdict(
        name=name,
        limit=bound,
        value=value,
        passes=passes,
        sentence=f"{card.version} {limit.says(card, value)}; {name} allows {allowed} {limit.shown(bound)}.",
    )
