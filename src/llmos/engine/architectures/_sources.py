"""Where each tensor of a spec comes from in a file, and what has to be done to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from llmos.engine.encoder_spec import ModelSpec
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import BLOCK_LENGTH, DType, RawTensor


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor of the file, or a part of it. The steps are taken in the order of the fields."""

    name: str
    """What the file calls it."""
    index: int | None = None
    """Of a stack of tensors, the one that this is."""
    transpose: bool = False
    """The file has it as [in, out]."""
    rows: slice | None = None
    """Of a fused tensor, the rows [start, stop) that are this one."""
    of_heads: tuple[int, int] | None = None
    """(heads, part): of each of so many heads q, k and v lie together (GPT-NeoX); part 0, 1 or 2 is this one."""
    permute_heads: int | None = None
    """So many heads lie with their rotary pairs interleaved (GGUF's llama); put them half-split."""
    plus_one: bool = False
    """The file has what the tensor differs from ones by (Gemma's norms)."""

    def load(self, tensor: RawTensor) -> RawTensor:
        """Return the canonical tensor: a view where rows are only cut out, else a copy of the same values."""
        if self.index is not None:
            tensor = _of_stack(tensor, self.index)
        if len(tensor.shape) == 1:
            # A bias is one row; its values are what the steps call rows.
            as_rows = Source(self.name, rows=self.rows, of_heads=self.of_heads, permute_heads=self.permute_heads)
            vector = tensor if as_rows == Source(self.name) else _as_vector(as_rows.load(_as_column(tensor)))
            return _plus_one(vector) if self.plus_one else vector
        if self.transpose:
            tensor = _transposed(tensor, self.rows)
        elif self.rows is not None:
            tensor = tensor.take_rows(self.rows)
        if self.of_heads is not None:
            num_heads, part = self.of_heads
            tensor = tensor.take_rows(np.arange(tensor.num_rows).reshape(num_heads, 3, -1)[:, part].reshape(-1))
        if self.permute_heads is not None:
            tensor = tensor.take_rows(_half_split(tensor.num_rows, self.permute_heads))
        return tensor

    def dtype(self, found: DType) -> DType:
        """Return what load() makes of a matrix that has this dtype in the file."""
        return "F32" if self.transpose and BLOCK_LENGTH[found] != 1 else found


_LAYER = re.compile(r"layers\.(\d+)\.(\w+?)(?:\.(\d+))?\.(weight|bias)")


def rename(spec: ModelSpec, names: Mapping[str, str]) -> dict[str, Source]:
    """Return a source for every tensor of the spec that `names` has a name for.

    `names` goes from a canonical name without layer and ".weight" to the file's, with {i} for the layer:
    {"q": "model.layers.{i}.self_attn.q_proj"} gives layers.0.q.weight, layers.0.q.bias, layers.1.q.weight ...
    What is numbered within a layer has {n} on both sides; where the file's name has none, it is a stack.
    """
    sources = {}
    for canonical in spec.tensor_shapes():
        if match := _LAYER.fullmatch(canonical):
            layer, stem, number, kind = match.groups()
        else:
            layer, number, (stem, kind) = "", None, canonical.split(".")
        if number is not None:
            stem += ".{n}"
        if stem in names:
            name = f"{names[stem].format(i=layer, n=number)}.{kind}"
            index = None if number is None or "{n}" in names[stem] else int(number)
            sources[canonical] = Source(name, index=index)
    return sources


def norms_plus_one(sources: Mapping[str, Source]) -> dict[str, Source]:
    """Return the sources for a file whose norms lack the one that their weights are added to."""
    return {
        name: replace(source, plus_one=True) if name.endswith("norm.weight") else source
        for name, source in sources.items()
    }


def split_qkv(spec: DecoderSpec, fused: str, *, transpose_weight: bool = False) -> dict[str, Source]:
    """Return the sources of q, k and v in every layer from one tensor that holds their rows one after another."""
    sources = split_rows(spec, fused, {"q": spec.attention_size, "k": spec.kv_size, "v": spec.kv_size})
    return {
        name: replace(source, transpose=transpose_weight and name.endswith(".weight"))
        for name, source in sources.items()
    }


def split_rows(spec: DecoderSpec, fused: str, parts: Mapping[str, int]) -> dict[str, Source]:
    """Return the sources of these parts in every layer, so many rows each, from one tensor that holds them in order."""
    ends = np.cumsum([*parts.values()]).tolist()
    rows = {part: slice(end - size, end) for (part, size), end in zip(parts.items(), ends, strict=True)}
    sources = rename(spec, dict.fromkeys(parts, fused))
    return {name: replace(source, rows=rows[name.split(".")[2]]) for name, source in sources.items()}


def _half_split(num_rows: int, num_heads: int) -> npt.NDArray[np.intp]:
    """Return which interleaved row becomes row r.

    Of a head with the pairs ab cd ef, the rows a b c d e f become a c e b d f: first all firsts, then all seconds.
    """
    rows = np.arange(num_rows).reshape(num_heads, -1, 2)
    return rows.swapaxes(1, 2).reshape(num_rows)


def _of_stack(tensor: RawTensor, index: int) -> RawTensor:
    shape = tensor.shape[1:]
    num_rows = tensor.num_rows // tensor.shape[0]
    return RawTensor(tensor.dtype, shape, tensor.data[index * num_rows : (index + 1) * num_rows])


def _plus_one(vector: RawTensor) -> RawTensor:
    values = dequantize(vector) + np.float32(1)
    return RawTensor("F32", vector.shape, values.view(np.uint8).reshape(1, -1))


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
