"""The native runner: every kernel path computes the same model, and a row never depends on its neighbours."""

import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from llmos.engine import _native
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner import BLOCK_SIZE, SequencesRefused, native, packing
from llmos.engine.runner.native import KVDType, NativeRunner
from llmos.engine.runner.packing import Plan
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import DType, RawTensor
from support import run_script
from support.random_models import (
    BLOCK_TYPES,
    GPT2,
    ISAS,
    K_LLAMA,
    LLAMA,
    ODD,
    SPECS,
    WIDE,
    batch_of,
    prompt_of,
    random_model,
    relative_error,
    runner_of,
    typical_error,
)

pytestmark = pytest.mark.combinations


@pytest.mark.parametrize("dtype", ["F32", *BLOCK_TYPES])
@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa != "portable"])
@pytest.mark.parametrize("num_tokens", [1, 2, 3, 4, 5, 7, 8, 17, 300])
def test_every_kernel_path_agrees_with_the_portable_one(dtype: DType, isa: str, num_tokens: int) -> None:
    # Rounding a value that lies between two bytes may go either way, and the paths add floats in different orders.
    assert typical_error(logits_of(dtype, isa, num_tokens), logits_of(dtype, "portable", num_tokens)) < 0.015


@cache
def logits_of(dtype: DType, isa: str, num_tokens: int) -> npt.NDArray[np.float32]:
    """Return the logits of a prompt, computed once: the portable path takes by far the longest."""
    spec = LLAMA if dtype in ("F32", "Q8_0", "Q4_0", "Q4_1") else K_LLAMA
    batch = batch_of([(0, prompt_of(num_tokens, 1), list(range(19)))])
    return runner_of(spec, dtype, isa=isa).forward(batch).copy()


@pytest.mark.skipif("avx_vnni" not in ISAS, reason="this CPU has no AVX-VNNI")
@pytest.mark.parametrize("dtype", BLOCK_TYPES)
def test_paths_that_differ_in_their_integer_dot_products_alone_agree_to_the_bit(dtype: DType) -> None:
    vnni, avx2 = (runner_of(K_LLAMA, dtype, isa=isa) for isa in ("avx_vnni", "avx2"))
    for num_tokens in (1, 2, 3, 5, 8, 50, 300):
        batch = batch_of([(0, prompt_of(num_tokens, 1), list(range(19)))])
        np.testing.assert_array_equal(vnni.forward(batch), avx2.forward(batch))


@pytest.mark.parametrize(
    ("dtype", "kv_dtype"),
    [
        ("F32", "int8"),
        ("Q8_0", "int8"),
        ("Q4_0", "int8"),
        ("Q4_1", "int8"),
        ("Q4_1", "f16"),
        ("Q4_1", "f32"),
        ("Q4_K", "int8"),
        ("Q5_1", "int8"),
        ("Q6_K", "int8"),
        ("IQ4_XS", "int8"),
        ("MXFP4", "int8"),
    ],
)
@pytest.mark.parametrize("isa", ISAS)
def test_a_row_is_the_same_to_the_bit_whatever_else_is_in_the_batch(dtype: DType, kv_dtype: KVDType, isa: str) -> None:
    options = {"isa": isa, "kv_dtype": kv_dtype}
    spec = LLAMA if dtype in ("F32", "Q8_0", "Q4_0", "Q4_1") else K_LLAMA
    prompt = prompt_of(50, 1)
    alone = runner_of(spec, dtype, **options).forward(batch_of([(0, prompt, [0, 1, 2, 3])])).copy()

    among_others = runner_of(spec, dtype, **options, threads=2).forward(
        batch_of([(0, prompt_of(n, n), [10 + 4 * i + j for j in range(4)]) for i, n in enumerate([3, 17, 60, 1])]
                 + [(0, prompt, [40, 7, 33, 50])])
    )[-50:].copy()  # fmt: skip
    np.testing.assert_array_equal(among_others, alone)

    # One thread for the many short steps: three would mostly wait for each other.
    for threads, sizes in ((3, [50]), (3, [1, 49]), (3, [16, 16, 18]), (3, [7, 1, 1, 1, 40]), (1, [1] * 50)):
        runner, rows, done = runner_of(spec, dtype, **options, threads=threads), [], 0
        for size in sizes:
            rows.append(runner.forward(batch_of([(done, prompt[done : done + size], [9, 8, 7, 6])])).copy())
            done += size
        np.testing.assert_array_equal(np.concatenate(rows), alone, err_msg=f"in chunks of {sizes}")


