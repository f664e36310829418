"""How fast this machine runs a decoder: a short measurement with the native runner itself, kept in a file.

Made-up decoders, too large for the caches, are timed at the numbers of rows that a step may have. A layer's time is
taken for a sum, and three decoders of different widths tell its parts apart:

    values of its matrices * seconds_per_value      the roofline: bytes to read, or with many rows integer products
  + seconds_per_layer                               the barriers between a layer's regions
  + columns * seconds_per_layer_column              where a product of many short rows begins anew
  + rows * seconds_per_row                          what a row costs however wide it is
  + rows * columns * seconds_per_column             norms, rotations, rounding to bytes, activations

and what attention costs is timed with a long context.
"""

import contextlib
import json
import math
import os
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmos.core.hardware import inspect_hardware
from llmos.core.progress import Progress, no_progress
from llmos.engine import _native
from llmos.engine.runner import BLOCK_SIZE, Batch
from llmos.engine.runner.native import KVDType, NativeRunner
from llmos.engine.runner.packing import Memory, Packing, Plan
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import BLOCK_BYTES, DType, RawTensor

VERSION = 2
"""Of what is measured, and how: another one measures again."""

ROWS = (1, 2, 4, 8, 16, 32, 64, 256)
"""Up to 64 each row is a sequence of its own; the last is a chunk of one prompt."""

_MEASURED: Mapping[Packing, DType] = {"bytes": "Q8_0", "affine_nibbles": "Q4_1"}
_LIKE: Mapping[Packing, tuple[Packing, float]] = {
    "bytes": ("bytes", 1),
    "nibbles": ("affine_nibbles", 1),
    "affine_nibbles": ("affine_nibbles", 1),
    "floats": ("bytes", 3.8),  # which are for comparisons: as if they only had more to read
}
_LONG, _LONG_PROMPT = 1024, 2048
"""Positions before the rows that attention is timed with: of some streams, and of a prompt's chunk."""
_STREAMS = 8
"""That are timed so: their keys and values together are too large for the caches."""


