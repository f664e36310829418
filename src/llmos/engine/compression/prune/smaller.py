"""Prunes whole layers, heads and channels, so that the model is really smaller and faster.

    layers     those with the least block influence in the whole model
    heads      in each layer, the key-value heads that add the least, with the query heads that share them
    channels   in each layer, the feed-forward channels that add the least

Layers are pruned first. Heads and channels follow layer by layer, chosen by the inputs that the pruned layers before
compute. Every layer loses the same number, so that a plain configuration describes the result.

The kept columns of an output projection are refitted to make up for the pruned ones (importance.py's refit()). The
effect on the perplexity of SmolLM2-135M on benchmarks/scoring.py's text, which is 13.1 for the whole model:

    one of three key-value heads pruned    27.2 without, 23.1 with it
    a fifth of the channels pruned         18.4 without, 18.0 with it

Kept rows are the parent's to the bit. Refitted matrices are encoded anew: those of a 4-bit parent as Q4_1 by GPTQ,
whose moments are at hand, which keeps their size and speed (Q8_0 would be no better: 18.0 both ways); those of other
blocks as Q8_0; 16-bit and 32-bit floats stay such.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from llmos.engine.compression.calibration import last_hidden, moments
from llmos.engine.compression.parent import Parent
from llmos.engine.compression.prune.importance import (
    block_influence,
    columns_importance,
    groups_importance,
    highest,
    refit,
)
from llmos.engine.compression.quantize.gptq import gptq
from llmos.engine.compression.quantize.rounding import to_dtype
from llmos.engine.compression.rows import Write, row_chunks
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Affine, Blocks
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import BLOCK_LENGTH, DType, RawTensor

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

_DAMPING = {"o": 0.1, "down": 1.0}
"""See refit(). There are many channels for a short text, so their correlations in it are often chance."""

_FLOATS: tuple[DType, ...] = ("F32", "F16", "BF16")
_FOUR_BITS: tuple[DType, ...] = ("Q4_0", "Q4_1", "Q4_K")
_Q4_1 = Affine(4, 32)


def choose_layers(parent: Parent[DecoderSpec], tokens_SL: Ints, count: int) -> list[int]:
    """Return the indices of the `count` layers with the most block influence, ascending."""
    spec, tensors = parent.spec, parent.tensors
    influence = np.zeros(spec.num_layers)

    def measure(i: int, before_NH: Floats, after_NH: Floats) -> None:
        influence[i] = block_influence(before_NH, after_NH)
        parent.release_memory()
        parent.progress("scoring the layers", i + 1, spec.num_layers)

    def unchanged(names: Sequence[str], x_NC: Floats) -> list[Floats]:
        return [dequantize(tensors[f"{name}.weight"]) for name in names]

    last_hidden(spec, tensors, tokens_SL, unchanged, on_layer=measure)
    kept: list[int] = np.flatnonzero(highest(influence, count)).tolist()
    return kept


def blocks_of(spec: DecoderSpec, tensors: Mapping[str, RawTensor]) -> dict[str, Blocks]:
    """Return the encoding of every tensor of a smaller model. `tensors`: the parent's, by the smaller model's names."""
    blocks = {}
    for name, shape in spec.tensor_shapes().items():
        dtype = tensors[name].dtype
        if len(shape) == 1 and dtype not in _FLOATS:
            dtype = "F32"
        elif len(shape) == 2 and shape[1] != tensors[name].num_columns and dtype not in _FLOATS:
            narrow: DType = "Q4_1" if dtype in _FOUR_BITS else "Q8_0"
            dtype = narrow if shape[1] % BLOCK_LENGTH[narrow] == 0 else "F16"
        blocks[name] = Blocks(dtype)
    return blocks


class WidthPruner:
    """Writes a model with fewer heads and channels, which it runs on the calibration tokens at the same time."""

    def __init__(
        self,
        parent: Parent[DecoderSpec],
        smaller: DecoderSpec,
        blocks: Mapping[str, Blocks],
        write: Write,
    ) -> None:
        """`parent`: with all heads and channels, but only the kept layers."""
        self._parent, self._spec, self._tensors = parent, parent.spec, parent.tensors
        self._smaller, self._blocks, self._write = smaller, blocks, write
        spec = parent.spec
        self._loses_heads = smaller.num_kv_heads < spec.num_kv_heads
        self._loses_channels = smaller.intermediate_size < spec.intermediate_size

    def run(self, tokens_SL: Ints | None) -> None:
        """Write all tensors. `tokens_SL` may be None if only layers are pruned."""
        names = [name for name in self._smaller.tensor_shapes() if not self._is_cut(name)]
        num_layers = self._spec.num_layers if self._loses_heads or self._loses_channels else 0
        for i, name in enumerate(names):
            for first, part in row_chunks(self._tensors[name]):
                same = part.dtype == self._blocks[name].kind
                self._write(name, first, part.data if same else dequantize(part).view(np.uint8))
                self._parent.release_memory()
            self._parent.progress("copying", i + 1, len(names))

        def on_layer(i: int, before_NH: Floats, after_NH: Floats) -> None:
            self._parent.release_memory()
            self._parent.progress("pruning", i + 1, num_layers)

        if num_layers:
            assert tokens_SL is not None, "heads and channels are scored by a text"
            last_hidden(self._spec, self._tensors, tokens_SL, self._weights_for, on_layer=on_layer)

    def _is_cut(self, name: str) -> bool:
        parts = name.split(".")
        if parts[0] != "layers":
            return False
        part, kind = parts[2], parts[-1]
        if self._loses_heads and (part in ("q", "k", "v") or (part, kind) == ("o", "weight")):
            return True
        if self._loses_heads and self._spec.qk_norm == "each_head" and part in ("q_norm", "k_norm"):
            return True
        return self._loses_channels and (part in ("gate", "up") or (part, kind) == ("down", "weight"))

    def _weights_for(self, names: Sequence[str], x_NC: Floats) -> list[Floats]:
        layer, part = names[0].rsplit(".", 1)
        if part == "o" and self._loses_heads:
            return [self._prune_heads(layer, x_NC)]
        if part == "down" and self._loses_channels:
            return [self._prune_channels(layer, x_NC)]
        return [dequantize(self._tensors[f"{name}.weight"]) for name in names]

    def _prune_heads(self, layer: str, x_NC: Floats) -> Floats:
        """Write the kept heads of a layer, and return the output projection with zeros for the pruned columns."""
        name, spec = f"{layer}.o.weight", self._spec
        weights_RC, moments_CC = dequantize(self._tensors[name]), moments(x_NC)
        importance = groups_importance(weights_RC, moments_CC, spec.num_kv_heads)
        kept = highest(importance, self._smaller.num_kv_heads)
        kept_heads = np.repeat(kept, spec.num_heads // spec.num_kv_heads)
        kept_rows = {"q": np.repeat(kept_heads, spec.head_dim), "k": np.repeat(kept, spec.head_dim)}
        kept_rows["v"] = kept_rows["k"]
        for part, rows in kept_rows.items():
            self._write_rows(f"{layer}.{part}", rows)
        if spec.qk_norm == "each_head":
            for part, heads in (("q_norm", kept_heads), ("k_norm", kept)):
                for new, old in enumerate(np.flatnonzero(heads).tolist()):
                    self._write_vector(f"{layer}.{part}.{new}.weight", self._tensors[f"{layer}.{part}.{old}.weight"])
        return self._write_columns(name, weights_RC, moments_CC, kept_rows["q"], _DAMPING["o"])

    def _prune_channels(self, layer: str, x_NC: Floats) -> Floats:
        """Write the kept channels of a layer, and return the down projection with zeros for the pruned columns."""
        name = f"{layer}.down.weight"
        weights_RC, moments_CC = dequantize(self._tensors[name]), moments(x_NC)
        kept = highest(columns_importance(weights_RC, moments_CC), self._smaller.intermediate_size)
        for part in ("gate", "up") if self._spec.gated else ("up",):
            self._write_rows(f"{layer}.{part}", kept)
        return self._write_columns(name, weights_RC, moments_CC, kept, _DAMPING["down"])

    def _write_rows(self, name: str, kept: npt.NDArray[np.bool_]) -> None:
        first = 0
        for begin, part in row_chunks(self._tensors[f"{name}.weight"]):
            rows = part.take_rows(np.flatnonzero(kept[begin : begin + part.num_rows]))
            self._write(f"{name}.weight", first, rows.data)
            first += rows.num_rows
        if f"{name}.bias" in self._tensors:
            self._write_vector(f"{name}.bias", self._tensors[f"{name}.bias"], kept)

    def _write_vector(self, name: str, tensor: RawTensor, kept: npt.NDArray[np.bool_] | None = None) -> None:
        values = dequantize(tensor)
        values_1C = (values if kept is None else values[kept])[None]
        self._write(name, 0, to_dtype(values_1C, self._blocks[name].kind))

    def _write_columns(
        self, name: str, weights_RC: Floats, moments_CC: Floats, kept: npt.NDArray[np.bool_], damping: float
    ) -> Floats:
        """Write the refitted kept columns, and return the matrix with zeros for the pruned ones."""
        encoding = self._blocks[name]
        fitted_RK = refit(weights_RC, moments_CC, kept, damping)
        if encoding.kind == "Q4_1":
            rows = gptq(fitted_RK, moments_CC[np.ix_(kept, kept)], _Q4_1)
            data = _Q4_1.decode(rows, fitted_RK.shape[1]).data
        else:
            data = to_dtype(fitted_RK, encoding.kind)
        self._write(name, 0, data)
        weights_RC[:] = 0
        weights_RC[:, kept] = dequantize(encoding.decode(data, fitted_RK.shape[1]))
        return weights_RC