ON_EVERY_PATH = {"capped", "late", "beside", "experts"}
"""Together they have most of what a spec may have. The others run on the fastest path."""


@pytest.mark.parametrize(
    ("spec", "isa"),
    [
        pytest.param(spec, isa, id=f"{name}-{isa}")
        for name, spec in SPECS.items()
        for isa in (ISAS if name in ON_EVERY_PATH else ISAS[:1])
    ],
)
def test_a_row_of_any_family_is_the_same_to_the_bit_whatever_else_is_in_the_batch(spec: DecoderSpec, isa: str) -> None:
    prompt = prompt_of(50, 1, spec)
    alone = runner_of(spec, "Q8_0", isa=isa).forward(batch_of([(0, prompt, [0, 1, 2, 3])])).copy()
    others = [(0, prompt_of(n, n, spec), [10 + 4 * i + j for j in range(4)]) for i, n in enumerate([3, 17, 60, 1])]
    crowd = runner_of(spec, "Q8_0", isa=isa, threads=2).forward(batch_of([*others, (0, prompt, [40, 7, 33, 50])]))
    np.testing.assert_array_equal(crowd[-50:], alone)
    for sizes in ([1, 49], [7, 1, 1, 1, 40]):
        runner, rows, done = runner_of(spec, "Q8_0", isa=isa, threads=3), [], 0
        for size in sizes:
            rows.append(runner.forward(batch_of([(done, prompt[done : done + size], [9, 8, 7, 6])])).copy())
            done += size
        np.testing.assert_array_equal(np.concatenate(rows), alone, err_msg=f"in chunks of {sizes}")


