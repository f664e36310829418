"""Where each tensor of a spec comes from in a file, and what has to be done to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from llmos.engine.formats.dequantize import dequantize
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import BLOCK_LENGTH, RawTensor


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor of the file, or a part of it. The steps are taken in the order of the fields."""

    name: str
    """What the file calls it."""
    transpose: bool = False
    """The file has it as [in, out]."""
    rows: slice | None = None
    """Of a fused tensor, the rows [start, stop) that are this one."""
    permute_heads: int | None = None
    """So many heads lie with their rotary pairs interleaved (GGUF's llama); put them half-split."""

    def load(self, tensor: RawTensor) -> RawTensor:
        """Return the canonical tensor: a view where rows are only cut out, else a copy of the same values."""
        if len(tensor.shape) == 1:
            # A bias is one row; its values are what the steps call rows.
            as_rows = Source(self.name, rows=self.rows, permute_heads=self.permute_heads)
            return tensor if as_rows == Source(self.name) else _as_vector(as_rows.load(_as_column(tensor)))
        if self.transpose:
            tensor = _transposed(tensor, self.rows)
        elif self.rows is not None:
            tensor = tensor.take_rows(self.rows)
        if self.permute_heads is not None:
            tensor = tensor.take_rows(_half_split(tensor.num_rows, self.permute_heads))
        return tensor


_LAYER = re.compile(r"layers\.(\d+)\.(\w+)\.(weight|bias)")


def rename(spec: DecoderSpec, names: Mapping[str, str]) -> dict[str, Source]:
    """Return a source for every tensor of the spec that `names` has a name for.

    `names` goes from a canonical name without layer and ".weight" to the file's, with {i} for the layer:
    {"q": "model.layers.{i}.self_attn.q_proj"} gives layers.0.q.weight, layers.0.q.bias, layers.1.q.weight ...
    """
    sources = {}
    for canonical in spec.tensor_shapes():
        if match := _LAYER.fullmatch(canonical):
            layer, stem, kind = match.groups()
        else:
            layer, (stem, kind) = "", canonical.split(".")
        if stem in names:
            sources[canonical] = Source(f"{names[stem].format(i=layer)}.{kind}")
    return sources


def split_qkv(spec: DecoderSpec, fused: str, *, transpose_weight: bool = False) -> dict[str, Source]:
    """Return the sources of q, k and v in every layer from one tensor that holds their rows one after another."""
    ends = np.cumsum([spec.attention_size, spec.kv_size, spec.kv_size]).tolist()
    rows = {"q": slice(0, ends[0]), "k": slice(ends[0], ends[1]), "v": slice(ends[1], ends[2])}
    sources = rename(spec, {"q": fused, "k": fused, "v": fused})
    return {
        name: replace(source, rows=rows[name.split(".")[2]], transpose=transpose_weight and name.endswith(".weight"))
        for name, source in sources.items()
    }


def _half_split(num_rows: int, num_heads: int) -> npt.NDArray[np.intp]:
    """Return which interleaved row becomes row r.

    Of a head with the pairs ab cd ef, the rows a b c d e f become a c e b d f: first all firsts, then all seconds.
    """
    rows = np.arange(num_rows).reshape(num_heads, -1, 2)
    return rows.swapaxes(1, 2).reshape(num_rows)


def _transposed(tensor: RawTensor, rows: slice | None) -> RawTensor:
    """Return `rows` of the transposed tensor. Plain values keep their type; blocks can't be turned and become F32."""
    if BLOCK_LENGTH[tensor.dtype] != 1:
        values = dequantize(tensor)
        tensor = RawTensor("F32", tensor.shape, values.view(np.uint8).reshape(tensor.num_rows, -1))
    values_RCX = tensor.data.reshape(tensor.num_rows, tensor.num_columns, -1)  # X: the bytes of a value
    turned_CRX = np.ascontiguousarray(values_RCX[:, rows if rows is not None else slice(None)].swapaxes(0, 1))
    num_rows, num_columns = turned_CRX.shape[:2]
    return RawTensor(tensor.dtype, (num_rows, num_columns), turned_CRX.reshape(num_rows, -1))


def _as_column(tensor: RawTensor) -> RawTensor:
    if BLOCK_LENGTH[tensor.dtype] != 1:
        tensor = RawTensor("F32", tensor.shape, dequantize(tensor).view(np.uint8).reshape(1, -1))
    return RawTensor(tensor.dtype, (tensor.shape[0], 1), tensor.data.reshape(tensor.shape[0], -1))


def _as_vector(column: RawTensor) -> RawTensor:
    return RawTensor(column.dtype, (column.num_rows,), np.ascontiguousarray(column.data).reshape(1, -1))
