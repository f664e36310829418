"""The conditions under which a goal counts as reached."""

import pytest
from goals import Verdict, verdicts
from rates import Spread
from results import Limits, Memory, OverHTTP, Rate, Results, Shape, SharedPrefix, Speculation, Speeds

from llmos.engine.sizing.workloads import WORKLOADS

SHAPE = Shape(layers=1, head=1, is_tied=True)


def one(results: Results, start: str) -> Verdict:
    (found,) = [each for each in verdicts(results) if each.what.startswith(start)]
    return found


def speeds(**rates: float) -> Results:
    """Every engine at one rate, on every workload."""
    names = {"q4_1": "LLMOS Q4_1", "q4_0": "LLMOS Q4_0", "q8_0": "LLMOS Q8_0"}
    names |= {"openvino": "OpenVINO int4", "llama": "llama.cpp Q8_0"}
    all_rates = [Rate(names[key], each.name, 0, rate) for key, rate in rates.items() for each in WORKLOADS]
    return Results(speeds={"small": Speeds(SHAPE, all_rates)})


def test_nothing_measured_is_nothing_judged() -> None:
    assert verdicts(Results(limits=Limits(1, 1, 1, ""))) == []


@pytest.mark.parametrize(("rate", "is_met"), [(199, False), (200, True), (300, True)])
def test_a_speed_has_to_reach_its_goal(rate: float, is_met: bool) -> None:
    verdict = one(speeds(q4_1=rate, openvino=100), "decode_8")
    assert (verdict.against, verdict.goal, verdict.is_met) == ("OpenVINO int4", 2.0, is_met)


def test_the_better_4_bit_form_stands_against_the_best_peer_whatever_its_bits() -> None:
    verdict = one(speeds(q4_1=200, q4_0=300, openvino=90, llama=100), "mixed_16")
    assert (verdict.what, verdict.against) == ("mixed_16, LLMOS Q4_0", "llama.cpp Q8_0")
    assert verdict.ratio == Spread(3, 3, 3)


def test_8_bit_weights_stand_against_8_bit_weights_for_one_stream() -> None:
    verdict = one(speeds(q4_1=900, q8_0=140, openvino=500, llama=100), "decode_1, LLMOS Q8_0")
    assert (verdict.against, verdict.goal, verdict.is_met) == ("llama.cpp Q8_0", 1.5, False)


@pytest.mark.parametrize(("seconds", "is_met"), [(1.5, True), (1.6, False)])
def test_the_first_token_may_not_take_longer_than_its_goal(seconds: float, is_met: bool) -> None:
    results = Results(first_token={"LLMOS Q4_1": [seconds] * 3, "llama.cpp Q4_1": [1.0] * 3})
    assert one(results, "process start").is_met is is_met


@pytest.mark.parametrize(("peak", "is_met"), [(120, True), (121, False)])
def test_memory_is_the_peak_while_serving(peak: int, is_met: bool) -> None:
    theirs = Memory(peak=100, anonymous=1, peak_of_loading=1)
    ours = Memory(peak=peak, anonymous=1, peak_of_loading=999)
    results = Results(memory={"LLMOS Q8_0": ours, "llama.cpp Q8_0": theirs})
    assert one(results, "resident memory while serving 8 streams, Q8_0").is_met is is_met


def test_both_ways_over_http_are_judged() -> None:
    results = Results(over_http=OverHTTP(32, in_process=[100, 200], streamed=[91, 182], plain=[80, 160]))
    assert one(results, "over HTTP at 32 streams, streamed").is_met
    assert not one(results, "over HTTP at 32 streams, plain").is_met


def test_a_shared_prefix_is_judged_by_medians() -> None:
    measured = SharedPrefix(1000, 20, without_cache=[10, 10, 11], with_cache=[1, 1, 9])
    verdict = one(Results(shared_prefix=measured), "first token after a shared prefix of 1,000 tokens")
    assert (verdict.ratio.median, verdict.is_met) == (10, True)


def test_speculation_has_to_gain_where_it_can_and_may_cost_3_percent_where_it_cannot() -> None:
    ratios = {"copying_1": [1.9], "random_1": [0.96], "random_8": [0.97], "summaries_1": [0.5]}
    measured = [Speculation(name, each, 0, 0, 1.0) for name, each in ratios.items()]
    found = verdicts(Results(speculation=measured))
    assert [(each.what, each.is_met) for each in found] == [
        ("copying text out of the prompt", True),
        ("nothing to find in the prompt, 1 at once", False),
        ("nothing to find in the prompt, 8 at once", True),
    ]


@pytest.mark.parametrize(
    ("rate", "met"), [(99, []), (100, ["decode_1"]), (200, ["decode_1", "decode_8", "prefill_512"])]
)
def test_k_quants_stand_against_llama_cpp_with_the_same_file(rate: float, met: list[str]) -> None:
    rates = [
        Rate(name, each.name, 0, value)
        for name, value in (("LLMOS Q4_K_M", rate), ("llama.cpp Q4_K_M", 100), ("llama.cpp Q4_0", 900))
        for each in WORKLOADS
    ]
    found = verdicts(Results(speeds={"large": Speeds(SHAPE, rates)}))
    assert {each.against for each in found} == {"llama.cpp Q4_K_M"}
    assert sorted(each.what.split()[0] for each in found if each.is_met) == met


@pytest.mark.parametrize(("rate", "is_met"), [(99, False), (100, True)])
def test_a_path_stands_against_the_better_openvino_on_the_same_instruction_set(rate: float, is_met: bool) -> None:
    rates = [
        Rate(name, each.name, 0, value)
        for name, value in (
            ("LLMOS Q4_1 on AVX2", rate),
            ("OpenVINO int8 on AVX2", 100),
            ("OpenVINO int4 on AVX2", 50),
            ("OpenVINO int8 on AVX-VNNI", 900),
        )
        for each in WORKLOADS
    ]
    found = verdicts(Results(on_paths=Speeds(SHAPE, rates)))
    assert [(each.what.split(",")[0], each.against, each.is_met) for each in found] == [
        (workload, "OpenVINO int8 on AVX2", is_met) for workload in ("prefill_512", "decode_8", "decode_32")
    ]


@pytest.mark.parametrize(("peak", "is_met"), [(110, True), (111, False)])
def test_the_large_model_may_take_a_tenth_more_memory_than_llama_cpp(peak: int, is_met: bool) -> None:
    memory = {"LLMOS Q4_K_M": Memory(peak, 1, 1), "llama.cpp Q4_K_M": Memory(100, 1, 1)}
    assert one(Results(large_memory=memory), "resident memory of the large model").is_met is is_met
