"""The CPU runner: packs a model's tensors once and hands the forward pass to C++ (csrc/)."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.architectures import inverse_frequencies
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner import Batch
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

Weights = Literal["auto", "f32", "int8"]
KVDType = Literal["f16", "f32"]

_PACKED_AS_THEY_ARE = ("Q8_0", "Q4_0", "Q4_1")


class NativeRunner:
    """Runs a spec on the CPU's best kernels, or on those that `isa` names.

    weights  "auto": Q8_0, Q4_0 and Q4_1 keep their exact values, everything else becomes 8-bit with a scale for 32
             "int8": all of it 8-bit        "f32": all of it 32-bit floats, for comparisons
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
        kv_dtype: KVDType = "f16",
    ) -> None:
        self.spec, self.num_blocks = spec, num_blocks
        self.pool = _native.Pool(threads)
        rotations = [] if spec.learned_positions else inverse_frequencies(spec).tolist()
        self._runner = _native.Runner(self.pool, spec, rotations, num_blocks, isa or "", kv_dtype == "f16")
        for name, shape in spec.tensor_shapes().items():
            layer, slot = _slot(name)
            if len(shape) == 1:
                self._runner.set_vector(layer, slot, dequantize(tensors[name]))
            else:
                self._set_matrix(layer, slot, tensors[name], weights)

    def forward(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Write the batch into the KV cache and return logits_RV. The array is valid until the next call."""
        return self._runner.forward(
            batch.tokens, batch.starts, batch.context_lengths, batch.block_tables, batch.logit_rows
        )

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
    def block_bytes(spec: DecoderSpec, kv_dtype: KVDType = "f16") -> int:
        """Return the bytes that one block of the KV cache takes in all layers together."""
        return _native.block_bytes(spec, kv_dtype == "f16")

    def _set_matrix(self, layer: int, slot: str, tensor: RawTensor, weights: Weights) -> None:
        if weights == "auto" and tensor.dtype in _PACKED_AS_THEY_ARE:
            dtype, data = tensor.dtype, np.ascontiguousarray(tensor.data)
        else:
            dtype, data = "F32", dequantize(tensor).view(np.uint8)
        rows, columns = tensor.shape
        self._runner.set_matrix(layer, slot, dtype, rows, columns, data, weights == "f32")


def _slot(name: str) -> tuple[int, str]:
    """Return the layer (-1 outside of the layers) and the native name: "layers.3.q.bias" -> (3, "q_bias")."""
    *path, kind = name.split(".")
    slot = path[-1] if kind == "weight" else f"{path[-1]}_bias"
    return (int(path[1]) if path[0] == "layers" else -1), slot
