"""The source of each tensor of a spec: a tensor of the file, and the steps that make the canonical tensor from it."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from llmos.engine.encoder_spec import ModelSpec
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import BLOCK_LENGTH, DType, RawTensor


@dataclass(frozen=True, slots=True)
class Grouped:
    """Rows of a tensor that has the rows of several parts together for each of some heads.

    With the parts q, k and v (GPT-NeoX), k is Grouped(heads, 3 * head_dim, ((head_dim, 2 * head_dim),)).
    """

    num_groups: int
    group_size: int
    """Rows of one group, of all parts together."""
    parts: tuple[tuple[int, int], ...]
    """The first and the last row of each group to take, part by part: first part 0 of all groups, then part 1."""

    def rows(self) -> npt.NDArray[np.intp]:
        """Return the indexes of the rows."""
        rows = np.arange(self.num_groups * self.group_size).reshape(self.num_groups, self.group_size)
        return np.concatenate([rows[:, first:last].reshape(-1) for first, last in self.parts])


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor of the file, or a part of it. load() applies the steps in the order of the fields."""

    name: str
    """The name in the file."""
    index: int | None = None
    """Take one tensor of a stack of tensors."""
    row: int | None = None
    """Take one row of a matrix as a vector."""
    transpose: bool = False
    """Transpose: the file has [in, out]."""
    rows: slice | None = None
    """Take the rows [start, stop) of a fused tensor."""
    grouped: "Grouped | None" = None
    """The file has the rows of several parts together, head by head; take some of them."""
    permute_heads: int | None = None
    """Reorder this number of heads from interleaved rotary pairs (GGUF's llama) to half-split ones."""
    permute_values: int | None = None
    """Reorder only so many leading values of each head. None: all."""
    plus_one: bool = False
    """Add 1: the file has the difference from 1 (Gemma's norms)."""
    flatten: bool = False
    """The vector has more dimensions in the file."""
    negative_exp: bool = False
    """Take -e^x of the values: the file has the logarithm of a decay rate."""

    def load(self, tensor: RawTensor) -> RawTensor:
        """Return the canonical tensor: a view if only consecutive rows are taken, else a copy."""
        if self.index is not None:
            tensor = _of_stack(tensor, self.index)
        if self.row is not None:
            tensor = RawTensor(tensor.dtype, tensor.shape[1:], tensor.take_rows(slice(self.row, self.row + 1)).data)
        if self.flatten:
            tensor = RawTensor(tensor.dtype, (math.prod(tensor.shape),), tensor.data.reshape(1, -1))
        if len(tensor.shape) == 1:
            # For a bias, the row steps apply to its values.
            as_rows = Source(
                self.name,
                rows=self.rows,
                grouped=self.grouped,
                permute_heads=self.permute_heads,
                permute_values=self.permute_values,
            )
            vector = tensor if as_rows == Source(self.name) else _as_vector(as_rows.load(_as_column(tensor)))
            if self.plus_one:
                return _of_floats(dequantize(vector) + np.float32(1))
            return _of_floats(-np.exp(dequantize(vector))) if self.negative_exp else vector
        if self.transpose:
            tensor = _transposed(tensor, self.rows)
        elif self.rows is not None:
            tensor = tensor.take_rows(self.rows)
        if self.grouped is not None:
            tensor = tensor.take_rows(self.grouped.rows())
        if self.permute_heads is not None:
            tensor = tensor.take_rows(_half_split(tensor.num_rows, self.permute_heads, self.permute_values))
        return tensor

    def dtype(self, found: DType) -> DType:
        """Return the type of load()'s result for a matrix that has type `found` in the file."""
        return "F32" if self.transpose and BLOCK_LENGTH[found] != 1 else found


_LAYER = re.compile(r"layers\.(\d+)\.(\w+?)(?:\.(\d+))?\.(weight|bias)")


def rename(spec: ModelSpec, names: Mapping[str, str]) -> dict[str, Source]:
    """Return the sources of all tensors of the spec that are in `names`.

    `names` maps canonical names without layer and ".weight" to names in the file, with {i} for the layer:
    {"q": "model.layers.{i}.self_attn.q_proj"} gives layers.0.q.weight, layers.0.q.bias, layers.1.q.weight ...
    Tensors that are numbered within a layer have {n} in both names; without it in the file's name they are a stack.
    """
    sources = {}
    for canonical in spec.tensor_shapes():
        if match := _LAYER.fullmatch(canonical):
            layer, stem, number, kind = match.groups()
        else:
            layer, number = "", None
            *stems, kind = canonical.split(".")
            stem = ".".join(stems)
        if number is not None:
            stem += ".{n}"
        if stem in names:
            name = f"{names[stem].format(i=layer, n=number)}.{kind}"
            index = None if number is None or "{n}" in names[stem] else int(number)
            sources[canonical] = Source(name, index=index)
    return sources


