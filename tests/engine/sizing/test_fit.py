"""The memory of a runner is calculated in advance; an error about a lack of it shows the arithmetic."""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import BadRequest, InsufficientMemory
from llmos.core.hardware import Hardware
from llmos.engine import loading
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.runner.encoder import NativeEncoder
from llmos.engine.runner.native import NativeRunner
from llmos.engine.sizing.fit import MemoryPlanner, check_fit_together, check_fits
from llmos.engine.spec import DecoderSpec
from support.random_models import DELTA
from support.tiny_encoders import make_tiny_encoder
from support.tiny_models import CASES, make_tiny_model

SPEC = DecoderSpec(
    family="llama", vocab_size=49152, hidden_size=576, num_layers=30, num_heads=9, num_kv_heads=3, head_dim=64,
    intermediate_size=1536, max_positions=8192, tied_head=True,
)  # fmt: skip


def machine_with(available_bytes: int) -> Hardware:
    return Hardware(
        cpu="fake", features=frozenset(), num_cores=2, memory_bytes=1 << 40, available_bytes=available_bytes
    )


def planner_on(available_bytes: int, spec=SPEC, dtype="Q8_0", **options) -> MemoryPlanner:
    return MemoryPlanner(spec, lambda _: dtype, EngineConfig(**options), machine_with(available_bytes))


@pytest.fixture(scope="module")
def files_of(tmp_path_factory):
    return cache(lambda case: make_tiny_model(case, tmp_path_factory.mktemp("tiny")).files())


@pytest.mark.parametrize("case", CASES)
def test_the_calculated_bytes_are_those_that_the_runner_takes(files_of, case):
    checkpoint = open_checkpoint(files_of(case))
    for options in ({}, {"weights": "int4", "kv_dtype": "f16"}, {"weights": "f32", "kv_dtype": "f32"}):
        planner = MemoryPlanner.from_checkpoint(checkpoint, EngineConfig(**options))
        runner = NativeRunner(checkpoint.spec, checkpoint.tensors, num_blocks=7, num_states=1, **options)
        need = planner.need(1, 100, 7)
        assert (need.weights, need.kv + need.states) == (runner.weight_bytes, runner.kv_bytes)


def test_the_calculated_bytes_of_an_encoder_are_those_that_it_takes(tmp_path):
    checkpoint = open_checkpoint(make_tiny_encoder("bert", tmp_path / "model").files())
    fit = MemoryPlanner.from_checkpoint(checkpoint).fit()
    assert fit.fits
    assert (fit.need.weights, fit.need.kv) == (NativeEncoder(checkpoint.spec, checkpoint.tensors).weight_bytes, 0)


@given(st.integers(1, 8192), st.integers(1, 64), st.integers(0, 500), st.integers(0, 20))
def test_more_context_or_more_streams_never_need_less(context, streams, more_context, more_streams):
    planner = planner_on(1 << 40)
    need = planner.at(context, streams).need
    more = planner.at(context + more_context, streams + more_streams).need
    assert need.total <= more.total
    assert (need.weights, need.process) == (more.weights, more.process)


@given(st.integers(150_000_000, 3_000_000_000), st.integers(1, 8192), st.integers(1, 64))
def test_a_suggested_alternative_fits_and_one_more_would_not(available, context, streams):
    planner = planner_on(available)
    asked = planner.fit(context=context, streams=streams)
    if asked.fits:
        return
    if (fewer := planner.with_fewer_streams(asked)) is not None:
        assert fewer.fits
        assert fewer.context == context
        assert fewer.streams + 1 == streams or not planner.at(context, fewer.streams + 1).fits
    if (shorter := planner.with_shorter_context(asked)) is not None:
        assert shorter.fits
        assert 128 <= shorter.context < context
        assert shorter.context + 16 >= context or not planner.at(shorter.context + 16, streams).fits


def test_a_refusal_shows_its_arithmetic():
    fit = planner_on(1_000_000_000).fit(context=8192, streams=16)
    assert not fit.fits
    assert fit.sentence == (
        "It doesn't fit: 143 MB of weights + 1.60 GB of KV cache + 17 MB of workspace + 70 MB for the process = "
        "1.83 GB, and 1.00 GB are free: 834 MB are missing."
    )
    assert sum((fit.need.weights, fit.need.kv, fit.need.workspace, fit.need.process)) == fit.need.total


def test_the_default_is_what_serve_allocates(files_of):
    planner = MemoryPlanner.from_files(files_of("llama"))
    _, ready = load_from(files_of("llama"))
    assert (planner.weight_bytes, planner.fit().need.kv, planner.fit().num_blocks) == (
        ready.weight_bytes,
        ready.kv_bytes,
        ready.num_blocks,
    )


