"""Cards as table rows for people: a card beside its parent, or two cards side by side."""

from dataclasses import dataclass

from llmos.core.schemas.cards import Card
from llmos.models.cards.metrics import (
    DECODE,
    GREEDY_AGREEMENT,
    KL_MEAN,
    KL_P99,
    PARAMETERS,
    PERPLEXITY,
    PREFILL,
    RESIDENT_BYTES,
    SIZE,
    Metric,
    format_ratio,
    format_signed_percent,
)

ROWS = (SIZE, PARAMETERS, PERPLEXITY, GREEDY_AGREEMENT, KL_MEAN, KL_P99, RESIDENT_BYTES, PREFILL, DECODE)
"""The metrics with a row, in order."""

MISSING = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    label: str
    value: str
    other: str
    """The parent's value, or the other card's."""
    change: str
    """Empty where the values can't be compared."""


def against_parent(card: Card) -> list[Row]:
    """Return the card's rows with the parent's values. Without a parent, comparisons with it are left out."""
    rows = []
    for metric in ROWS:
        if metric.compares_with_parent and card.parent is None:
            continue
        value, parent_value = metric.value(card), metric.parent_value(card)
        change = "" if value is None or parent_value is None else _change_from_parent(card, metric, value, parent_value)
        rows.append(
            Row(
                label=metric.label,
                value=_format(card, metric, value),
                other="" if parent_value is None else metric.format(parent_value),
                change=change,
            )
        )
    return rows


def side_by_side(card: Card, other: Card) -> list[Row]:
    """Return rows with both cards' values, and the change from the first to the second where they can be compared."""
    rows, changes = [], differences(card, other)
    for metric in ROWS:
        value, other_value = metric.value(card), metric.value(other)
        if value is None and other_value is None and metric.compares_with_parent:
            continue
        change = _format_difference(metric, changes[metric.name]) if metric.name in changes else ""
        texts = _format(card, metric, value), _format(other, metric, other_value)
        rows.append(Row(label=metric.label, value=texts[0], other=texts[1], change=change))
    return rows


def differences(card: Card, other: Card) -> dict[str, float]:
    """Return {metric name: change from `card` to `other`}, without the metrics that can't be compared.

    The change is relative (0.1 is ten percent more), but absolute for metrics that compare with the parent.
    """
    found = {}
    for metric in ROWS:
        before, after = metric.value(card), metric.value(other)
        if before is None or after is None or _incomparable_reason(card, other, metric) is not None:
            continue
        if metric.compares_with_parent:
            found[metric.name] = after - before
        elif before:
            found[metric.name] = after / before - 1
    return found


def incomparable_reasons(card: Card, other: Card) -> list[str]:
    """Return the reasons why some metrics of two cards can't be compared, each once."""
    reasons = [_incomparable_reason(card, other, metric) for metric in ROWS]
    return list(dict.fromkeys(reason for reason in reasons if reason is not None))


def _incomparable_reason(card: Card, other: Card, metric: Metric) -> str | None:
    if metric.depends_on_machine and card.machine != other.machine:
        return "Memory and speed were measured on different machines."
    if metric.depends_on_text and card.text != other.text:
        return "Quality was measured on different texts."
    if metric.compares_with_parent and card.parent_digest != other.parent_digest:
        return "They are compared with different parents."
    return None


def _format(card: Card, metric: Metric, value: float | None) -> str:
    if value is None:
        return MISSING
    if metric is PERPLEXITY and card.quality:
        return f"{metric.format(value)} ± {card.quality.standard_error:,.3f}"
    return metric.format(value)


def _change_from_parent(card: Card, metric: Metric, value: float, parent_value: float) -> str:
    if metric is PERPLEXITY and card.comparison:
        error = f"{100 * card.comparison.standard_error:.2f}"
        return f"{format_signed_percent(card.comparison.perplexity_increase)} ± {error}"
    rate = {PREFILL.name: card.prefill, DECODE.name: card.decode}.get(metric.name)
    if rate is not None and rate.ratio is not None:
        return format_ratio(rate.ratio)
    return "" if not parent_value or value == parent_value else format_signed_percent(value / parent_value - 1)


def _format_difference(metric: Metric, difference: float) -> str:
    if not metric.compares_with_parent:
        return format_signed_percent(difference) if difference else "same"
    if metric is GREEDY_AGREEMENT:
        return f"{100 * difference:+.2f} points"
    return f"{difference:+.4f}"