def half_split_heads(spec: DecoderSpec, sources: Mapping[str, Source]) -> dict[str, Source]:
    """Return the sources for a file whose q and k have their rotary pairs interleaved."""
    heads = {"q": spec.num_heads, "k": spec.num_kv_heads}
    return {
        name: replace(source, permute_heads=heads[part], permute_values=spec.rotary_dim)
        if (part := name.split(".")[-2]) in heads
        else source
        for name, source in sources.items()
    }


def norms_plus_one(sources: Mapping[str, Source]) -> dict[str, Source]:
    """Return the sources for a file that stores norm weights minus 1."""
    return {
        name: replace(source, plus_one=True) if name.endswith("norm.weight") else source
        for name, source in sources.items()
    }


def without_suffix(sources: Mapping[str, Source], parts: Collection[str]) -> dict[str, Source]:
    """Return the sources for a file whose names of these parts of a layer don't end in ".weight"."""
    return {
        name: replace(source, name=source.name.removesuffix(".weight"))
        if name.startswith("layers.") and name.split(".")[2] in parts
        else source
        for name, source in sources.items()
    }


def split_expert_rows(spec: DecoderSpec, gate_up: str, down: str) -> dict[str, Source]:
    """Return the sources of the experts of every layer, from stacks with the rows of gate and up one after another."""
    sources = rename(spec, {"gate.{n}": gate_up, "up.{n}": gate_up, "down.{n}": down})
    size = spec.expert_size
    rows = {"gate": slice(size), "up": slice(size, 2 * size), "down": None}
    return {
        name: replace(source, name=source.name.removesuffix(".weight"), rows=rows[name.split(".")[2]])
        for name, source in sources.items()
    }


def split_qkv(spec: DecoderSpec, fused: str, *, transpose_weight: bool = False) -> dict[str, Source]:
    """Return the sources of q, k and v of every layer, from one tensor with their rows one after another."""
    sources = split_rows(spec, fused, {"q": spec.attention_size, "k": spec.kv_size, "v": spec.kv_size})
    return {
        name: replace(source, transpose=transpose_weight and name.endswith(".weight"))
        for name, source in sources.items()
    }


def split_rows(spec: DecoderSpec, fused: str, parts: Mapping[str, int]) -> dict[str, Source]:
    """Return the sources of these parts of every layer, from one tensor with their rows in order (name -> rows)."""
    ends = np.cumsum([*parts.values()]).tolist()
    rows = {part: slice(end - size, end) for (part, size), end in zip(parts.items(), ends, strict=True)}
    sources = rename(spec, dict.fromkeys(parts, fused))
    return {name: replace(source, rows=rows[name.split(".")[2]]) for name, source in sources.items()}


def _half_split(num_rows: int, num_heads: int, num_values: int | None) -> npt.NDArray[np.intp]:
    """Return the index of the interleaved row for each half-split row, among the first values of each head.

    The rows a b c d e f of a head with the pairs ab cd ef become a c e b d f.
    """
    rows = np.arange(num_rows).reshape(num_heads, -1)
    first = rows[:, :num_values].copy()
    rows[:, :num_values] = first.reshape(num_heads, -1, 2).swapaxes(1, 2).reshape(first.shape)
    return rows.reshape(num_rows)


def _of_stack(tensor: RawTensor, index: int) -> RawTensor:
    shape = tensor.shape[1:]
    num_rows = tensor.num_rows // tensor.shape[0]
    return RawTensor(tensor.dtype, shape, tensor.take_rows(slice(index * num_rows, (index + 1) * num_rows)).data)


def _of_floats(values: npt.NDArray[np.float32]) -> RawTensor:
    return RawTensor("F32", values.shape, values.view(np.uint8).reshape(1, -1))


def _transposed(tensor: RawTensor, rows: slice | None) -> RawTensor:
    """Return `rows` of the transposed tensor. Float types are kept; block types can't be transposed and become F32."""
    if BLOCK_LENGTH[tensor.dtype] != 1:
        values = dequantize(tensor)
        tensor = RawTensor("F32", tensor.shape, values.view(np.uint8).reshape(tensor.num_rows, -1))
    values_RCX = tensor.data.reshape(tensor.num_rows, tensor.num_columns, -1)  # X: the bytes of a value
    transposed_CRX = np.ascontiguousarray(values_RCX[:, rows if rows is not None else slice(None)].swapaxes(0, 1))
    num_rows, num_columns = transposed_CRX.shape[:2]
    return RawTensor(tensor.dtype, (num_rows, num_columns), transposed_CRX.reshape(num_rows, -1))


def _as_column(tensor: RawTensor) -> RawTensor:
    if BLOCK_LENGTH[tensor.dtype] != 1:
        tensor = RawTensor("F32", tensor.shape, dequantize(tensor).view(np.uint8).reshape(1, -1))
    return RawTensor(tensor.dtype, (tensor.shape[0], 1), tensor.data.reshape(tensor.shape[0], -1))


def _as_vector(column: RawTensor) -> RawTensor:
    return RawTensor(column.dtype, (column.num_rows,), np.ascontiguousarray(column.data).reshape(1, -1))
