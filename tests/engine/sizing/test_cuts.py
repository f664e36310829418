"""The layers of a model are cut by memory first, then by the time of the slowest stage."""

from dataclasses import replace

import pytest

from llmos.core.hardware import Hardware
from llmos.engine.config import EngineConfig
from llmos.engine.runner.stage import Stage, check_stages
from llmos.engine.sizing.cuts import Cutter, is_splittable
from support.random_models import EXPERTS, LLAMA, STREAMS

MANY = replace(LLAMA, num_layers=12, vocab_size=4000, tied_head=True)
GB = 1 << 30


def machine(cores=1, available=8 * GB):
    return Hardware(cpu="", features=frozenset(), num_cores=cores, memory_bytes=available, available_bytes=available)


def cutter(spec=MANY):
    return Cutter(spec, lambda name: "F32", EngineConfig(weights="f32", threads=1))


def test_equal_machines_get_equal_times_and_the_head_counts():
    cut = cutter().choose([machine(), machine()])
    home, other = cut.stages
    assert home.last - home.first < other.last - other.first, "home has the head besides"
    assert cut.shares[0] == pytest.approx(0.5, abs=0.05)
    check_stages(MANY, cut.stages)


def test_a_machine_with_more_cores_gets_more_layers():
    few, many = machine(1), machine(4)
    cut = cutter().choose([few, many])
    sizes = {index: stage.last - stage.first + 1 for index, stage in zip(cut.machines, cut.stages, strict=True)}
    assert sizes[1] > 2 * sizes[0]


def test_a_machine_with_little_memory_gets_the_layers_that_it_has_room_for():
    one = cutter()
    layer = one.need(Stage(2, 2), machine()).total - one.need(Stage(2, 2), machine()).process
    small = machine(available=one.need(Stage(9, 11), machine()).total + layer // 8)
    cut = one.choose([machine(), small])
    sizes = dict(zip(cut.machines, cut.stages, strict=True))
    assert sizes[1] == Stage(9, 11)
    assert one.need(sizes[1], small).total <= small.available_bytes


def test_no_more_machines_than_are_needed_are_taken():
    assert len(cutter().choose([machine(), machine(), machine()]).stages) == 2
    assert len(cutter().choose([machine(), machine(), machine()], least=3).stages) == 3


def test_machines_without_room_or_without_layers_get_no_cut():
    assert cutter().choose([machine(available=1 << 20), machine(available=1 << 20)]) is None
    assert cutter().choose([machine()]) is None
    assert cutter(replace(MANY, num_layers=1)).choose([machine(), machine()]) is None


@pytest.mark.parametrize("spec", [EXPERTS, STREAMS])
def test_models_of_unequal_layers_are_cut(spec):
    check_stages(spec, cutter(spec).choose([machine(), machine()]).stages)


def test_only_models_with_a_head_are_split():
    assert is_splittable(LLAMA)
    assert not is_splittable(replace(LLAMA, has_head=False))
