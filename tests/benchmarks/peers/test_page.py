"""The page says what was measured, and nothing of what was not."""

from dataclasses import replace

from page import write_page
from results import (
    Facts,
    Limits,
    Memory,
    OverHTTP,
    Rate,
    Regions,
    Results,
    Section,
    Shape,
    SharedPrefix,
    Speculation,
    Speeds,
)

from llmos.engine.sizing.workloads import WORKLOADS


def results() -> Results:
    rates = [
        Rate(engine, workload.name, round_, rate)
        for engine, rate in (("LLMOS Q4_1", 3000.0), ("llama.cpp Q4_0", 1000.0), ("OpenVINO int4", 500.0))
        for workload in WORKLOADS
        for round_ in range(3)
    ]
    facts = {"LLMOS Q4_1": Facts("llmos 1.0", "avx512", 100), "llama.cpp Q4_0": Facts("llama-cpp-python 2.0")}
    speeds = Speeds(Shape(layers=10, head=10, is_tied=True), rates, facts)
    return Results(
        threads=2,
        machine="A CPU",
        sections={"small": Section(date="2026-01-02", commit="abc")},
        limits=Limits(1e9, 1e12, 1e11, "vpdpbusd"),
        speeds={"small": speeds},
    )


def lines_with(page: str, *words: str) -> list[str]:
    return [line for line in page.splitlines() if all(word in line for word in words)]


def test_it_names_machine_versions_date_and_commit() -> None:
    page = write_page(results())
    for said in ("A CPU; 2 threads", "llmos 1.0, llama-cpp-python 2.0; this project at abc", "2026-01-02"):
        assert said in page


def test_a_row_has_median_and_spread_of_every_workload() -> None:
    (row,) = [line for line in write_page(results()).splitlines() if line.startswith("| llama.cpp Q4_0 |")]
    assert row.count("1,000 (1,000–1,000)") == len(WORKLOADS)


def test_goals_say_met_or_not() -> None:
    (row,) = lines_with(write_page(results()), "decode_8, LLMOS Q4_1", "llama.cpp Q4_0")
    assert row.endswith("| ≥ 2 × | 3.00 | met |")
    slow = results()
    slow.speeds["small"].rates[:] = [replace(each, tokens_per_second=1.0) for each in slow.speeds["small"].rates]
    (row,) = lines_with(write_page(slow), "decode_8, LLMOS Q4_1")
    assert row.endswith("| ≥ 2 × | 1.00 | **not met** |")


def test_a_ratio_is_to_the_best_peer() -> None:
    page = write_page(results())
    (head,) = lines_with(page, "decode_1, llama.cpp Q4_0")
    assert "OpenVINO" not in head


def test_a_peer_that_failed_is_named_with_its_reason() -> None:
    given = results()
    given.speeds["small"].failures["vLLM bf16"] = "no memory"
    page = write_page(given)
    assert lines_with(page, "| vLLM bf16 | failed |")
    assert "vLLM bf16 left the run: no memory" in page


def test_shares_of_the_limit_are_of_ours_only() -> None:
    page = write_page(results())
    assert lines_with(page, "| LLMOS Q4_1, small | 0 |", "%")
    assert not lines_with(page, "llama.cpp Q4_0, small")


def test_what_a_step_spends_outside_of_the_regions_is_shown() -> None:
    given = results()
    given.regions = {"decode_1": Regions(steps=2, seconds=0.010, regions={"head": 0.006})}
    page = write_page(given)
    assert lines_with(page, "| head | 3.000 (60%) |")
    assert lines_with(page, "| outside of the forward pass", "2.000 (40%)")
    assert lines_with(page, "| a step | 5.00 ms |")


def test_parts_that_were_not_measured_have_no_heading() -> None:
    given = results()
    assert "## Memory" not in write_page(given)
    given.memory = {"LLMOS Q4_1": Memory(2**20, 2**20, 3 * 2**20)}
    assert lines_with(write_page(given), "| LLMOS Q4_1 | 1 | 1 | 3 |")


def test_notes_end_the_page() -> None:
    assert write_page(results(), "## Why\n\nBecause.\n").endswith("\n\n## Why\n\nBecause.\n")


def test_every_table_has_as_many_cells_in_each_row() -> None:
    given = results()
    given.speeds["small"].failures["vLLM bf16"] = "no memory"
    given.regions = {name: Regions(1, 1.0, {"head": 0.5}) for name in ("decode_1", "decode_8")}
    given.memory = {"LLMOS Q4_1": Memory(1, 1, 1)}
    given.first_token = {"LLMOS Q4_1": [1.0]}
    given.over_http = OverHTTP(32, [1.0], [1.0], [1.0])
    given.shared_prefix = SharedPrefix(1000, 20, [1.0], [1.0])
    given.speculation = [Speculation("copying_1", [1.0], 1, 1, 1.0)]
    tables = [block.splitlines() for block in write_page(given).split("\n\n") if block.startswith("|")]
    assert len(tables) == 11
    for rows in tables:
        assert len({row.count("|") for row in rows}) == 1, rows[0]


def test_lesser_instruction_sets_have_a_table_and_ratios_of_their_own() -> None:
    rates = [
        Rate(engine, workload.name, 0, rate)
        for engine, rate in (("LLMOS Q4_1 on AVX2", 300.0), ("OpenVINO int8 on AVX2", 200.0))
        for workload in WORKLOADS
    ]
    page = write_page(replace(results(), on_paths=Speeds(Shape(1, 1, True), rates)))
    assert lines_with(page, "| OpenVINO int8 on AVX2 |", "200 (200–200)")
    assert lines_with(page, "| LLMOS Q4_1 on AVX2 | 1.50 | 1.50 |")
    assert not lines_with(page, "on AVX-VNNI")


def test_the_speed_beside_other_processes_is_shown_with_its_share_and_judged() -> None:
    contention = {
        num_busy: [
            Rate(engine, workload, round_, rate)
            for engine, rate in (("LLMOS Q4_1", ours), ("llama.cpp Q4_1", theirs))
            for workload in ("decode_1", "decode_8")
            for round_ in range(3)
        ]
        for num_busy, ours, theirs in ((0, 400.0, 200.0), (1, 200.0, 50.0), (3, 40.0, 50.0))
    }
    page = write_page(replace(results(), contention=contention))
    (row,) = lines_with(page, "| LLMOS Q4_1 | decode_8 |")
    assert "200 (200–200), 50%" in row
    assert "40 (40–40), 10%" in row
    assert [line.rsplit("| ", 2)[-2:] for line in lines_with(page, "decode_1 beside 1 busy")] == [
        ["0.50 ", "met |"],
        ["4.00 ", "met |"],
    ]
    assert all("**not met**" in line for line in lines_with(page, "decode_1 beside 3 busy"))
