"""The metrics on a card: where each number is, how it is written, and when two cards' numbers can be compared."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmos.core.schemas.cards import Card


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number on a card."""

    name: str
    label: str
    """The name that users see."""
    path: str
    """The attribute of the card, such as "quality.perplexity"."""
    parent_path: str | None = None
    """The attribute with the parent's number; None where the card has none."""
    format: Callable[[float], str]
    depends_on_machine: bool = False
    """Numbers from different machines can't be compared."""
    depends_on_text: bool = False
    """Numbers for different texts can't be compared."""
    compares_with_parent: bool = False
    """The number is itself a comparison with the parent."""

    @property
    def field(self) -> str:
        """The card's field, by which `not_measured` gives the reason for a missing number."""
        return self.path.partition(".")[0]

    def value(self, card: Card) -> float | None:
        return _read(card, self.path)

    def parent_value(self, card: Card) -> float | None:
        return None if self.parent_path is None else _read(card, self.parent_path)


def _read(card: Card, path: str) -> float | None:
    value: Any = card
    for name in path.split("."):
        if value is None:
            return None
        value = getattr(value, name)
    number: float | None = value
    return number


def format_bytes(count: float) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"


def format_count(count: float) -> str:
    return f"{count / 1e6:,.1f} M" if count < 1e9 else f"{count / 1e9:,.2f} B"


def format_percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def format_signed_percent(share: float) -> str:
    return f"{100 * share:+.1f} %" if abs(share) >= 0.1 else f"{100 * share:+.2f} %"


def format_nats(value: float) -> str:
    return f"{value:.4f}" if value >= 0.001 or not value else f"{value:.1e}"


def format_rate(value: float) -> str:
    return f"{value:,.0f} tokens/s" if value >= 10 else f"{value:.2g} tokens/s"


def format_ratio(ratio: float) -> str:
    return f"{ratio:.2f} times"


SIZE = Metric(
    name="size_bytes",
    label="size on disk",
    path="size_bytes",
    parent_path="parent_size_bytes",
    format=format_bytes,
)
PARAMETERS = Metric(
    name="parameters",
    label="parameters",
    path="parameters",
    parent_path="parent_parameters",
    format=format_count,
)
PERPLEXITY = Metric(
    name="perplexity",
    label="perplexity",
    path="quality.perplexity",
    parent_path="comparison.perplexity",
    format=lambda value: f"{value:,.3f}",
    depends_on_text=True,
)
PERPLEXITY_INCREASE = Metric(
    name="perplexity_increase",
    label="perplexity increase",
    path="comparison.perplexity_increase",
    format=format_percent,
    depends_on_text=True,
    compares_with_parent=True,
)
GREEDY_AGREEMENT = Metric(
    name="greedy_agreement",
    label="greedy agreement",
    path="comparison.greedy_agreement",
    format=format_percent,
    depends_on_text=True,
    compares_with_parent=True,
)
KL_MEAN = Metric(
    name="kl_mean",
    label="KL divergence, mean (nats)",
    path="comparison.kl_mean",
    format=format_nats,
    depends_on_text=True,
    compares_with_parent=True,
)
KL_P99 = Metric(
    name="kl_p99",
    label="KL divergence, p99 (nats)",
    path="comparison.kl_p99",
    format=format_nats,
    depends_on_text=True,
    compares_with_parent=True,
)
RESIDENT_BYTES = Metric(
    name="resident_bytes",
    label="memory while serving",
    path="memory.resident_bytes",
    parent_path="parent_memory.resident_bytes",
    format=format_bytes,
    depends_on_machine=True,
)
PREFILL = Metric(
    name="prefill_tokens_per_second",
    label="prefill",
    path="prefill.tokens_per_second",
    parent_path="prefill.parent_tokens_per_second",
    format=format_rate,
    depends_on_machine=True,
)
PREFILL_RATIO = Metric(
    name="prefill_ratio",
    label="prefill, times the parent's",
    path="prefill.ratio",
    format=format_ratio,
    depends_on_machine=True,
    compares_with_parent=True,
)
DECODE = Metric(
    name="decode_tokens_per_second",
    label="decode",
    path="decode.tokens_per_second",
    parent_path="decode.parent_tokens_per_second",
    format=format_rate,
    depends_on_machine=True,
)
DECODE_RATIO = Metric(
    name="decode_ratio",
    label="decode, times the parent's",
    path="decode.ratio",
    format=format_ratio,
    depends_on_machine=True,
    compares_with_parent=True,
)
