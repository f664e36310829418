"""Tokens -> vectors on the CPU: packs an encoder's tensors once and hands the forward pass to C++ (csrc/encoder.h)."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.encoder_spec import EncoderSpec
from llmos.engine.runner.native import Weights, pack_matrices, set_vectors
from llmos.engine.tensors import RawTensor

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
    ) -> None:
        self.spec = spec
        self.pool = _native.Pool(threads)
        self._encoder = _native.Encoder(self.pool, spec, isa or "", weights == "f32")
        shapes = spec.tensor_shapes()
        vectors = [name for name, shape in shapes.items() if len(shape) == 1 or name in _TABLES]
        set_vectors(self._encoder, vectors, tensors)
        pack_matrices(self._encoder, [name for name in shapes if name not in vectors], tensors, weights, self.pool)

    def forward(self, tokens_N: npt.NDArray[np.int32], starts: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Return one pooled vector for each sequence, [S, hidden]. Sequence s is tokens_N[starts[s]:starts[s + 1]]."""
        return self._encoder.forward(tokens_N, starts)

    @property
    def isa(self) -> str:
        return self._encoder.isa

    @property
    def weight_bytes(self) -> int:
        return self._encoder.weight_bytes
