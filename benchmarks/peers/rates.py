"""Arithmetic on the rates of all rounds: medians, spreads, ratios of the rounds' own."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from results import Rate

OURS = "LLMOS"


@dataclass(frozen=True)
class Spread:
    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))


class Rates:
    """Tokens per second of each engine, workload and round."""

    def __init__(self, rates: Iterable[Rate]) -> None:
        self._by_round: dict[tuple[str, str], dict[int, float]] = {}
        for rate in rates:
            rounds = self._by_round.setdefault((rate.engine, rate.workload), {})
            rounds[rate.round] = rate.tokens_per_second

    def num_rounds(self) -> int:
        """Number of rounds of the engine that ran the most."""
        return max((len(rounds) for rounds in self._by_round.values()), default=0)

    def spread(self, engine: str, workload: str) -> Spread | None:
        rounds = self._by_round.get((engine, workload))
        return Spread.of(list(rounds.values())) if rounds else None

    def ratio(self, engine: str, other: str, workload: str) -> Spread | None:
        """Return the ratio to the other engine, by the rounds that both ran."""
        ours, theirs = self._by_round.get((engine, workload), {}), self._by_round.get((other, workload), {})
        ratios = [ours[each] / theirs[each] for each in ours.keys() & theirs.keys()]
        return Spread.of(ratios) if ratios else None

    def best(self, workload: str, engines: Iterable[str]) -> str | None:
        """Return the engine with the highest median."""
        found = {name: spread.median for name in engines if (spread := self.spread(name, workload))}
        return max(found, key=lambda name: found[name], default=None)

    def engines(self) -> list[str]:
        return list(dict.fromkeys(engine for engine, _ in self._by_round))

    def peers(self) -> list[str]:
        return [name for name in self.engines() if not name.startswith(OURS)]