@pytest.mark.parametrize("spec", WIDE.values(), ids=WIDE)
@pytest.mark.parametrize("kv_dtype", ["int8", "f16"])
@pytest.mark.parametrize("isa", ISAS)
def test_long_rows_with_heads_of_any_size_are_the_same_to_the_bit(
    spec: DecoderSpec, kv_dtype: KVDType, isa: str
) -> None:
    """With several blocks of positions with a scale each, several spans of tokens, and every tail of a head."""
    options = {"isa": isa, "kv_dtype": kv_dtype}
    prompt, blocks = prompt_of(150, 1), list(range(10))
    alone = runner_of(spec, "Q8_0", **options).forward(batch_of([(0, prompt, blocks)])).copy()
    others = [(0, prompt_of(150, n), [10 * n + j for j in range(10)]) for n in (2, 3)]
    crowd = runner_of(spec, "Q8_0", **options, threads=2).forward(batch_of([*others, (0, prompt, blocks)]))
    np.testing.assert_array_equal(crowd[-150:], alone)
    for sizes in ([64, 86], [65, 1, 84], [1, 63, 1, 85], [149, 1]):
        runner, rows, done = runner_of(spec, "Q8_0", **options, threads=3), [], 0
        for size in sizes:
            rows.append(runner.forward(batch_of([(done, prompt[done : done + size], blocks[::-1])])).copy())
            done += size
        np.testing.assert_array_equal(np.concatenate(rows), alone, err_msg=f"in chunks of {sizes}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("spec", [LLAMA, ODD, replace(LLAMA, vocab_size=1003)], ids=["llama", "odd", "many"])
@pytest.mark.parametrize("num_tokens", [1, 5, 40])
def test_the_largest_logit_of_each_row_is_returned(spec: DecoderSpec, isa: str, num_tokens: int) -> None:
    runner = runner_of(spec, "Q4_1", isa=isa, threads=3)
    for seed in range(3):
        logits = runner.forward(batch_of([(0, prompt_of(num_tokens, seed, spec), [0, 1, 2])]))
        found = runner.likeliest()
        np.testing.assert_array_equal(found.tokens_R, logits.argmax(1))
        np.testing.assert_array_equal(found.highest_R, logits.max(1))


def test_of_equal_largest_logits_the_lowest_token_is_returned() -> None:
    tensors = random_model(LLAMA, "F32")
    rows = tensors["embed.weight"].data.copy()
    rows[:] = rows[0]
    same = {**tensors, "embed.weight": RawTensor("F32", tensors["embed.weight"].shape, rows)}
    runner = NativeRunner(LLAMA, same, num_blocks=64, threads=2)
    runner.forward(batch_of([(0, prompt_of(3, 1), [0])]))
    assert runner.likeliest().tokens_R.tolist() == [0, 0, 0]


def test_no_largest_logit_is_returned_if_a_logit_is_nan() -> None:
    tensors = random_model(LLAMA, "F32")
    broken = RawTensor("F32", tensors["final_norm.weight"].shape, tensors["final_norm.weight"].data.copy())
    broken.data.view(np.float32)[:] = np.nan
    runner = NativeRunner(LLAMA, {**tensors, "final_norm.weight": broken}, num_blocks=64)
    runner.forward(batch_of([(0, prompt_of(3, 1), [0])]))
    assert runner.likeliest().tokens_R.tolist() == [-1, -1, -1]


def test_positions_beyond_the_window_have_no_effect() -> None:
    spec = replace(LLAMA, num_layers=1, sliding_window=20)
    runner, tail = runner_of(spec, "Q8_0"), prompt_of(20, 9)
    one = runner.forward(batch_of([(0, prompt_of(31, 1) + tail, [0, 1, 2, 3])]))[-1].copy()
    other = runner.forward(batch_of([(0, prompt_of(31, 2) + tail, [4, 5, 6, 7])]))[-1].copy()
    np.testing.assert_array_equal(one, other)
    longer = NativeRunner(replace(spec, sliding_window=21), random_model(spec, "Q8_0"), num_blocks=64)
    assert not np.array_equal(longer.forward(batch_of([(0, prompt_of(31, 1) + tail, [0, 1, 2, 3])]))[-1], one)


def test_a_reused_block_shows_nothing_of_its_last_sequence() -> None:
    runner, prompt = runner_of(LLAMA, "Q4_1"), prompt_of(5, 1)
    before = runner.forward(batch_of([(0, prompt, [4])])).copy()
    runner.forward(batch_of([(0, prompt_of(16, 2), [4])]))
    np.testing.assert_array_equal(runner.forward(batch_of([(0, prompt, [4])])), before)


def test_half_precision_keys_and_values_stay_close() -> None:
    batch = batch_of([(0, prompt_of(40, 1), [3, 5, 7])])
    half, full = (runner_of(LLAMA, "F32", weights="f32", kv_dtype=kv_dtype) for kv_dtype in ("f16", "f32"))
    assert 0 < relative_error(half.forward(batch), full.forward(batch)) < 0.02
    assert full.kv_bytes == 2 * half.kv_bytes == 64 * NativeRunner.block_bytes(LLAMA, "f32")


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("isa", ISAS)
def test_keys_and_values_of_eight_bits_stay_close(spec: DecoderSpec, isa: str) -> None:
    """Over prompts, decodes and a window, with head sizes that are whole blocks and those that are not."""
    bytes_, floats = (runner_of(spec, "F32", weights="f32", kv_dtype=kv_dtype, isa=isa) for kv_dtype in ("int8", "f32"))
    prompt = batch_of([(0, prompt_of(75, 1, spec), [3, 5, 7, 9, 11]), (0, prompt_of(4, 2, spec), [2])])
    found, expected = bytes_.forward(prompt).copy(), floats.forward(prompt)
    if spec.num_experts:
        # A token on the edge between two experts may go to the other one; it shows in few rows, and in those alone.
        errors_N = np.sqrt(np.mean((found - expected) ** 2, axis=1)) / expected.std()
        assert np.quantile(errors_N, 0.8) < 0.02
        return
    assert typical_error(found, expected) < 0.02
    later = batch_of([(75, prompt_of(1, 4, spec), [3, 5, 7, 9, 11]), (4, prompt_of(5, 5, spec), [2])])
    assert typical_error(bytes_.forward(later), floats.forward(later)) < 0.02


def test_keys_and_values_of_eight_bits_take_a_byte_each_and_a_scale_for_a_position() -> None:
    values = 2 * LLAMA.num_layers * LLAMA.num_kv_heads * BLOCK_SIZE
    assert NativeRunner.block_bytes(LLAMA, "int8") == values * LLAMA.head_dim + values * 4


@pytest.mark.parametrize("kv_dtype", ["int8", "f16", "f32"])
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["layers.0.k.weight", "layers.0.v.weight", "layers.1.q.weight"])
def test_nan_is_never_hidden_in_the_cache(name: str, isa: str, kv_dtype: KVDType) -> None:
    """With NaN in one head of one layer, the tokens that attend to it get NaN rather than wrong values."""
    tensors = random_model(LLAMA, "F32")
    broken = RawTensor("F32", tensors[name].shape, tensors[name].data.copy())
    broken.data.view(np.float32)[0, 0] = np.nan
    runner = NativeRunner(LLAMA, {**tensors, name: broken}, num_blocks=64, weights="f32", kv_dtype=kv_dtype, isa=isa)
    assert np.isnan(runner.forward(batch_of([(0, prompt_of(20, 1), [3, 5])]))).all()


