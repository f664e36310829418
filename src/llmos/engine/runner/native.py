"""The CPU runner: packs a model's tensors once and hands the forward pass to C++ (csrc/)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.architectures import inverse_frequencies
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner import Batch, Likeliest
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import BLOCK_LENGTH, DType, RawTensor

if TYPE_CHECKING:
    from llmos.engine.adapters import Adapter

Weights = Literal["auto", "f32", "int8", "int4"]
KVDType = Literal["int8", "f16", "f32"]

Rows = tuple[int, str, int, str, int, int, int, npt.NDArray[np.uint8], bool]
"""What C++ packs: layer, name and number (-1 for what isn't numbered), dtype, rows and columns of the whole matrix, the
first row of these, their bytes, whether they stay floats."""

Native = _native.Runner | _native.Encoder

_PACKED_AS_THEY_ARE = ("Q8_0", "Q4_0", "Q4_1")

_BYTES_AT_ONCE = 64 << 20
"""Rows are packed in batches of so many bytes: one call of C++ for many small matrices, so that it seldom waits for the
GIL, and several for a large one, so that no second copy of it, as floats, lies in memory."""

_GROUP_ROWS = 16
"""Rows that are packed together; see csrc/matrix.h."""


class NativeRunner:
    """Runs a spec on the CPU's best kernels, or on those that `isa` names.

    weights  "auto": Q8_0, Q4_0 and Q4_1 keep their exact values, everything else becomes 8-bit with a scale for 32
             "int8": all of it 8-bit        "f32": all of it 32-bit floats, for comparisons
             "int4": the layers 4-bit with a scale and a minimum for 32, the embedding and the head 8-bit
    """

    def __init__(
        self,
        spec: DecoderSpec,
        tensors: Mapping[str, RawTensor],
        *,
        num_blocks: int,
        threads: int = 1,
        isa: str | None = None,
        weights: Weights = "auto",
        kv_dtype: KVDType = "int8",
    ) -> None:
        self.spec, self.num_blocks = spec, num_blocks
        self.pool = _native.Pool(threads)
        rotations = inverse_frequencies(spec).tolist()
        self._runner = _native.Runner(self.pool, spec, rotations, num_blocks, isa or "", kv_dtype)
        shapes = spec.tensor_shapes()
        set_vectors(self._runner, [name for name, shape in shapes.items() if len(shape) == 1], tensors)
        pack_matrices(
            self._runner, [name for name, shape in shapes.items() if len(shape) > 1], tensors, weights, self.pool
        )

    def forward(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Write the batch into the KV cache and return logits_RV. The array is valid until the next call."""
        return self._runner.forward(
            batch.tokens, batch.starts, batch.context_lengths, batch.block_tables, batch.logit_rows, batch.adapters
        )

    def set_adapter(self, number: int, adapter: "Adapter | None") -> None:
        """Keep an adapter under a number, in the place of what was there; None: nothing."""
        if adapter is None:
            self._runner.set_adapter(number, None)
            return
        pairs = [(*_slot(f"{name}.weight")[:2], each.down, each.up) for name, each in adapter.items()]
        self._runner.set_adapter(number, pairs)

    def likeliest(self) -> Likeliest:
        """Return the largest logit of each row of the last step, found while the head was computed."""
        return Likeliest(*self._runner.likeliest())

    def set_profiling(self, is_on: bool) -> None:
        """Time the regions of every step from here on, or stop doing so."""
        self._runner.set_profiling(is_on)

    def profile(self) -> dict[str, float]:
        """Return the seconds that the first thread spent in each region of a step since set_profiling(True)."""
        return self._runner.profile()

    @property
    def isa(self) -> str:
        return self._runner.isa

    @property
    def weight_bytes(self) -> int:
        return self._runner.weight_bytes

    @property
    def kv_bytes(self) -> int:
        return self._runner.kv_bytes

    @staticmethod
    def block_bytes(spec: DecoderSpec, kv_dtype: KVDType = "int8") -> int:
        """Return the bytes that one block of the KV cache takes in all layers together."""
        return _native.block_bytes(spec, kv_dtype)


def set_vectors(runner: Native, names: Iterable[str], tensors: Mapping[str, RawTensor]) -> None:
    """Hand these tensors over as they are, as floats."""
    # Vectors that are numbered within a layer, one for each head, are one behind the other here.
    parts: defaultdict[tuple[int, str], list[npt.NDArray[np.float32]]] = defaultdict(list)
    for name in names:
        parts[_slot(name)[:2]].append(dequantize(tensors[name]).reshape(-1))
    for slot, vectors in parts.items():
        runner.set_vector(*slot, np.concatenate(vectors))


def pack_matrices(
    runner: Native, names: Iterable[str], tensors: Mapping[str, RawTensor], weights: Weights, pool: _native.Pool
) -> None:
    """Pack these tensors, a few of them at a time."""
    batch: list[Rows] = []
    num_bytes = 0
    for name in names:
        for rows in _rows(name, tensors[name], weights, pool):
            batch.append(rows)
            num_bytes += rows[-2].nbytes
            if num_bytes >= _BYTES_AT_ONCE:
                runner.add_rows(batch)
                batch, num_bytes = [], 0
    runner.add_rows(batch)


def _rows(name: str, tensor: RawTensor, weights: Weights, pool: _native.Pool) -> Iterator[Rows]:
    """Yield the tensor in parts of at most _BYTES_AT_ONCE, as Runner.add_rows takes them."""
    layer, slot, number = _slot(name)
    num_rows, num_columns = tensor.shape
    # A router is small, and a token that goes to another expert is another token.
    is_float = weights == "f32" or slot == "router"
    # Every logit reads the head, and a token all that it is from its one row of the embedding: these stay 8-bit.
    is_fitted = weights == "int4" and layer >= 0 and not is_float and num_columns % BLOCK_LENGTH["Q4_1"] == 0
    as_they_are = _PACKED_AS_THEY_ARE if weights in ("auto", "int4") and not is_float else ()
    kept = ("Q4_0", "Q4_1") if is_fitted else as_they_are
    row_bytes = tensor.data.shape[1] if tensor.dtype in kept else 4 * num_columns
    step = max(_BYTES_AT_ONCE // row_bytes // _GROUP_ROWS, 1) * _GROUP_ROWS
    for first in range(0, num_rows, step):
        part = tensor.take_rows(slice(first, first + step))
        dtype: DType
        if tensor.dtype in kept:
            dtype, data = tensor.dtype, np.ascontiguousarray(part.data)
        elif is_fitted:
            dtype, data = "Q4_1", _native.fit_q4_1(pool, dequantize(part))
        else:
            dtype, data = "F32", dequantize(part).view(np.uint8)
        yield (layer, slot, number, dtype, num_rows, num_columns, first, data, is_float)


def _slot(name: str) -> tuple[int, str, int]:
    """Return the layer (-1 outside of the layers), the native name and the number within the layer (-1 for none):
    "layers.3.q.bias" -> (3, "q_bias", -1), "layers.3.up.5.weight" -> (3, "up", 5)."""
    *path, kind = name.split(".")
    layer, parts = (int(path[1]), path[2:]) if path[0] == "layers" else (-1, path)
    number = int(parts[1]) if len(parts) > 1 else -1
    return layer, parts[0] if kind == "weight" else f"{parts[0]}_bias", number
