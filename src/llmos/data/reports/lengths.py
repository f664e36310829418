"""Histograms of lengths, with bins that a reader can name."""

from collections.abc import Sequence

from llmos.core.schemas.dataset_reports import LengthsDescription

_MAX_BINS = 12


def describe_lengths(unit: str, lengths: Sequence[int], model: str | None = None) -> LengthsDescription:
    """Describe at least one length."""
    ordered = sorted(lengths)
    edges = _edges(ordered[0], ordered[-1])
    counts = [0] * (len(edges) - 1)
    index = 0
    for length in ordered:
        while length >= edges[index + 1]:
            index += 1
        counts[index] += 1
    return LengthsDescription(
        unit=unit,
        model=model,
        least=ordered[0],
        median=_percentile(ordered, 50),
        p95=_percentile(ordered, 95),
        most=ordered[-1],
        edges=edges,
        counts=counts,
    )


def _edges(least: int, most: int) -> list[int]:
    """Return the edges of bins, equally wide; each twice as wide as the one before where lengths differ much."""
    if most < 8 * max(1, least):
        step = _step(most - least + 1)
        first = least // step * step
        return [*range(first, most + 1, step), (most // step + 1) * step]
    last = most.bit_length()
    first_power = max(least.bit_length() - 1, last - _MAX_BINS + 1, 0)
    powers = [1 << power for power in range(first_power, last + 1)]
    return powers if least >= powers[0] else [0, *powers]


def _step(span: int) -> int:
    """Return the least round number of which `_MAX_BINS` - 1 cover the span."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power * (_MAX_BINS - 1) >= span:
                return factor * power
        power *= 10


def _percentile(ordered: Sequence[int], percent: int) -> int:
    """Return the least length that `percent` of the lengths don't exceed (nearest rank)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
