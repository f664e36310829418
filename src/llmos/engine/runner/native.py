"""The CPU runner: packs a model's tensors once and calls C++ (csrc/) for the forward pass."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.architectures import inverse_frequencies
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner import Batch, Likeliest, Scores, SequencesRefused
from llmos.engine.runner.packing import Memory, Plan, Weights, pack, plan_matrices, slot_of
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import DType, RawTensor, dtype_of

if TYPE_CHECKING:
    from llmos.engine.checkpoint.adapters import Adapter

KVDType = Literal["int8", "f16", "f32"]

DEFAULT_STATES = 256
"""States of sequences of a recurrent model that a runner has room for. Memory is used once a state is written."""

Native = _native.Runner | _native.Encoder

Packer = Callable[[Plan, Mapping[str, RawTensor], _native.Pool], Memory]
"""packer(plan, tensors, pool): return memory with the plan's matrices, packed now or earlier. It may be read-only."""


class NativeRunner:
    """Runs a DecoderSpec on the CPU.

    isa      instruction set of the kernels; None for the best one that the CPU has
    weights  "auto": the block types of GGUF that have a packing (runner/packing.py) keep their exact values, all else
             becomes 8-bit with a scale for 32 values
             "int8": all of it 8-bit        "f32": all of it 32-bit floats, for comparisons
             "int4": the layers 4-bit with a scale and a minimum for 32 values, the embedding and the head 8-bit
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
        packer: Packer = pack,
        num_states: int = DEFAULT_STATES,
        num_snapshots: int = 0,
    ) -> None:
        self.spec, self.num_blocks, self.num_states, self.num_snapshots = spec, num_blocks, num_states, num_snapshots
        self.pool = _native.Pool(threads)
        rotations = [frequencies_P.tolist() for frequencies_P in inverse_frequencies(spec)]
        self._runner = _native.Runner(
            self.pool, spec, rotations, num_blocks, isa or "", kv_dtype, num_states + num_snapshots
        )
        shapes = spec.tensor_shapes()
        set_vectors(self._runner, [name for name, shape in shapes.items() if len(shape) == 1], tensors)
        plan = self.plan(spec, lambda name: dtype_of(tensors, name), weights)
        self._runner.place(packer(plan, tensors, self.pool), [each.for_native() for each in plan.placements])
        self._scores: Scores | None = None
        self._wanted: npt.NDArray[np.intp] | None = None

    @staticmethod
    def plan(spec: DecoderSpec, dtype_of: Callable[[str], DType], weights: Weights = "auto") -> Plan:
        """Return the layout of the spec's packed matrices."""
        matrices = {name: shape for name, shape in spec.tensor_shapes().items() if len(shape) > 1}
        return plan_matrices(matrices, dtype_of, lambda _: weights)

    def forward(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Write the batch into the KV cache and return logits_RV. The array is valid until the next call.

        Raises SequencesRefused if it can tell which sequences can't be computed.
        """
        self._scores, self._wanted = None, None
        if batch.scored_rows is None or batch.scored_tokens is None:
            return self._forward(batch)
        rows = np.union1d(batch.logit_rows, batch.scored_rows)
        logits_RV = self._forward(replace(batch, logit_rows=rows))
        self._scores = _scores(logits_RV[np.searchsorted(rows, batch.scored_rows)], batch.scored_tokens, batch.num_top)
        self._wanted = np.searchsorted(rows, batch.logit_rows)
        return logits_RV[self._wanted]

    def scores(self) -> Scores | None:
        """Return the scores of the last step's scored rows; None if it had none."""
        return self._scores

    def _forward(self, batch: Batch) -> npt.NDArray[np.float32]:
        arrays = (
            batch.tokens, batch.starts, batch.context_lengths, batch.block_tables, batch.logit_rows, batch.adapters,
        )  # fmt: skip
        try:
            return self._runner.forward(*arrays, batch.states, batch.restored, batch.snapshots)
        except ValueError as error:
            if refused := self._runner.refused(*arrays):
                raise SequencesRefused(refused, str(error)) from None
            raise

    def set_adapter(self, index: int, adapter: "Adapter | None") -> None:
        """Replace the adapter at an index; None removes it."""
        if adapter is None:
            self._runner.set_adapter(index, None)
            return
        pairs = [(*slot_of(f"{name}.weight")[:2], each.down, each.up, each.gain) for name, each in adapter.items()]
        self._runner.set_adapter(index, pairs)

    def likeliest(self) -> Likeliest:
        """Return the largest logit of each row of the last step, which the computation of the head finds anyway."""
        highest_R, tokens_R = self._runner.likeliest()
        if self._wanted is not None:
            highest_R, tokens_R = highest_R[self._wanted], tokens_R[self._wanted]
        return Likeliest(highest_R, tokens_R)

    def set_profiling(self, is_on: bool) -> None:
        """Start or stop timing the parallel regions of every step."""
        self._runner.set_profiling(is_on)

    def profile(self) -> dict[str, float]:
        """Return the seconds that the first thread spent in each parallel region since set_profiling(True)."""
        return self._runner.profile()

    @property
    def isa(self) -> str:
        return self._runner.isa

    @property
    def weight_bytes(self) -> int:
        return self._runner.weight_bytes

    @property
    def kv_bytes(self) -> int:
        """Bytes of the KV cache, of the states and of their snapshots."""
        return self._runner.kv_bytes + (self.num_states + self.num_snapshots) * self.state_bytes(self.spec)

    @staticmethod
    def block_bytes(spec: DecoderSpec, kv_dtype: KVDType = "int8") -> int:
        """Return the bytes of one block of the KV cache, in all layers together."""
        return _native.block_bytes(spec, kv_dtype)

    @staticmethod
    def state_bytes(spec: DecoderSpec) -> int:
        """Return the bytes of one sequence's state in all recurrent layers together."""
        return _native.state_bytes(spec)


def set_vectors(runner: Native, names: Iterable[str], tensors: Mapping[str, RawTensor]) -> None:
    """Pass these tensors to the runner as floats."""
    # Vectors that are numbered within a layer, one for each head, are concatenated.
    parts: defaultdict[tuple[int, str], list[npt.NDArray[np.float32]]] = defaultdict(list)
    for name in names:
        parts[slot_of(name)[:2]].append(dequantize(tensors[name]).reshape(-1))
    for slot, vectors in parts.items():
        runner.set_vector(*slot, np.concatenate(vectors))


def _scores(logits_QV: npt.NDArray[np.float32], tokens_Q: npt.NDArray[np.int32], num_top: int) -> Scores:
    wide_QV = logits_QV.astype(np.float64)
    wide_QV -= wide_QV.max(1, keepdims=True)
    logprobs_QV = wide_QV - np.log(np.exp(wide_QV).sum(1, keepdims=True))
    own_Q1 = np.take_along_axis(logits_QV, tokens_Q[:, None], 1)
    before_QV = (logits_QV > own_Q1) | ((logits_QV == own_Q1) & (np.arange(logits_QV.shape[1]) < tokens_Q[:, None]))
    top_QK = np.argsort(-logits_QV, axis=1, kind="stable")[:, :num_top]
    is_broken_Q = ~np.isfinite(logits_QV).all(1)
    logprobs_Q = np.take_along_axis(logprobs_QV, tokens_Q[:, None], 1)[:, 0]
    logprobs_Q[is_broken_Q] = np.nan
    entropies_Q = -(np.exp(logprobs_QV) * logprobs_QV).sum(1)
    entropies_Q[is_broken_Q] = np.nan
    return Scores(
        logprobs_Q.astype(np.float32),
        np.where(is_broken_Q, 0, before_QV.sum(1) + 1).astype(np.int32),
        entropies_Q.astype(np.float32),
        top_QK.astype(np.int32),
        np.take_along_axis(logprobs_QV, top_QK, 1).astype(np.float32),
    )
