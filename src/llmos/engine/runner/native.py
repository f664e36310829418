"""The CPU runner: packs a model's tensors once and hands the forward pass to C++ (csrc/)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.architectures import inverse_frequencies
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner import Batch, Likeliest
from llmos.engine.runner.packing import Memory, Plan, Weights, pack, plan_matrices, slot_of
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import DType, RawTensor, dtype_of

if TYPE_CHECKING:
    from llmos.engine.checkpoint.adapters import Adapter

KVDType = Literal["int8", "f16", "f32"]

Native = _native.Runner | _native.Encoder

Matrices = Callable[[Plan, Mapping[str, RawTensor], _native.Pool], Memory]
"""Packs what the plan says, or knows where it lies packed already. The memory may be one that can only be read."""


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
        matrices: Matrices = pack,
    ) -> None:
        self.spec, self.num_blocks = spec, num_blocks
        self.pool = _native.Pool(threads)
        rotations = inverse_frequencies(spec).tolist()
        self._runner = _native.Runner(self.pool, spec, rotations, num_blocks, isa or "", kv_dtype)
        shapes = spec.tensor_shapes()
        set_vectors(self._runner, [name for name, shape in shapes.items() if len(shape) == 1], tensors)
        plan = self.plan(spec, lambda name: dtype_of(tensors, name), weights)
        self._runner.place(matrices(plan, tensors, self.pool), [each.for_native() for each in plan.placements])

    @staticmethod
    def plan(spec: DecoderSpec, dtype_of: Callable[[str], DType], weights: Weights = "auto") -> Plan:
        """Return where the spec's matrices lie when they are packed."""
        matrices = {name: shape for name, shape in spec.tensor_shapes().items() if len(shape) > 1}
        return plan_matrices(matrices, dtype_of, lambda _: weights)

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
        pairs = [(*slot_of(f"{name}.weight")[:2], each.down, each.up) for name, each in adapter.items()]
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
        parts[slot_of(name)[:2]].append(dequantize(tensors[name]).reshape(-1))
    for slot, vectors in parts.items():
        runner.set_vector(*slot, np.concatenate(vectors))
