"""Tokens -> vectors on the CPU: packs an encoder's tensors once and hands the forward pass to C++ (csrc/encoder.h)."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.encoder_spec import EncoderSpec
from llmos.engine.runner.native import Matrices, set_vectors
from llmos.engine.runner.packing import Plan, Weights, pack, plan_matrices
from llmos.engine.tensors import DType, RawTensor, dtype_of

_TABLES = ("positions.weight", "types.weight")
"""A token reads one row of each, as it is."""


class NativeEncoder:
    """Runs a spec on the CPU's best kernels, or on those that `isa` names. `weights` as of a NativeRunner; "f32"
    computes everything in 32-bit floats, keys and values too."""

    def __init__(
        self,
        spec: EncoderSpec,
        tensors: Mapping[str, RawTensor],
        *,
        threads: int = 1,
        isa: str | None = None,
        weights: Weights = "auto",
        matrices: Matrices = pack,
    ) -> None:
        self.spec = spec
        self.pool = _native.Pool(threads)
        self._encoder = _native.Encoder(self.pool, spec, isa or "", weights == "f32")
        vectors = [name for name, shape in spec.tensor_shapes().items() if _is_vector(name, shape)]
        set_vectors(self._encoder, vectors, tensors)
        plan = self.plan(spec, lambda name: dtype_of(tensors, name), weights)
        self._encoder.place(matrices(plan, tensors, self.pool), [each.for_native() for each in plan.placements])

    @staticmethod
    def plan(spec: EncoderSpec, dtype_of: Callable[[str], DType], weights: Weights = "auto") -> Plan:
        """Return where the spec's matrices lie when they are packed."""
        matrices = {name: shape for name, shape in spec.tensor_shapes().items() if not _is_vector(name, shape)}
        return plan_matrices(matrices, dtype_of, lambda _: weights)

    def forward(self, tokens_N: npt.NDArray[np.int32], starts: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Return one pooled vector for each sequence, [S, hidden]. Sequence s is tokens_N[starts[s]:starts[s + 1]]."""
        return self._encoder.forward(tokens_N, starts)

    @property
    def isa(self) -> str:
        return self._encoder.isa

    @property
    def weight_bytes(self) -> int:
        return self._encoder.weight_bytes


def _is_vector(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 1 or name in _TABLES