_NUM_BLOCKS = _STREAMS * (_LONG // BLOCK_SIZE + 1)


def _decoder(hidden: int, intermediate: int, num_layers: int) -> DecoderSpec:
    return DecoderSpec(
        family="llama", vocab_size=256, hidden_size=hidden, num_layers=num_layers, num_heads=hidden // 64,
        num_kv_heads=hidden // 256, head_dim=64, intermediate_size=intermediate, max_positions=16384, tied_head=True,
    )  # fmt: skip


# Of about 200 MB in bytes, but the first, which is enough, and the last, which is what a small model is: in part in the
# last cache. No power of two, whose rows would fall on the same places of a cache.
_NARROW, _MIDDLE, _WIDE, _SMALL = (
    _decoder(256, 544, 200),
    _decoder(768, 2208, 24),
    _decoder(1280, 3424, 11),
    _decoder(1280, 3424, 4),
)
_ATTENDING = tuple(replace(_MIDDLE, num_kv_heads=each) for each in (6, 2))
"""What heads cost that share keys and values, and these themselves, is told apart by two."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """What a value of a matrix in one packing costs, by the number of rows of ROWS."""

    seconds_per_value: tuple[float, ...]
    seconds_per_value_small: tuple[float, ...]
    """The same where all matrices together are as small as `small_bytes`."""
    large_bytes: int
    small_bytes: int

    def seconds(self, num_values: int, rows: float, num_bytes: int) -> float:
        """Return what matrices of so many values cost, in a model of so many bytes."""
        large, small = (_at(rows, each) for each in (self.seconds_per_value, self.seconds_per_value_small))
        span = math.log(self.large_bytes / self.small_bytes)
        share = min(1.0, max(0.0, math.log(max(1, num_bytes) / self.small_bytes) / span))
        return num_values * (small + share * (large - small))


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What was measured, and where."""

    version: int
    cpu: str
    isa: str
    threads: int
    measured_at: float
    """Seconds since 1970."""
    rates: Mapping[str, Rates]
    """By packing."""
    seconds_per_layer: float
    seconds_per_layer_column: float
    decoding: "PerRow"
    prefilling: "PerRow"
    attention: Mapping[str, "Attention"]
    """By kv_dtype."""

    def matrix_seconds(self, packing: Packing, num_values: int, rows: float, model_bytes: int) -> float:
        """Return what matrices of so many values cost with so many rows, in a model of so many bytes."""
        like, factor = _LIKE[packing]
        return factor * self.rates[like].seconds(num_values, rows, model_bytes)

    @property
    def bytes_per_second(self) -> float:
        """Weights read while one row is computed: the memory's bandwidth, as far as the kernels can use it."""
        return 1.0625 / self.rates["bytes"].seconds_per_value[0]

    @property
    def operations_per_second(self) -> float:
        """Integer products and sums with many rows."""
        return 2 * ROWS[-2] / self.rates["bytes"].seconds_per_value[-2]

    def layer_seconds(self, columns: int, rows: float, *, prefill: bool) -> float:
        """Return what a layer of hidden + intermediate columns costs beside its matrices and its attention."""
        each = self.prefilling if prefill else self.decoding
        once = self.seconds_per_layer + columns * self.seconds_per_layer_column
        return once + rows * (each.seconds_per_row + columns * each.seconds_per_column)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """What each position costs that a row attends to."""

    per_kv_value: float
    """While it decodes: for each value of a key, of all key/value heads."""
    per_value: float
    """And for each value of a query, of all heads."""
    per_value_alone: float
    """Instead of both, where there are so few streams that each head goes alone (csrc/decoder.cpp, plan_attention)."""
    prefilling: float
    """In a chunk of a prompt, whose rows share what they read: for each value of a query."""

    def decoding(self, spec: DecoderSpec, streams: int, threads: int) -> float:
        """Return what a position costs in a layer, for one stream."""
        if streams * spec.num_kv_heads < 4 * threads:
            return self.per_value_alone * spec.attention_size * _waiting(streams * spec.num_heads, threads)
        even = self.per_kv_value * spec.kv_size + self.per_value * spec.attention_size
        return even * _waiting(streams * spec.num_kv_heads, threads)


@dataclass(frozen=True, kw_only=True, slots=True)
class PerRow:
    seconds_per_row: float
    seconds_per_column: float


def _waiting(num_units: int, threads: int) -> float:
    """Return how much longer units of work take that don't divide evenly among the threads."""
    return math.ceil(num_units / threads) * threads / num_units


def known_machine(path: Path, *, threads: int, isa: str | None = None) -> Machine | None:
    """Return what was measured before; None where nothing was, or not on such a machine with as many threads."""
    try:
        fields = json.loads(path.read_text())
        rates = {name: Rates(**_tuples(each)) for name, each in fields.pop("rates").items()}
        attention = {name: Attention(**each) for name, each in fields.pop("attention").items()}
        decoding, prefilling = PerRow(**fields.pop("decoding")), PerRow(**fields.pop("prefilling"))
        machine = Machine(rates=rates, attention=attention, decoding=decoding, prefilling=prefilling, **fields)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
    hardware = inspect_hardware()
    wanted = (VERSION, hardware.cpu, isa or hardware.isas[0], threads)
    return machine if (machine.version, machine.cpu, machine.isa, machine.threads) == wanted else None


def keep_machine(path: Path, machine: Machine) -> None:
    """Write what was measured. Without the room for it, the next one measures again."""
    temporary = path.with_suffix(f".{os.getpid()}.part")
    with contextlib.suppress(OSError):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(machine), indent=1))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def measure_machine(*, threads: int, isa: str | None = None, progress: Progress = no_progress) -> Machine:
    """Time the decoders, a few seconds in all. Meant for a moment in which nothing else computes."""
    timed: dict[tuple[Packing, DecoderSpec], tuple[float, ...]] = {}
    num_done = 0

    def done() -> None:
        nonlocal num_done
        num_done += 1
        progress("measuring this machine", num_done, 8)

    for packing in _MEASURED:
        for spec in (_NARROW, _MIDDLE, _WIDE, _SMALL) if packing == "bytes" else (_WIDE, _SMALL):
            runner = _runner(spec, packing, threads, isa)
            timed[packing, spec] = tuple(_usual_seconds(runner, _batch(each)) for each in ROWS)
            name = runner.isa
            del runner
            done()
    attention: dict[str, Attention] = {}
    kv_dtypes: tuple[KVDType, ...] = ("int8", "f16")
    for kv_dtype in kv_dtypes:
        costs = []
        for spec in _ATTENDING:
            runner = _runner(spec, "bytes", threads, isa, kv_dtype)
            costs.append(_attended(runner, _STREAMS, _LONG) / _waiting(_STREAMS * spec.num_kv_heads, threads))
            alone = _attended(runner, 1, _STREAMS * _LONG) / spec.attention_size / _waiting(spec.num_heads, threads)
            in_prompt = _attended(runner, ROWS[-1], _LONG_PROMPT) / spec.attention_size
            del runner
        amounts = [np.array([spec.kv_size, spec.attention_size], float) for spec in _ATTENDING]
        per_kv_value, each_value = _least_squares(amounts, [max(cost, 1e-12) for cost in costs])
        attention[kv_dtype] = Attention(
            per_kv_value=per_kv_value, per_value=each_value, per_value_alone=alone, prefilling=in_prompt
        )
        done()
    attention["f32"] = attention["f16"]  # which are for comparisons
    specs = (_NARROW, _MIDDLE, _WIDE)
    per_layer, per_layer_column, decoding, prefilling = _parts(
        {s: timed["bytes", s] for s in specs}, attention["int8"].prefilling
    )

    def per_value(packing: Packing, spec: DecoderSpec) -> tuple[float, ...]:
        values = []
        for rows, seconds in zip(ROWS, timed[packing, spec], strict=True):
            each = prefilling if rows == ROWS[-1] else decoding
            rest = (
                per_layer
                + per_layer_column * _columns(spec)
                + rows * (each.seconds_per_row + _columns(spec) * each.seconds_per_column)
            )
            if rows == ROWS[-1]:
                rest += _within(spec) * attention["int8"].prefilling
            # Where the parts can't be told apart, most of it is the matrices.
            values.append(max(seconds / 2, seconds - spec.num_layers * rest) / _num_values(spec))
        return tuple(values)

    rates: dict[str, Rates] = {
        packing: Rates(
            seconds_per_value=per_value(packing, _WIDE),
            seconds_per_value_small=per_value(packing, _SMALL),
            large_bytes=_plan_bytes(_WIDE, packing),
            small_bytes=_plan_bytes(_SMALL, packing),
        )
        for packing in _MEASURED
    }
    return Machine(
        version=VERSION,
        cpu=inspect_hardware().cpu,
        isa=name,
        threads=threads,
        measured_at=time.time(),
        rates=rates,
        seconds_per_layer=per_layer,
        seconds_per_layer_column=per_layer_column,
        decoding=decoding,
        prefilling=prefilling,
        attention=attention,
    )


