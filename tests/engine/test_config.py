"""Engine options: invalid values are rejected by name, and unset options are resolved from model and machine."""

import sys

import pytest

from llmos.core.errors import BadRequest, InsufficientMemory
from llmos.core.hardware import inspect_hardware
from llmos.engine import _native
from llmos.engine.config import Capacity, EngineConfig, resolve, resolve_snapshots

GIB = 2**30


def resolved(config=None, free_bytes=16 * GIB, max_positions=8192, block_bytes=2**20):
    return resolve(
        config or EngineConfig(),
        free_bytes=free_bytes,
        num_cores=4,
        max_positions=max_positions,
        block_bytes=block_bytes,
        block_size=16,
    )


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(BadRequest, match=r"no option thread\. Did you mean threads\?"):
        EngineConfig.from_options({"thread": 2})
    with pytest.raises(BadRequest, match=r"no option zzz\. The options are max_batched_tokens, "):
        EngineConfig.from_options({"zzz": 2})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the features of the CPU")
def test_the_kernel_paths_that_are_offered_are_those_that_the_kernels_find():
    assert list(inspect_hardware().isas) == _native.available_isas()


def test_options_become_a_config():
    assert EngineConfig.from_options({"threads": 2, "weights": "f32"}) == EngineConfig(threads=2, weights="f32")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_batched_tokens", 0),
        ("max_prefill_tokens", 0),
        ("max_sequences", -1),
        ("max_sequences", "8"),
        ("max_sequences", True),
        ("max_draft_tokens", -1),
        ("threads", 0),
        ("prefix_cache", "yes"),
        ("kv_bytes", 1.5),
        ("snapshot_bytes", -1),
        ("context_length", 0),
        ("weights", "int3"),
        ("kv_dtype", "q8"),
        ("isa", "avx3"),
    ],
)
def test_an_invalid_value_is_rejected_by_name(name, value):
    with pytest.raises(BadRequest, match=name) as error:
        EngineConfig(**{name: value})
    assert error.value.param == name


def test_a_step_must_have_room_for_one_token_of_every_sequence():
    with pytest.raises(BadRequest, match="max_batched_tokens is 8 and max_sequences is 9"):
        EngineConfig(max_batched_tokens=8, max_sequences=9)


def test_the_cache_fits_the_sequences_and_a_quarter_of_the_memory():
    assert resolved() == Capacity(num_blocks=64 * 1024 // 16, threads=4)
    assert resolved(free_bytes=4 * GIB).num_blocks == 1024
    assert resolved(EngineConfig(max_sequences=1)).num_blocks == 8192 // 16, "one full context at least"
    assert resolved(max_positions=128).num_blocks == 64 * 128 // 16


def test_options_that_are_set_are_kept():
    assert resolved(EngineConfig(kv_bytes=10 * 2**20, threads=3)) == Capacity(num_blocks=10, threads=3)


def test_a_cache_larger_than_the_free_memory_is_rejected_with_the_difference():
    assert resolved(EngineConfig(kv_bytes=4 * GIB), free_bytes=4 * GIB).num_blocks == 4096
    with pytest.raises(
        InsufficientMemory, match=r"kv_bytes is 4,294,967,297; .* 4,294,967,296 bytes .* are free\. Lower it by 1,"
    ):
        resolved(EngineConfig(kv_bytes=4 * GIB + 1), free_bytes=4 * GIB)


def test_a_context_length_over_the_models_is_rejected_with_both_numbers():
    with pytest.raises(BadRequest, match="context_length is 9,000; the model accepts 8,192 tokens at most"):
        resolved(EngineConfig(context_length=9000))


def test_too_little_memory_is_rejected_with_the_numbers():
    with pytest.raises(InsufficientMemory, match="hold only 16 tokens: 16 tokens take 1,048,576 bytes"):
        resolved(free_bytes=4 * 2**20)


def snapshots(free_bytes=8 * GIB, num_states=64, state_bytes=2**20, **options):
    return resolve_snapshots(
        EngineConfig(**options), free_bytes=free_bytes, state_bytes=state_bytes, num_states=num_states
    )


def test_there_are_four_snapshots_for_each_sequence_within_an_eighth_of_the_memory():
    assert snapshots() == 256
    assert snapshots(num_states=2) == 8
    assert snapshots(free_bytes=800 * 2**20) == 100
    assert snapshots(free_bytes=-1) == 0


def test_snapshots_take_the_memory_that_is_asked_for():
    assert snapshots(snapshot_bytes=1000 * 2**20) == 1000
    assert snapshots(snapshot_bytes=0) == 0
    assert snapshots(prefix_cache=False) == 0
    assert snapshots(prefix_cache=False, snapshot_bytes=2**20) == 1
    assert snapshots(state_bytes=0, snapshot_bytes=2**20) == 0, "the model has no states"
    with pytest.raises(
        InsufficientMemory, match="snapshot_bytes is 1,048,576; beside the weights and the KV cache, 1,000"
    ):
        snapshots(free_bytes=1000, snapshot_bytes=2**20)
