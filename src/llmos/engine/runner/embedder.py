"""Embeds texts by the layers of a decoder: runs it without its head, and pools its outputs."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from llmos.engine.encoder_spec import DecoderEmbedderSpec
from llmos.engine.runner import BLOCK_SIZE, Batch
from llmos.engine.runner.native import KVDType, NativeRunner, Packer
from llmos.engine.runner.packing import Plan, Weights, pack
from llmos.engine.tensors import DType, RawTensor


class DecoderEmbedder:
    """Runs a DecoderEmbedderSpec on the CPU. Each batch has whole texts, so the KV cache keeps nothing between two.

    `isa` and `weights`: see NativeRunner; "f32" is for keys and values, too. `max_batched_tokens`: of a batch with
    several texts; a single text may have as many as the spec says.
    """

    def __init__(
        self,
        spec: DecoderEmbedderSpec,
        tensors: Mapping[str, RawTensor],
        *,
        max_batched_tokens: int,
        threads: int = 1,
        isa: str | None = None,
        weights: Weights = "auto",
        packer: Packer = pack,
    ) -> None:
        self.spec = spec
        self._runner = NativeRunner(
            spec.decoder.for_context_length(spec.max_positions),
            tensors,
            num_blocks=self.num_blocks(spec, max_batched_tokens),
            threads=threads,
            isa=isa,
            weights=weights,
            kv_dtype=self.kv_dtype(weights),
            packer=packer,
        )

    @staticmethod
    def plan(spec: DecoderEmbedderSpec, dtype_of: Callable[[str], DType], weights: Weights = "auto") -> Plan:
        """Return the layout of the spec's packed matrices."""
        return NativeRunner.plan(spec.decoder, dtype_of, weights)

    @staticmethod
    def num_blocks(spec: DecoderEmbedderSpec, max_batched_tokens: int) -> int:
        """Return the blocks that any batch needs: one for each short text, or those of the longest text."""
        return max(max_batched_tokens, -(-spec.max_positions // BLOCK_SIZE))

    @staticmethod
    def kv_dtype(weights: Weights) -> KVDType:
        return "f32" if weights == "f32" else "f16"

    def forward(
        self,
        tokens_N: npt.NDArray[np.int32],
        starts: npt.NDArray[np.int32],
        types_N: npt.NDArray[np.int32] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return one pooled vector for each of S sequences, [S, hidden]; s is tokens_N[starts[s]:starts[s + 1]].

        `types_N` is ignored: tokens of these models have no types.
        """
        rows = np.arange(len(tokens_N), dtype=np.int32)
        if self.spec.pooling != "mean":
            rows = (starts[1:] - 1 if self.spec.pooling == "last" else starts[:-1]).astype(np.int32)
        outputs_RH = self._runner.forward(_batch(tokens_N, starts, rows))
        if self.spec.pooling != "mean":
            return outputs_RH.copy()
        sums_SH: npt.NDArray[np.float32] = np.add.reduceat(outputs_RH, starts[:-1], axis=0)
        sums_SH /= np.diff(starts)[:, None].astype(np.float32)
        return sums_SH

    @property
    def isa(self) -> str:
        return self._runner.isa

    @property
    def weight_bytes(self) -> int:
        return self._runner.weight_bytes


def _batch(tokens_N: npt.NDArray[np.int32], starts: npt.NDArray[np.int32], rows: npt.NDArray[np.int32]) -> Batch:
    num_blocks_S = -(-np.diff(starts) // BLOCK_SIZE)
    first_S = np.cumsum(num_blocks_S) - num_blocks_S
    return Batch(
        tokens=tokens_N,
        starts=starts,
        context_lengths=np.zeros(len(starts) - 1, np.int32),
        block_tables=(first_S[:, None] + np.arange(num_blocks_S.max())).astype(np.int32),
        logit_rows=rows,
    )