def _runner(
    spec: DecoderSpec, packing: Packing, threads: int, isa: str | None, kv_dtype: KVDType = "int8"
) -> NativeRunner:
    tensors = _MadeUp(spec, _MEASURED[packing])
    return NativeRunner(
        spec, tensors, num_blocks=_NUM_BLOCKS, threads=threads, isa=isa, kv_dtype=kv_dtype, matrices=_random_matrices
    )


def _random_matrices(plan: Plan, tensors: Mapping[str, RawTensor], pool: _native.Pool) -> Memory:
    """Return a model's matrices as they might be: numbers of a usual size. All matrices of a shape are the same one."""
    memory = _native.memory(plan.num_bytes)
    rng = np.random.default_rng(1)
    made: dict[tuple[int, int], Memory] = {}
    for each in plan.placements:
        packed = made.get((each.rows, each.columns))
        if packed is None:
            blocks = rng.integers(0, 256, (each.rows, each.columns // 32, BLOCK_BYTES[each.dtype]), dtype=np.uint8)
            scale = np.float16(each.columns**-0.5 / (73 if each.packing == "bytes" else 4.6))
            blocks[..., :2] = np.frombuffer(scale.tobytes(), np.uint8)
            if each.packing == "affine_nibbles":
                blocks[..., 2:4] = np.frombuffer(np.float16(-7.5 * scale).tobytes(), np.uint8)
            packed = made[each.rows, each.columns] = _native.memory(each.num_bytes)
            piece = (each.label, each.dtype, each.packing, each.columns, blocks.reshape(-1), 0)
            _native.pack_rows(pool, [piece], packed)
        memory[each.offset : each.offset + each.num_bytes] = packed
    return memory


class _MadeUp(dict[str, RawTensor]):
    """Norms of ones, and matrices of which only the dtype is asked for."""

    def __init__(self, spec: DecoderSpec, dtype: DType) -> None:
        ones = np.ones((1, spec.hidden_size), np.float32).view(np.uint8)
        super().__init__(
            {
                name: RawTensor("F32" if len(shape) == 1 else dtype, shape, ones)
                for name, shape in spec.tensor_shapes().items()
            }
        )


def _batch(rows: int, context: int = 0, first_block: int = 0) -> Batch:
    """So many sequences that decode, or a chunk of one prompt."""
    num_sequences, length = (1, rows) if rows == ROWS[-1] else (rows, 1)
    num_blocks = -(-(context + length) // BLOCK_SIZE)
    starts = np.arange(num_sequences + 1, dtype=np.int32) * np.int32(length)
    return Batch(
        tokens=np.ones(rows, np.int32),
        starts=starts,
        context_lengths=np.full(num_sequences, context, np.int32),
        block_tables=np.arange(first_block, first_block + num_sequences * num_blocks, dtype=np.int32).reshape(
            num_sequences, -1
        ),
        logit_rows=starts[1:] - np.int32(1),
    )


def _usual_seconds(runner: NativeRunner, batch: Batch) -> float:
    """Return the median of several times: serving meets what else the machine does, too."""
    runner.forward(batch)
    times: list[float] = []
    while len(times) < 5 or (len(times) < 40 and sum(times) < 0.4):
        began = time.perf_counter()
        runner.forward(batch)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _attended(runner: NativeRunner, rows: int, context: int) -> float:
    """Return what a position costs that a row attends to, in a layer."""
    spec = runner.spec
    # A token in every block: memory that was never written is one page of zeros, read again and again.
    for first in range(0, _NUM_BLOCKS, ROWS[-2]):
        runner.forward(_batch(min(ROWS[-2], _NUM_BLOCKS - first), first_block=first))
    more = _usual_seconds(runner, _batch(rows, context)) - _usual_seconds(runner, _batch(rows))
    return max(0.0, more) / (spec.num_layers * rows * context)


def _within(spec: DecoderSpec) -> int:
    """Values that the rows of a chunk attend to in each other, in a layer."""
    return spec.attention_size * ROWS[-1] * ROWS[-1] // 2


def _parts(
    timed: Mapping[DecoderSpec, Sequence[float]], seconds_per_attended: float
) -> tuple[float, float, PerRow, PerRow]:
    """Return what a layer costs, and a column of it, and a row while decoding and in a prompt, from three decoders'
    times."""
    last = len(ROWS) - 1
    rows, seconds = [], []
    for spec, times in timed.items():
        for i, n in enumerate(ROWS[:last]):
            values = np.zeros(last)
            values[i] = _num_values(spec)
            columns = _columns(spec)
            rows.append(np.concatenate([values, spec.num_layers * np.array([1, columns, n, n * columns], float)]))
            seconds.append(times[i])
    *_, per_layer, per_layer_column, per_row, per_column = _least_squares(rows, seconds)
    n = ROWS[last]
    prompt = [np.array([_num_values(s), s.num_layers * n, s.num_layers * n * _columns(s)], float) for s in timed]
    left = [
        max(
            t[last] / 2,
            t[last] - s.num_layers * (per_layer + _columns(s) * per_layer_column + _within(s) * seconds_per_attended),
        )
        for s, t in timed.items()
    ]
    _, prompt_row, prompt_column = _least_squares(prompt, left)
    return (
        per_layer,
        per_layer_column,
        PerRow(seconds_per_row=per_row, seconds_per_column=per_column),
        PerRow(seconds_per_row=prompt_row, seconds_per_column=prompt_column),
    )


def _least_squares(amounts: Sequence[npt.NDArray[np.float64]], seconds: Sequence[float]) -> list[float]:
    """Return what one of each amount costs, by the least squared relative error. Nothing costs less than nothing."""
    matrix = np.array(amounts) / np.array(seconds)[:, None]
    kept = list(range(matrix.shape[1]))
    while True:
        scale = np.abs(matrix[:, kept]).max(axis=0)
        found = np.linalg.lstsq(matrix[:, kept] / scale, np.ones(len(matrix)), rcond=None)[0] / scale
        if (found >= 0).all():
            break
        kept.remove(kept[int(np.argmin(found * scale))])
    costs = [0.0] * matrix.shape[1]
    for i, cost in zip(kept, found, strict=True):
        costs[i] = float(cost)
    return costs


def _columns(spec: DecoderSpec) -> int:
    return spec.hidden_size + spec.intermediate_size


def _num_values(spec: DecoderSpec) -> int:
    shapes = spec.tensor_shapes()
    return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith("layers.") and len(shape) > 1)


def _plan_bytes(spec: DecoderSpec, packing: Packing) -> int:
    return NativeRunner.plan(spec, lambda _: _MEASURED[packing]).num_bytes


def _at(rows: float, costs: Iterable[float]) -> float:
    """Return the cost of a step with so many rows: straight lines between the numbers that were measured, and from the
    last one on."""
    values = list(costs)
    if rows >= ROWS[-1]:
        return values[-1] * rows / ROWS[-1]
    return float(np.interp(rows, ROWS, values))


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
