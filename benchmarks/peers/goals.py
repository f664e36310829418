"""The performance goals of LLMOS against its peers, and whether a run meets them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from isa_paths import ISA_PATHS
from rates import Rates, Spread
from results import Memory, OverHTTP, Rate, Results, SharedPrefix, Speculation

FOUR_BITS, EIGHT_BITS = ("LLMOS Q4_1", "LLMOS Q4_0"), "LLMOS Q8_0"
KINDS = ("Q4_1", "Q4_0", "Q8_0")
K_QUANTS = "Q4_K_M"
K_GOALS = (("prefill_512", 2.0), ("decode_1", 1.0), ("decode_8", 2.0))
"""Against llama.cpp with the same file, on the large model."""


@dataclass(frozen=True)
class Verdict:
    what: str
    against: str
    goal: float
    ratio: Spread
    is_ceiling: bool = False
    """True if the ratio must not exceed the goal; otherwise it must not be below it."""

    @property
    def is_met(self) -> bool:
        return self.ratio.median <= self.goal if self.is_ceiling else self.ratio.median >= self.goal


def verdicts(results: Results) -> list[Verdict]:
    """Return the result of every goal that this run has figures for."""
    found: list[Verdict] = []
    if "small" in results.speeds:
        found += of_speeds(Rates(results.speeds["small"].rates))
    if "large" in results.speeds:
        found += of_k_quants(Rates(results.speeds["large"].rates))
    if results.on_paths:
        found += of_isa_paths(Rates(results.on_paths.rates))
    found += of_first_token(results.first_token)
    found += of_memory(results.memory)
    found += of_large_memory(results.large_memory)
    if results.over_http:
        found += of_http(results.over_http)
    if results.shared_prefix:
        found.append(of_prefix(results.shared_prefix))
    found += of_speculation(results.speculation)
    return found + of_contention(results.contention)


def of_speeds(rates: Rates) -> list[Verdict]:
    """Compare the better of our 4-bit formats with the best of all peers, by workload, and 8 bits with 8 bits."""
    goals = [("decode_1", 1.7), ("decode_8", 2.0), ("decode_32", 2.0), ("mixed_16", 2.0), ("prefill_512", 1.5)]
    pairs = [
        (workload, rates.best(workload, FOUR_BITS), rates.best(workload, rates.peers()), goal)
        for workload, goal in goals
    ]
    pairs.insert(1, ("decode_1", EIGHT_BITS, "llama.cpp Q8_0", 1.5))
    return [
        Verdict(f"{workload}, {ours}", peer, goal, ratio)
        for workload, ours, peer, goal in pairs
        if ours and peer and (ratio := rates.ratio(ours, peer, workload))
    ]


def of_k_quants(rates: Rates) -> list[Verdict]:
    ours, theirs = f"LLMOS {K_QUANTS}", f"llama.cpp {K_QUANTS}"
    return [
        Verdict(f"{workload} of the large model, {ours}", theirs, goal, ratio)
        for workload, goal in K_GOALS
        if (ratio := rates.ratio(ours, theirs, workload))
    ]


def of_isa_paths(rates: Rates) -> list[Verdict]:
    """Compare with the better OpenVINO on the same instruction set."""
    return [
        Verdict(f"{workload}, {path.ours}", peer, 1.0, ratio)
        for path in ISA_PATHS
        for workload in ("prefill_512", "decode_8", "decode_32")
        if (peer := rates.best(workload, path.peers)) and (ratio := rates.ratio(path.ours, peer, workload))
    ]


def of_first_token(seconds: dict[str, list[float]]) -> list[Verdict]:
    return [
        Verdict(f"process start to first token, {kind}", f"llama.cpp {kind}", 1.5, ratio, is_ceiling=True)
        for kind in KINDS
        if (ratio := pairwise(seconds.get(f"LLMOS {kind}", []), seconds.get(f"llama.cpp {kind}", [])))
    ]


def of_memory(memory: dict[str, Memory]) -> list[Verdict]:
    what = "resident memory while serving 8 streams"
    return [found for kind in KINDS if (found := memory_verdict(memory, what, kind, 1.2))]


def of_large_memory(memory: dict[str, Memory]) -> list[Verdict]:
    what = "resident memory of the large model while serving 8 streams"
    return [found for found in [memory_verdict(memory, what, K_QUANTS, 1.1)] if found]


def memory_verdict(memory: dict[str, Memory], what: str, kind: str, goal: float) -> Verdict | None:
    ours, theirs = memory.get(f"LLMOS {kind}"), memory.get(f"llama.cpp {kind}")
    if ours is None or theirs is None:
        return None
    ratio = ours.peak / theirs.peak
    return Verdict(f"{what}, {kind}", f"llama.cpp {kind}", goal, Spread(ratio, ratio, ratio), is_ceiling=True)


def of_http(measured: OverHTTP) -> list[Verdict]:
    return [
        Verdict(f"over HTTP at {measured.clients} streams, {way}", "in process", 0.9, ratio)
        for way, rates in (("streamed", measured.streamed), ("plain", measured.plain))
        if (ratio := pairwise(rates, measured.in_process))
    ]


def of_prefix(measured: SharedPrefix) -> Verdict:
    ratio = statistics.median(measured.without_cache) / statistics.median(measured.with_cache)
    each = [a / b for a, b in zip(measured.without_cache, measured.with_cache, strict=True)]
    what = f"first token after a shared prefix of {measured.prefix_tokens:,} tokens"
    return Verdict(what, "no cache", 10, Spread(ratio, min(each), max(each)))


def of_speculation(measured: Sequence[Speculation]) -> list[Verdict]:
    """Judge speculation: its gain if the answer copies the prompt, and its cost otherwise, at most 3 %."""
    found = []
    for each in measured:
        kind, _, streams = each.workload.rpartition("_")
        if each.workload == "copying_1":
            what, goal = "copying text out of the prompt", 1.8
        elif kind == "random":
            what, goal = f"nothing to find in the prompt, {streams} at once", 0.97
        else:
            continue
        found.append(Verdict(what, "no speculation", goal, Spread.of(each.ratios)))
    return found


def of_contention(measured: dict[int, list[Rate]]) -> list[Verdict]:
    """Judge the share of the speed that is left beside busy processes, and the speed against llama.cpp's there."""
    ours, peer = "LLMOS Q4_1", "llama.cpp Q4_1"
    found = []
    for num_busy, goal in ((1, 0.45), (3, 0.15)):
        for workload in ("decode_1", "decode_8"):
            alone, busy = (rates_of(measured.get(num, []), ours, workload) for num in (0, num_busy))
            theirs = rates_of(measured.get(num_busy, []), peer, workload)
            what = f"{workload} beside {num_busy} busy, {ours}"
            if ratio := pairwise(busy, alone):
                found.append(Verdict(what, "nothing beside it", goal, ratio))
            if ratio := pairwise(busy, theirs):
                found.append(Verdict(what, f"{peer} beside them", 1, ratio))
    return found


def rates_of(rates: Sequence[Rate], engine: str, workload: str) -> list[float]:
    """Return the tokens per second, round by round."""
    return [each.tokens_per_second for each in rates if (each.engine, each.workload) == (engine, workload)]


def pairwise(ours: Sequence[float], theirs: Sequence[float]) -> Spread | None:
    """Return the ratio of each round."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=False)]
    return Spread.of(ratios) if ratios else None
