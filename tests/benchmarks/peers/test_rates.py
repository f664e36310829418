"""Medians, spreads and ratios over the rounds."""

from rates import Rates, Spread
from results import Rate


def rates_of(**engines: list[float]) -> Rates:
    return Rates([Rate(name, "decode_1", i, value) for name, runs in engines.items() for i, value in enumerate(runs)])


def test_a_spread_is_the_median_between_the_extremes() -> None:
    assert rates_of(LLMOS=[3, 1, 8]).spread("LLMOS", "decode_1") == Spread(3, 1, 8)


def test_a_ratio_is_the_median_of_the_rounds_own_not_the_ratio_of_the_medians() -> None:
    rates = rates_of(LLMOS=[10, 40, 30], peer=[10, 10, 30])
    assert rates.ratio("LLMOS", "peer", "decode_1") == Spread(1, 1, 4)


def test_only_rounds_that_both_ran_count() -> None:
    rates = Rates([Rate("LLMOS", "w", 0, 10), Rate("LLMOS", "w", 1, 50), Rate("peer", "w", 1, 25)])
    assert rates.ratio("LLMOS", "peer", "w") == Spread(2, 2, 2)
    assert rates.num_rounds() == 2


def test_the_best_has_the_highest_median_not_the_highest_run() -> None:
    rates = rates_of(steady=[5, 5, 5], lucky=[1, 1, 99])
    assert rates.best("decode_1", ["steady", "lucky", "absent"]) == "steady"


def test_what_nobody_ran_is_none() -> None:
    rates = rates_of(LLMOS=[1])
    assert rates.spread("LLMOS", "prefill_512") is None
    assert rates.ratio("LLMOS", "absent", "decode_1") is None
    assert rates.best("decode_1", []) is None


def test_peers_are_all_that_are_not_ours() -> None:
    names = ["LLMOS Q4_1", "llama.cpp Q4_0", "LLMOS Q8_0", "vLLM bf16"]
    assert Rates([Rate(name, "w", 0, 1) for name in names]).peers() == ["llama.cpp Q4_0", "vLLM bf16"]
