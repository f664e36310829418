"""Take whole parts out of a model, so that it is really smaller and faster: layers, heads, channels.

    layers     those with the least block influence in the whole model
    heads      of each layer the key-value heads, with the query heads that share them, that add the least
    channels   of each layer's feed-forward part those that add the least

Layers go first; heads and channels go layer by layer, so that what is kept of one is chosen by what the smaller ones
before it give. Every layer loses as much as any other: a plain configuration says what is left.

What is kept of an output projection makes up for what is gone (importance.py's refit). What that is worth, in the
perplexity of SmolLM2-135M on benchmarks/scoring.py's text, which is 13.1 for the whole model:

    one of three key-value heads gone    27.2 without, 23.1 with it
    a fifth of the channels gone         18.4 without, 18.0 with it

Rows that stay are the parent's to the bit. Columns can't be taken out of blocks, and a refitted matrix is another one:
of 4-bit parents it becomes Q4_1 by GPTQ, for which the moments are at hand; it is as small and as fast as before, and
Q8_0 instead would be no better (18.0 both ways). Of other blocks it becomes Q8_0; 16 and 32 bits stay.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from llmos.core.progress import Progress
from llmos.engine.compression.calibration import last_hidden, moments
from llmos.engine.compression.prune.importance import (
    block_influence,
    columns_importance,
    groups_importance,
    highest,
    refit,
)
from llmos.engine.compression.quantize.gptq import gptq
from llmos.engine.compression.quantize.rounding import to_kind
from llmos.engine.compression.quantize.rows import Write, runs
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Affine, Blocks
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import BLOCK_LENGTH, DType, RawTensor

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Forget = Callable[[], None]

_DAMPING = {"o": 0.1, "down": 1.0}
"""See refit(). Channels are many for a short text: what they seem to say of each other there is often chance."""

_FLOATS: tuple[DType, ...] = ("F32", "F16", "BF16")
_FOUR_BITS: tuple[DType, ...] = ("Q4_0", "Q4_1", "Q4_K")
_Q4_1 = Affine(4, 32)


def layers_kept(
    spec: DecoderSpec,
    tensors: Mapping[str, RawTensor],
    tokens_SL: Ints,
    count: int,
    *,
    forget: Forget = lambda: None,
    progress: Progress,
) -> list[int]:
    """Return the `count` layers with the most block influence, in their order."""
    influence = np.zeros(spec.num_layers)

    def measure(i: int, before_NH: Floats, after_NH: Floats) -> None:
        influence[i] = block_influence(before_NH, after_NH)
        forget()
        progress("weighing the layers", i + 1, spec.num_layers)

    def as_they_are(names: Sequence[str], x_NC: Floats) -> list[Floats]:
        return [dequantize(tensors[f"{name}.weight"]) for name in names]

    last_hidden(spec, tensors, tokens_SL, as_they_are, on_layer=measure)
    kept: list[int] = np.flatnonzero(highest(influence, count)).tolist()
    return kept


def blocks_of(spec: DecoderSpec, smaller: DecoderSpec, tensors: Mapping[str, RawTensor]) -> dict[str, Blocks]:
    """Return the type of every tensor of the smaller model. `tensors`: the parent's, by the smaller model's names."""
    found = {}
    for name, shape in smaller.tensor_shapes().items():
        dtype = tensors[name].dtype
        if len(shape) == 1 and dtype not in _FLOATS:
            dtype = "F32"
        elif len(shape) == 2 and shape[1] != tensors[name].num_columns and dtype not in _FLOATS:
            narrow: DType = "Q4_1" if dtype in _FOUR_BITS else "Q8_0"
            dtype = narrow if shape[1] % BLOCK_LENGTH[narrow] == 0 else "F16"
        found[name] = Blocks(dtype)
    return found


class Narrower:
    """Writes a model with fewer heads and channels, while it watches the model that it writes."""

    def __init__(
        self,
        spec: DecoderSpec,
        smaller: DecoderSpec,
        tensors: Mapping[str, RawTensor],
        blocks: Mapping[str, Blocks],
        write: Write,
    ) -> None:
        """`spec` and `tensors`: of the model with all heads and channels, but only the layers that are kept."""
        self._spec, self._smaller, self._tensors, self._blocks, self._write = spec, smaller, tensors, blocks, write
        self._loses_heads = smaller.num_kv_heads < spec.num_kv_heads
        self._loses_channels = smaller.intermediate_size < spec.intermediate_size

    def run(self, tokens_SL: Ints | None, *, forget: Forget = lambda: None, progress: Progress) -> None:
        """Write all tensors. `tokens_SL` may be None where only layers are gone."""
        names = [name for name in self._smaller.tensor_shapes() if not self._is_cut(name)]
        num_layers = self._spec.num_layers if self._loses_heads or self._loses_channels else 0
        for i, name in enumerate(names):
            for first, part in runs(self._tensors[name]):
                same = part.dtype == self._blocks[name].kind
                self._write(name, first, part.data if same else dequantize(part).view(np.uint8))
                forget()
            progress("copying", i + 1, len(names))

        def tell(i: int, before_NH: Floats, after_NH: Floats) -> None:
            forget()
            progress("pruning", i + 1, num_layers)

        if num_layers:
            assert tokens_SL is not None, "what is worth how much shows by a text"
            last_hidden(self._spec, self._tensors, tokens_SL, self._matrices, on_layer=tell)

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

    def _matrices(self, names: Sequence[str], x_NC: Floats) -> list[Floats]:
        layer, part = names[0].rsplit(".", 1)
        if part == "o" and self._loses_heads:
            return [self._take_heads(layer, x_NC)]
        if part == "down" and self._loses_channels:
            return [self._take_channels(layer, x_NC)]
        return [dequantize(self._tensors[f"{name}.weight"]) for name in names]

    def _take_heads(self, layer: str, x_NC: Floats) -> Floats:
        """Write what is kept of a layer's attention, and return the output projection with zeros for what is gone."""
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

    def _take_channels(self, layer: str, x_NC: Floats) -> Floats:
        """Write what is kept of a layer's feed-forward part, and return the down projection as _take_heads does."""
        name = f"{layer}.down.weight"
        weights_RC, moments_CC = dequantize(self._tensors[name]), moments(x_NC)
        kept = highest(columns_importance(weights_RC, moments_CC), self._smaller.intermediate_size)
        for part in ("gate", "up") if self._spec.gated else ("up",):
            self._write_rows(f"{layer}.{part}", kept)
        return self._write_columns(name, weights_RC, moments_CC, kept, _DAMPING["down"])

    def _write_rows(self, name: str, kept: npt.NDArray[np.bool_]) -> None:
        first = 0
        for begin, part in runs(self._tensors[f"{name}.weight"]):
            rows = part.take_rows(np.flatnonzero(kept[begin : begin + part.num_rows]))
            self._write(f"{name}.weight", first, rows.data)
            first += rows.num_rows
        if f"{name}.bias" in self._tensors:
            self._write_vector(f"{name}.bias", self._tensors[f"{name}.bias"], kept)

    def _write_vector(self, name: str, tensor: RawTensor, kept: npt.NDArray[np.bool_] | None = None) -> None:
        values = dequantize(tensor)
        values_1C = (values if kept is None else values[kept])[None]
        self._write(name, 0, to_kind(values_1C, self._blocks[name].kind))

    def _write_columns(
        self, name: str, weights_RC: Floats, moments_CC: Floats, kept: npt.NDArray[np.bool_], damping: float
    ) -> Floats:
        encoding = self._blocks[name]
        fitted_RK = refit(weights_RC, moments_CC, kept, damping)
        if encoding.kind == "Q4_1":
            rows = gptq(fitted_RK, moments_CC[np.ix_(kept, kept)], _Q4_1)
            data = _Q4_1.decode(rows, fitted_RK.shape[1]).data
        else:
            data = to_kind(fitted_RK, encoding.kind)
        self._write(name, 0, data)
        weights_RC[:] = 0
        weights_RC[:, kept] = dequantize(encoding.decode(data, fitted_RK.shape[1]))
        return weights_RC
