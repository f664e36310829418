"""The CPU runner: packs a model's tensors once and calls C++ (csrc/) for the forward pass."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.architectures import inverse_frequencies
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner import Batch, Likeliest, Scores, SequencesRefused
from llmos.engine.runner.packing import Memory, Plan, Weights, pack, plan_matrices, slot_of
from llmos.engine.runner.stage import Stage, StageBatch, own_pairs, stage_shapes
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import DType, RawTensor, dtype_of

if TYPE_CHECKING:
    from llmos.engine.checkpoint.adapters import Adapter

KVDType = Literal["int8", "f16", "f32"]

DEFAULT_STATES = 256
"""States of sequences of a recurrent model that a runner has room for. Memory is used once a state is written."""

Rows = npt.NDArray[np.float32]
"""[tokens, row_size()]: what the layers behind a boundary read of the tokens."""

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
    stage    a part of the layers, of a split model: such a runner has advance(), and finish() at home, not forward()
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
        stage: Stage | None = None,
    ) -> None:
        self.stage = stage
        self.spec, self.num_blocks, self.num_states, self.num_snapshots = spec, num_blocks, num_states, num_snapshots
        self.pool = _native.Pool(threads)
        rotations = [frequencies_P.tolist() for frequencies_P in inverse_frequencies(spec)]
        self._runner = _native.Runner(
            self.pool, spec, rotations, num_blocks, isa or "", kv_dtype, num_states + num_snapshots, **_native_of(stage)
        )
        shapes = spec.tensor_shapes() if stage is None else stage_shapes(spec, stage)
        set_vectors(self._runner, [name for name, shape in shapes.items() if len(shape) == 1], tensors)
        plan = self.plan(spec, lambda name: dtype_of(tensors, name), weights, stage)
        self._runner.place(packer(plan, tensors, self.pool), [each.for_native() for each in plan.placements])
        self._has_scores = False

    @staticmethod
    def plan(
        spec: DecoderSpec, dtype_of: Callable[[str], DType], weights: Weights = "auto", stage: Stage | None = None
    ) -> Plan:
        """Return the layout of the packed matrices, of the whole model or of a stage."""
        shapes = spec.tensor_shapes() if stage is None else stage_shapes(spec, stage)
        matrices = {name: shape for name, shape in shapes.items() if len(shape) > 1}
        return plan_matrices(matrices, dtype_of, lambda _: weights)

    def forward(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Write the batch into the KV cache and return logits_RV. The array is valid until the next call.

        Raises SequencesRefused if it can tell which sequences can't be computed.
        """
        arrays = (
            batch.tokens, batch.starts, batch.context_lengths, batch.block_tables, batch.logit_rows, batch.adapters,
        )  # fmt: skip
        scored = None
        if batch.scored_rows is not None and batch.scored_tokens is not None:
            scored = (batch.scored_rows, batch.scored_tokens, batch.num_top)
        self._has_scores = False
        try:
            logits_RV = self._runner.forward(*arrays, batch.states, batch.restored, batch.snapshots, scored)
        except ValueError as error:
            if refused := self._runner.refused(*arrays, scored):
                raise SequencesRefused(refused, str(error)) from None
            raise
        self._has_scores = scored is not None
        return logits_RV

    def advance(
        self, batch: StageBatch, *, tokens: npt.NDArray[np.int32] | None = None, rows: Rows | None = None
    ) -> Rows:
        """Compute the stage's layers; return the rows for the next stage, or of the last one the wanted rows.

        Home takes tokens, the others the rows of the stage before. Raises SequencesRefused as forward() does.
        """
        arrays = (batch.starts, batch.context_lengths, batch.block_tables, batch.wanted_rows, batch.adapters)
        try:
            return self._runner.advance(tokens, rows, *arrays, batch.states, batch.restored, batch.snapshots)
        except ValueError as error:
            if tokens is not None and (refused := self._runner.refused(tokens, *arrays)):
                raise SequencesRefused(refused, str(error)) from None
            raise

    def finish(self, rows: Rows, batch: Batch) -> npt.NDArray[np.float32]:
        """Return logits_RV of the rows that the last stage has computed of a batch. See forward()."""
        wanted, scored = StageBatch.of(batch).wanted_rows, None
        if batch.scored_rows is not None and batch.scored_tokens is not None:
            scored = (_indices(wanted, batch.scored_rows), batch.scored_tokens, batch.num_top)
        self._has_scores = False
        logits_RV = self._runner.finish(rows, _indices(wanted, batch.logit_rows), scored)
        self._has_scores = scored is not None
        return logits_RV

    def row_size(self, boundary: int) -> int:
        """Return the floats of a token's row between the layers before this one and those behind."""
        return self._runner.row_size(boundary)

    def set_adapter(self, index: int, adapter: "Adapter | None") -> None:
        """Replace the adapter at an index; None removes it. A stage takes the matrices of its layers."""
        if adapter is None:
            self._runner.set_adapter(index, None)
            return
        if self.stage is not None:
            adapter = {name: adapter[name] for name in own_pairs(adapter, self.stage)}
        pairs = [(*slot_of(f"{name}.weight")[:2], each.down, each.up, each.gain) for name, each in adapter.items()]
        self._runner.set_adapter(index, pairs)

    def likeliest(self) -> Likeliest:
        """Return the largest logit of each row of the last step, which the computation of the head finds anyway."""
        return Likeliest(*self._runner.likeliest())

    def scores(self) -> Scores | None:
        """Return the scores of the last step's scored rows; None if it had none."""
        return Scores(*self._runner.scores()) if self._has_scores else None

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
        state_bytes = self.state_bytes(self.spec, self.stage)
        return self._runner.kv_bytes + (self.num_states + self.num_snapshots) * state_bytes

    @staticmethod
    def block_bytes(spec: DecoderSpec, kv_dtype: KVDType = "int8", stage: Stage | None = None) -> int:
        """Return the bytes of one block of the KV cache, in all layers of the model or of a stage."""
        return _native.block_bytes(spec, kv_dtype, **_native_of(stage))

    @staticmethod
    def state_bytes(spec: DecoderSpec, stage: Stage | None = None) -> int:
        """Return the bytes of one sequence's state in all recurrent layers of the model or of a stage."""
        return _native.state_bytes(spec, **_native_of(stage))


def _native_of(stage: Stage | None) -> dict[str, tuple[int, int]]:
    return {} if stage is None else {"stage": stage.for_native}


def _indices(wanted_W: npt.NDArray[np.int32], rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return where these rows are among the wanted ones."""
    return np.searchsorted(wanted_W, rows).astype(np.int32)


def set_vectors(runner: Native, names: Iterable[str], tensors: Mapping[str, RawTensor]) -> None:
    """Pass these tensors to the runner as floats."""
    # Vectors that are numbered within a layer, one for each head, are concatenated.
    parts: defaultdict[tuple[int, str], list[npt.NDArray[np.float32]]] = defaultdict(list)
    for name in names:
        parts[slot_of(name)[:2]].append(dequantize(tensors[name]).reshape(-1))
    for slot, vectors in parts.items():
        runner.set_vector(*slot, np.concatenate(vectors))