@pytest.mark.parametrize("kv_dtype", ["int8", "f16", "f32"])
@pytest.mark.parametrize("isa", ISAS)
def test_the_next_sequence_of_a_block_inherits_no_nan(isa: str, kv_dtype: KVDType) -> None:
    tensors = random_model(LLAMA, "F32")
    embed = tensors["embed.weight"].data.copy()
    embed.view(np.float32)[7] = np.nan  # one token that spoils its own positions
    model = {**tensors, "embed.weight": RawTensor("F32", tensors["embed.weight"].shape, embed)}
    spec = replace(LLAMA, tied_head=False)
    model["head.weight"] = tensors["embed.weight"]
    runner = NativeRunner(spec, model, num_blocks=64, weights="f32", kv_dtype=kv_dtype, isa=isa)
    good = batch_of([(0, [1, 2, 3], [4])])
    before = runner.forward(good).copy()
    assert np.isnan(runner.forward(batch_of([(0, [7] * 16, [4])]))).all()
    np.testing.assert_array_equal(runner.forward(good), before)


def test_an_inconsistent_batch_is_refused() -> None:
    runner, good = runner_of(LLAMA, "F32"), batch_of([(0, [1, 2, 3], [0])])
    for wrong, message in [
        (replace(good, tokens=np.array([1, 2, LLAMA.vocab_size], np.int32)), "outside the vocabulary"),
        (replace(good, tokens=np.array([1, -2, 3], np.int32)), "outside the vocabulary"),
        (replace(good, starts=np.array([0, 2], np.int32)), "starts must run"),
        (replace(good, context_lengths=np.array([-1], np.int32)), "negative"),
        (replace(good, context_lengths=np.array([BLOCK_SIZE - 2], np.int32)), "more positions than its block table"),
        (replace(good, block_tables=np.array([[64]], np.int32)), "outside the cache"),
        (replace(good, context_lengths=np.array([2**31 - 1], np.int32)), "more positions than the model"),
        (replace(good, logit_rows=np.array([3], np.int32)), "outside the batch"),
        (replace(good, logit_rows=np.array([2, 1], np.int32)), "must ascend"),
        (replace(good, logit_rows=np.zeros(5000, np.int32)), "must ascend"),
    ]:
        with pytest.raises((ValueError, SequencesRefused), match=message):
            runner.forward(wrong)
    assert np.isfinite(runner.forward(good)).all()


def test_a_position_beyond_the_learned_ones_is_refused() -> None:
    spec = replace(GPT2, max_positions=32)
    runner = runner_of(spec, "F32")
    assert np.isfinite(runner.forward(batch_of([(0, prompt_of(32, 1), [0, 1])]))).all()
    with pytest.raises(SequencesRefused, match="more positions than the model"):
        runner.forward(batch_of([(32, [1], [0, 1, 2])]))


def test_arrays_of_another_dtype_are_refused_not_converted() -> None:
    runner, good = runner_of(LLAMA, "F32"), batch_of([(0, [1, 2, 3], [0])])
    for tokens in (np.array([1, 2, 2**32]), np.array([1.5, 2, 3]), np.arange(6, dtype=np.int32)[::2]):
        with pytest.raises(TypeError):
            runner.forward(replace(good, tokens=tokens))


def test_an_array_of_logits_outlives_the_steps_after_it() -> None:
    runner = runner_of(LLAMA, "Q8_0")
    logits = runner.forward(batch_of([(0, [1], [0])]))
    runner.forward(batch_of([(0, prompt_of(300, 1), list(range(19)))]))
    assert np.isfinite(logits).all()


