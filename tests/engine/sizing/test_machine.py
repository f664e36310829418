"""A machine's speed is measured once and kept; predictions from it move in the right direction."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.hardware import inspect_hardware
from llmos.engine.config import EngineConfig
from llmos.engine.runner.native import NativeRunner
from llmos.engine.sizing import machine as machines
from llmos.engine.sizing.machine import (
    ROWS,
    Attention,
    MachineProfile,
    PerRow,
    Rates,
    load_profile,
    save_profile,
)
from llmos.engine.sizing.measure import measure_machine
from llmos.engine.sizing.probe import ProbeModels
from llmos.engine.sizing.speed import SpeedModel
from llmos.engine.spec import DecoderSpec

SPEC = DecoderSpec(
    family="llama", vocab_size=49152, hidden_size=576, num_layers=30, num_heads=9, num_kv_heads=3, head_dim=64,
    intermediate_size=1536, max_positions=8192, tied_head=True,
)  # fmt: skip
EACH = tuple(max(20e-12, n * 1.6e-12) for n in ROWS)
RATES = Rates(
    seconds_per_value=EACH,
    seconds_per_value_small=tuple(0.8 * each for each in EACH),
    large_bytes=200_000_000,
    small_bytes=50_000_000,
)
ATTENTION = Attention(per_kv_value=3e-11, per_value=1e-11, per_value_alone=2e-11, prefilling=1e-11)
MACHINE = MachineProfile(
    version=machines.VERSION, cpu=inspect_hardware().cpu, isa="portable", threads=3, measured_at=0.0,
    rates={"bytes": RATES, "affine_nibbles": RATES}, seconds_per_layer=6e-6,
    seconds_per_layer_column=1e-9,
    decoding=PerRow(seconds_per_row=1e-6, seconds_per_column=1e-10),
    prefilling=PerRow(seconds_per_row=1e-6, seconds_per_column=2e-10),
    attention=dict.fromkeys(("int8", "f16", "f32"), ATTENTION),
)  # fmt: skip


def speed_model(spec=SPEC, dtype="Q8_0"):
    return SpeedModel(spec, NativeRunner.plan(spec, lambda _: dtype), EngineConfig(), MACHINE)


def test_a_profile_is_loaded_on_the_same_machine_only(tmp_path):
    path = tmp_path / "home" / "machine.json"
    assert load_profile(path, threads=3, isa="portable") is None
    save_profile(path, MACHINE)
    assert load_profile(path, threads=3, isa="portable") == MACHINE
    assert load_profile(path, threads=2, isa="portable") is None
    save_profile(path, replace(MACHINE, cpu="another"))
    assert load_profile(path, threads=3, isa="portable") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"rates": {"bytes": {}}}', '{"rates": 3}'])
def test_a_damaged_file_is_measured_again(tmp_path, text):
    (tmp_path / "machine.json").write_text(text)
    assert load_profile(tmp_path / "machine.json", threads=3) is None


def test_a_profile_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    save_profile(tmp_path / "file" / "machine.json", MACHINE)


@given(st.integers(1, 63), st.integers(1, 4000), st.integers(1, 4000))
def test_steps_cost_more_with_more_streams_and_longer_contexts(streams, context, more):
    one = speed_model()
    assert one.decode_seconds(streams, context) <= one.decode_seconds(streams + 1, context)
    assert one.decode_seconds(streams, context) <= one.decode_seconds(streams, context + more)
    assert one.prefill_seconds(context) < one.prefill_seconds(context + more)


def test_a_window_bounds_what_a_row_attends_to():
    windowed = speed_model(replace(SPEC, sliding_window=64))
    assert windowed.decode_seconds(4, 100) == windowed.decode_seconds(4, 8000) < speed_model().decode_seconds(4, 8000)


def test_only_the_experts_that_are_chosen_cost_time():
    experts = replace(SPEC, num_experts=8, experts_per_token=2, expert_size=1536)
    all_taken = replace(experts, experts_per_token=8)
    assert (
        speed_model().decode_seconds(1, 10)
        < speed_model(experts).decode_seconds(1, 10)
        < speed_model(all_taken).decode_seconds(1, 10)
    )


@pytest.mark.timing
def test_measuring_finds_plausible_costs():
    """With small decoders, which are quick to time; benchmarks/fit.py checks how accurate it is."""
    whole = ProbeModels()
    models = ProbeModels(
        narrow=replace(whole.narrow, num_layers=4),
        middle=replace(whole.middle, num_layers=2),
        wide=replace(whole.wide, num_layers=2),
        small=replace(whole.small, num_layers=1),
        seconds_each=0.01,
    )
    calls = []
    machine = measure_machine(threads=1, models=models, progress=lambda *args: calls.append(args[1:]))
    assert calls[-1] == (8, 8)
    assert machine.threads == 1
    assert 1e8 < machine.bytes_per_second < 1e13
    assert 1e8 < machine.operations_per_second < 1e15
    assert machine.seconds_per_layer >= 0
    for rates in machine.rates.values():
        assert all(each > 0 for each in rates.seconds_per_value + rates.seconds_per_value_small)


def test_nine_heads_take_two_threads_as_long_as_ten():
    nine = ATTENTION.decoding(SPEC, 1, 2)
    ten = ATTENTION.decoding(replace(SPEC, num_heads=10, num_kv_heads=1), 1, 2)
    assert nine == pytest.approx(ten)
    assert ATTENTION.decoding(SPEC, 1, 3) == pytest.approx(nine * 9 / 10)
