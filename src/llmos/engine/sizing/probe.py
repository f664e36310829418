"""Random decoders, and the times of their steps: the raw measurements behind a MachineProfile.

The decoders have random weights and run on the native runner itself, so what is timed is what serves.
"""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from llmos.engine import _native
from llmos.engine.runner import BLOCK_SIZE, Batch
from llmos.engine.runner.native import KVDType, NativeRunner
from llmos.engine.runner.packing import Memory, Packing, Plan
from llmos.engine.sizing.machine import ROWS
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import BLOCK_BYTES, DType, RawTensor

DTYPE_OF: Mapping[Packing, DType] = {"bytes": "Q8_0", "affine_nibbles": "Q4_1"}
"""The packings that are measured, and the dtype that each is packed from."""

NUM_STREAMS = 8
"""Streams that attention is timed with while decoding: together their keys and values are too large for the caches."""
STREAM_CONTEXT, PROMPT_CONTEXT = 1024, 2048
"""Positions before the rows that attention is timed with, of a stream and of a prompt's chunk."""

_NUM_BLOCKS = NUM_STREAMS * (STREAM_CONTEXT // BLOCK_SIZE + 1)


def _decoder(hidden: int, intermediate: int, num_layers: int) -> DecoderSpec:
    return DecoderSpec(
        family="llama", vocab_size=256, hidden_size=hidden, num_layers=num_layers, num_heads=hidden // 64,
        num_kv_heads=hidden // 256, head_dim=64, intermediate_size=intermediate, max_positions=16384, tied_head=True,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeModels:
    """The decoders that are timed. Three widths tell the parts of a layer's time apart.

    The middle and wide one take about 200 MB in bytes, the narrow one less, which is enough. No size is a power of two,
    since the rows of such a matrix compete for the same lines of a cache.
    """

    narrow: DecoderSpec = field(default_factory=lambda: _decoder(256, 544, 200))
    middle: DecoderSpec = field(default_factory=lambda: _decoder(768, 2208, 24))
    wide: DecoderSpec = field(default_factory=lambda: _decoder(1280, 3424, 11))
    small: DecoderSpec = field(default_factory=lambda: _decoder(1280, 3424, 4))
    """The size of a small model: it fits in part into the last-level cache."""
    seconds_each: float = 0.4
    """The time after which a step isn't repeated any more."""

    @property
    def attending(self) -> tuple[DecoderSpec, ...]:
        """Decoders whose heads share keys and values in different ways, which tells the costs of both apart."""
        return tuple(replace(self.middle, num_kv_heads=each) for each in (6, 2))

    def with_packing(self, packing: Packing) -> tuple[DecoderSpec, ...]:
        """Return the decoders that are timed in this packing."""
        return (self.narrow, self.middle, self.wide, self.small) if packing == "bytes" else (self.wide, self.small)


def make_runner(
    spec: DecoderSpec, packing: Packing, *, threads: int, isa: str | None, kv_dtype: KVDType = "int8"
) -> NativeRunner:
    """Return a runner of the decoder with random weights."""
    ones = np.ones((1, spec.hidden_size), np.float32).view(np.uint8)
    # Norms of ones. Of a matrix, only the dtype is asked for: _random_matrices() makes its values.
    tensors = {
        name: RawTensor("F32" if len(shape) == 1 else DTYPE_OF[packing], shape, ones)
        for name, shape in spec.tensor_shapes().items()
    }
    return NativeRunner(
        spec, tensors, num_blocks=_NUM_BLOCKS, threads=threads, isa=isa, kv_dtype=kv_dtype, packer=_random_matrices
    )


def time_steps(runner: NativeRunner, seconds_each: float) -> tuple[float, ...]:
    """Return the seconds of a step without context, for each number of rows in ROWS."""
    return tuple(_median_seconds(runner, _batch(rows), seconds_each) for rows in ROWS)


def time_attention(runner: NativeRunner, rows: int, context: int, seconds_each: float) -> float:
    """Return the seconds of one position that one row attends to, in one layer, behind `context` positions."""
    spec = runner.spec
    # A token is written into every block first: memory that was never written is one page of zeros, which stays cached.
    for first in range(0, _NUM_BLOCKS, ROWS[-2]):
        runner.forward(_batch(min(ROWS[-2], _NUM_BLOCKS - first), first_block=first))
    without, behind = (_median_seconds(runner, _batch(rows, each), seconds_each) for each in (0, context))
    return max(0.0, behind - without) / (spec.num_layers * rows * context)


def _batch(rows: int, context: int = 0, first_block: int = 0) -> Batch:
    """Return `rows` sequences that decode, or, for the last number of ROWS, a chunk of one prompt."""
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


def _median_seconds(runner: NativeRunner, batch: Batch, seconds_each: float) -> float:
    """Return the median seconds of a step. Not the minimum: serving also shares the machine with its other work."""
    runner.forward(batch)
    times: list[float] = []
    while len(times) < 5 or (len(times) < 40 and sum(times) < seconds_each):
        started_at = time.perf_counter()
        runner.forward(batch)
        times.append(time.perf_counter() - started_at)
    return statistics.median(times)


def _random_matrices(plan: Plan, tensors: Mapping[str, RawTensor], pool: _native.Pool) -> Memory:
    """Return packed random matrices with values of a usual size. All matrices of one shape are the same."""
    memory = _native.memory(plan.num_bytes)
    rng = np.random.default_rng(1)
    packed_of: dict[tuple[int, int], Memory] = {}
    for each in plan.placements:
        packed = packed_of.get((each.rows, each.columns))
        if packed is None:
            blocks = rng.integers(0, 256, (each.rows, each.columns // 32, BLOCK_BYTES[each.dtype]), dtype=np.uint8)
            scale = np.float16(each.columns**-0.5 / (73 if each.packing == "bytes" else 4.6))
            blocks[..., :2] = np.frombuffer(scale.tobytes(), np.uint8)
            if each.packing == "affine_nibbles":
                blocks[..., 2:4] = np.frombuffer(np.float16(-7.5 * scale).tobytes(), np.uint8)
            packed = packed_of[each.rows, each.columns] = _native.memory(each.num_bytes)
            piece = (each.label, each.dtype, each.packing, each.columns, blocks.reshape(-1), 0)
            _native.pack_rows(pool, [piece], packed)
        memory[each.offset : each.offset + each.num_bytes] = packed
    return memory