def test_python_threads_may_call_concurrently() -> None:
    runner, expected = runner_of(LLAMA, "Q8_0", threads=2), runner_of(LLAMA, "Q8_0")

    def call(number: int) -> None:
        table = list(range(number * 19, number * 19 + 19))
        for length in range(1 + number, 300, 30):
            runner.forward(batch_of([(0, prompt_of(length, 1), table)]))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(call, range(3)))
    batch = batch_of([(0, prompt_of(40, 1), [0, 1, 2])])
    np.testing.assert_array_equal(runner.forward(batch), expected.forward(batch))


def test_a_batch_may_want_no_logits() -> None:
    logits = runner_of(LLAMA, "Q8_0").forward(replace(batch_of([(0, [1, 2], [0])]), logit_rows=np.array([], np.int32)))
    assert logits.shape == (0, LLAMA.vocab_size)


def test_an_unknown_kernel_path_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot run the kernel path 'avx1024'"):
        runner_of(LLAMA, "F32", isa="avx1024")


@pytest.mark.parametrize("which", ["rows", "bytes"])
def test_packing_checks_sizes(which: str) -> None:
    model = random_model(LLAMA, "Q8_0")
    q = model["layers.0.q.weight"]
    model["layers.0.q.weight"] = (
        replace(q, data=q.data[:-1]) if which == "rows" else replace(q, data=np.ascontiguousarray(q.data[:, :-1]))
    )
    with pytest.raises(ValueError, match=r"layers\.0\.q: .* another size"):
        NativeRunner(LLAMA, model, num_blocks=4)


@pytest.mark.parametrize("name", ["embed.weight", "layers.1.down.weight", "layers.0.mlp_norm.weight"])
def test_a_tensor_of_another_shape_is_refused_by_name(name: str) -> None:
    model = random_model(replace(LLAMA, vocab_size=187, intermediate_size=128, hidden_size=64), "F32")
    with pytest.raises(ValueError, match=f"{name.removesuffix('.weight')} .*the spec asks for"):
        NativeRunner(LLAMA, random_model(LLAMA, "F32") | {name: model[name]}, num_blocks=4)


def test_a_step_before_all_tensors_are_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "plan_matrices", lambda *_: Plan((), 64))
    batch = batch_of([(0, [1], [0])])
    with pytest.raises(RuntimeError, match=r"embed was never set"):
        NativeRunner(LLAMA, random_model(LLAMA, "F32"), num_blocks=4).forward(batch)


