"""The CPU runner of encoders: packs the tensors once and calls C++ (csrc/encoder.h) for the forward pass."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.encoder_spec import EncoderSpec
from llmos.engine.runner import SequencesRefused
from llmos.engine.runner.native import Packer, set_vectors
from llmos.engine.runner.packing import Plan, Weights, pack, plan_matrices
from llmos.engine.tensors import DType, RawTensor, dtype_of

_TABLES = ("positions.weight", "types.weight")
"""Tables that stay floats: each token reads one row of them."""


class NativeEncoder:
    """Runs an EncoderSpec on the CPU. `isa` and `weights`: see NativeRunner; "f32" is for keys and values, too."""

    def __init__(
        self,
        spec: EncoderSpec,
        tensors: Mapping[str, RawTensor],
        *,
        threads: int = 1,
        isa: str | None = None,
        weights: Weights = "auto",
        packer: Packer = pack,
    ) -> None:
        self.spec = spec
        self.pool = _native.Pool(threads)
        self._encoder = _native.Encoder(self.pool, spec, isa or "", weights == "f32")
        vectors = [name for name, shape in spec.tensor_shapes().items() if _is_vector(name, shape)]
        set_vectors(self._encoder, vectors, tensors)
        plan = self.plan(spec, lambda name: dtype_of(tensors, name), weights)
        self._encoder.place(packer(plan, tensors, self.pool), [each.for_native() for each in plan.placements])

    @staticmethod
    def plan(spec: EncoderSpec, dtype_of: Callable[[str], DType], weights: Weights = "auto") -> Plan:
        """Return the layout of the spec's packed matrices."""
        matrices = {name: shape for name, shape in spec.tensor_shapes().items() if not _is_vector(name, shape)}
        return plan_matrices(matrices, dtype_of, lambda _: weights)

    def forward(
        self,
        tokens_N: npt.NDArray[np.int32],
        starts: npt.NDArray[np.int32],
        types_N: npt.NDArray[np.int32] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return one pooled vector for each of S sequences, [S, hidden]; s is tokens_N[starts[s]:starts[s + 1]].

        `types_N`: the types of the tokens; None: all have the first, or the model has none. Raises SequencesRefused if
        it can tell which sequences can't be computed.
        """
        if not self.spec.num_types:
            types_N = None
        try:
            return self._encoder.forward(tokens_N, starts, types_N)
        except ValueError as error:
            if refused := self._encoder.refused(tokens_N, starts):
                raise SequencesRefused(refused, str(error)) from None
            raise

    @property
    def isa(self) -> str:
        return self._encoder.isa

    @property
    def weight_bytes(self) -> int:
        return self._encoder.weight_bytes


def _is_vector(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 1 or name in _TABLES