@pytest.mark.parametrize("case", ["qwen3_5", "lfm2", "granitemoehybrid"])
def test_states_and_their_snapshots_are_counted(files_of, case):
    fit = MemoryPlanner.from_files(files_of(case)).fit()
    _, ready = load_from(files_of(case))
    assert fit.need.kv + fit.need.states == ready.kv_bytes
    assert fit.num_snapshots == ready.num_snapshots == 4 * ready.num_states
    assert "of states" in fit.sentence


@given(st.integers(1, 300), st.integers(1, 40), st.integers(20_000_000, 200_000_000))
def test_the_memory_of_snapshots_never_decides_whether_a_model_fits(context, streams, available):
    planner = planner_on(available, DELTA)
    fit, without = planner.at(context, streams), planner.need(streams, context, streams * -(-context // 16))
    assert fit.fits == (without.total <= available)
    assert fit.need.total - without.total == fit.num_snapshots * planner.state_bytes


def load_from(files, config=None):
    """The tiny models have no tokenizer; the memory is what matters here."""
    checkpoint = open_checkpoint(files)
    runner, _ = loading._make_runner(checkpoint, config or EngineConfig(), loading.pack)
    return runner, runner


def test_the_default_without_room_is_one_stream():
    fit = planner_on(150_000_000).fit()
    assert not fit.fits
    assert (fit.streams, fit.context) == (1, 1024)
    assert fit.sentence.startswith("It doesn't fit: 143 MB of weights + 13 MB of KV cache")
    with pytest.raises(InsufficientMemory, match="kv_bytes is 900,000,000"):  # for what was asked, not for the model
        planner_on(600_000_000, kv_bytes=900_000_000).fit()


def test_four_bits_are_suggested_if_they_take_less():
    planner = planner_on(240_000_000)
    asked = planner.fit(context=4096, streams=1)
    made = planner.in_4_bits(asked)
    assert not asked.fits
    assert made is not None
    assert made.fits
    packed = planner_on(240_000_000, dtype="Q4_0")
    assert packed.in_4_bits(packed.fit(context=4096, streams=1)) is None


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"context": 9000}, "context is 9,000; this model takes 1 to 8,192 tokens"),
        ({"streams": 0}, "streams is 0; it takes a whole number from 1 up"),
    ],
)
def test_an_impossible_context_or_number_of_streams_is_refused(question, message):
    with pytest.raises(BadRequest, match=message):
        planner_on(1 << 40).fit(**question)


def test_a_model_without_room_is_refused_before_anything_is_allocated(files_of, monkeypatch):
    monkeypatch.setattr(loading, "inspect_hardware", lambda: machine_with(30_000_000))
    monkeypatch.setattr(loading, "NativeRunner", None)
    with pytest.raises(InsufficientMemory, match=r"no room for the model: .* of weights .* = .* MB.*30 MB are free"):
        load_from(files_of("llama"))


def test_the_real_model_is_refused_by_load_where_it_has_no_room(smollm2_path, monkeypatch):
    monkeypatch.setattr(loading, "inspect_hardware", lambda: machine_with(120_000_000))
    with pytest.raises(InsufficientMemory, match="97 MB of weights"):
        load_engine({"model.gguf": smollm2_path}, EngineConfig())


def test_replicas_are_counted_and_share_packed_weights(smollm2_path, tmp_path):
    files, hardware = {"model.gguf": smollm2_path}, machine_with(600_000_000)
    config = EngineConfig(kv_bytes=100_000_000, max_sequences=8)
    shares = replace(config, packed_folder=str(tmp_path))
    check_fits(files, config, replicas=1, hardware=hardware)
    check_fits(files, shares, replicas=2, hardware=hardware)
    with pytest.raises(InsufficientMemory, match=r"for each of 3 replicas, .* in all, .*At most 2 fit: --max 2"):
        check_fits(files, shares, replicas=3, hardware=hardware)
    with pytest.raises(InsufficientMemory, match=r"for each of 3 replicas"):
        check_fits(files, config, replicas=3, hardware=hardware)


def test_models_that_fit_one_by_one_are_refused_together_where_they_do_not(smollm2_path):
    files, config = {"model.gguf": smollm2_path}, EngineConfig(max_sequences=8)
    models = {"a@1": files, "b@1": files}
    check_fit_together(models, config, hardware=machine_with(600_000_000))
    little = machine_with(280_000_000)
    check_fits(files, config, hardware=little)
    check_fit_together({"a@1": files}, config, hardware=little)
    with pytest.raises(InsufficientMemory, match=r"all 2 models at once: a@1 \d+ MB, b@1 .* and 280"):
        check_fit_together(models, config, hardware=little)
    with pytest.raises(InsufficientMemory, match="in all"):  # by the configured caches
        check_fit_together(models, replace(config, kv_bytes=200_000_000), hardware=machine_with(600_000_000))