@pytest.mark.parametrize("dtype", ["F32", "Q8_0", "Q4_0", "Q4_1"])
def test_a_matrix_packed_in_parts_is_the_same_as_in_one_piece(dtype: DType, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(LLAMA, dtype)
    batch = batch_of([(0, prompt_of(20, 1), [0, 1])])
    whole = NativeRunner(LLAMA, model, num_blocks=4).forward(batch)
    monkeypatch.setattr(packing, "_BYTES_AT_ONCE", 4096)
    assert NativeRunner(LLAMA, model, num_blocks=4, threads=2).forward(batch).tolist() == whole.tolist()


def test_a_large_matrix_is_never_converted_to_floats_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary of a gigabyte in 16 bits must not take two more as floats while it is packed."""
    sizes = []

    def dequantized(tensor: RawTensor) -> npt.NDArray[np.float32]:
        values = dequantize(tensor)
        sizes.append(values.nbytes)
        return values

    monkeypatch.setattr(packing, "_BYTES_AT_ONCE", 1 << 14)
    monkeypatch.setattr(packing, "dequantize", dequantized)
    NativeRunner(LLAMA, random_model(LLAMA, "F32"), num_blocks=4)
    assert max(sizes) <= 1 << 14 < LLAMA.vocab_size * LLAMA.hidden_size * 4


@pytest.mark.parametrize("offset", [32, 1 << 20])
def test_a_matrix_beyond_the_memory_is_refused(offset: int) -> None:
    runner = NativeRunner(LLAMA, random_model(LLAMA, "F32"), num_blocks=4)._runner
    placement = (-1, "embed", -1, "bytes", LLAMA.vocab_size, LLAMA.hidden_size, offset)
    with pytest.raises(ValueError, match=r"embed lies outside the memory, or across its cache lines"):
        runner.place(_native.memory(1 << 20), [placement])


@pytest.mark.parametrize(
    ("dtype", "packed", "columns", "size", "reason"),
    [
        ("Q8_0", "nibbles", 32, 34, "this dtype cannot be packed that way"),
        ("Q6_K", "bytes", 256, 210, "this dtype cannot be packed that way"),
        ("Q8_0", "bytes", 33, 34, "quantized rows must be whole blocks"),
        ("Q8_0", "bytes", 32, 35, "the data has another size than the columns say"),
        ("F32", "bytes", 0, 128, "there are no columns, or too many"),
        ("Q8_0", "bytes", 32, 34 * 17, "the memory has no room for the rows"),
    ],
)
def test_rows_that_cannot_be_packed_are_refused_by_name(
    dtype: str, packed: str, columns: int, size: int, reason: str
) -> None:
    piece = ("layers.3.q", dtype, packed, columns, np.zeros(size, np.uint8), 0)
    with pytest.raises(ValueError, match=rf"layers\.3\.q: {reason}"):
        _native.pack_rows(_native.Pool(1), [piece], _native.memory(640))


def test_a_nan_weight_makes_its_outputs_nan() -> None:
    model = random_model(LLAMA, "F32")
    down = model["layers.0.down.weight"]
    values = down.data.view(np.float32).copy()
    values[3, 5] = np.nan
    model["layers.0.down.weight"] = replace(down, data=values.view(np.uint8))
    assert np.isnan(NativeRunner(LLAMA, model, num_blocks=4).forward(batch_of([(0, [1], [0])]))).any()


@pytest.mark.parametrize("num_blocks", [0, -1, 2**31])
def test_a_cache_without_blocks_or_with_too_many_is_refused(num_blocks: int) -> None:
    with pytest.raises(ValueError, match="num_blocks must be between 1 and"):
        NativeRunner(LLAMA, {}, num_blocks=num_blocks)


def test_a_cache_beyond_all_memory_is_a_memory_error_with_its_size() -> None:
    spec = replace(LLAMA, num_layers=1024)
    num_bytes = (2**31 - 1) * NativeRunner.block_bytes(spec)
    with pytest.raises(MemoryError, match=f"{num_bytes} bytes in one piece"):
        NativeRunner(spec, {}, num_blocks=2**31 - 1)


@pytest.mark.parametrize("threads", [0, -1, 100_000])
def test_a_pool_has_a_sensible_number_of_threads(threads: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 4096 threads"):
        _native.Pool(threads)


@pytest.mark.parametrize("field", ["hidden_size", "head_dim", "num_kv_heads", "max_positions"])
@pytest.mark.parametrize("value", [0, -16, 2**31])
def test_a_spec_with_impossible_sizes_is_refused_by_name(field: str, value: int) -> None:
    changes: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=f"{field} must be between 1 and"):
        NativeRunner(replace(GPT2, **changes), {}, num_blocks=4)


def run_alone(program: str) -> None:
    """Run the code in a Python process of its own, which may run out of memory or fork."""
    names = "from test_native import *; prompt = prompt_of(900, 1); spec = replace(LLAMA, max_positions=4096)"
    run_script(f"{names}\n{textwrap.dedent(program)}", Path(__file__).parent)


@pytest.mark.process
def test_a_step_that_runs_out_of_memory_leaves_the_runner_usable() -> None:
    run_alone("""
        import resource
        runner = runner_of(replace(spec, intermediate_size=16000), "F32")
        runner.forward(batch_of([(0, [1], [0])]))
        in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + (40 << 20), -1))
        with pytest.raises(MemoryError, match="bytes in one piece"):
            runner.forward(batch_of([(0, prompt, list(range(57)))]))
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        assert np.isfinite(runner.forward(batch_of([(0, prompt[:600], list(range(38)))]))).all()
    """)


@pytest.mark.process
def test_a_forked_process_gets_an_error_instead_of_waiting_for_missing_threads() -> None:
    run_alone("""
        import os, signal
        runner, batch = runner_of(spec, "F32", threads=2), batch_of([(0, [1], [0])])
        runner.forward(batch)
        child = os.fork()
        if not child:
            signal.alarm(20)
            with pytest.raises(RuntimeError, match="fork"):
                runner.forward(batch)
            del runner
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert np.isfinite(runner.forward(batch)).all()
    """)
