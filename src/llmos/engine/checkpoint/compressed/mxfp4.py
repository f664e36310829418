"""MXFP4 experts of gpt-oss: stacks of matrices in blocks of 32 values of 4 bits, which share a power of two.

    NAME_blocks  uint8 [experts, rows, blocks of a row, 16]    the low nibble of a byte comes before the high one
    NAME_scales  uint8 [experts, rows, blocks of a row]        the exponent plus 127

Source of the layout: the model card of gpt-oss; transformers' integrations/mxfp4.py. GGUF's block type MXFP4 has the
same values, with the scale before the nibbles and the nibbles of the first half of a block in the low halves of bytes.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from llmos.core.errors import BadModelFile
from llmos.engine.checkpoint.compressed.parts import Array
from llmos.engine.tensors import LazyTensors, RawTensor, dtype_of, shape_of

BLOCKS, SCALES = "_blocks", "_scales"
_BYTES = 16
"""Bytes of a block's values."""


class Folder(Protocol):
    """The safetensors files of a folder."""

    tensors: Mapping[str, RawTensor]

    def type_of(self, name: str) -> str: ...
    def array(self, name: str) -> Array: ...


class _Expert(NamedTuple):
    """A matrix of a stack."""

    stack: str
    number: int


def with_experts(folder: Folder) -> Mapping[str, RawTensor]:
    """Return the tensors of a folder, with the matrix of each expert in the place of the stacks: NAME_blocks.0,
    NAME_blocks.1 and so on.

    Raises BadModelFile for a stack whose arrays don't fit together.
    """
    packed = [name.removesuffix(BLOCKS) for name in folder.tensors if name.endswith(BLOCKS)]
    stacks = [name for name in packed if f"{name}{SCALES}" in folder.tensors and folder.type_of(name + BLOCKS) == "U8"]
    hidden = {f"{stack}{part}" for stack in stacks for part in (BLOCKS, SCALES)}
    infos: dict[str, _Expert | None] = {name: None for name in folder.tensors if name not in hidden}
    for stack in stacks:
        blocks = _blocks(folder, stack)
        infos |= {f"{stack}{BLOCKS}.{number}": _Expert(stack, number) for number in range(len(blocks))}
    return LazyTensors(
        infos,
        lambda name, expert: folder.tensors[name] if expert is None else _read(folder, expert),
        lambda name, expert: dtype_of(folder.tensors, name) if expert is None else "MXFP4",
        lambda name, expert: shape_of(folder.tensors, name) if expert is None else _shape(folder, expert),
    )


def _blocks(folder: Folder, stack: str) -> Array:
    blocks, scales = folder.array(f"{stack}{BLOCKS}"), folder.array(f"{stack}{SCALES}")
    if blocks.ndim != 4 or blocks.shape[3] != _BYTES or blocks.shape[:3] != scales.shape:
        raise BadModelFile(
            f"{stack}{BLOCKS} is {list(blocks.shape)} and {stack}{SCALES} {list(scales.shape)}; MXFP4 has 16 bytes of"
            " blocks for each scale. Download the model again."
        )
    return blocks


def _shape(folder: Folder, expert: _Expert) -> tuple[int, int]:
    _, num_rows, num_blocks, _ = _blocks(folder, expert.stack).shape
    return num_rows, num_blocks * 2 * _BYTES


def _read(folder: Folder, expert: _Expert) -> RawTensor:
    """Return an expert's matrix in GGUF's blocks, with the same values."""
    blocks = _blocks(folder, expert.stack)[expert.number]
    scales = folder.array(f"{expert.stack}{SCALES}")[expert.number]
    num_rows, num_blocks, _ = blocks.shape
    # Values 0 to 31 lie in pairs (0, 1), (2, 3) …; GGUF's pairs are (0, 16), (1, 17) …
    values = np.stack([blocks & np.uint8(15), blocks >> np.uint8(4)], axis=-1).reshape(num_rows, num_blocks, 32)
    packed = np.empty((num_rows, num_blocks, 1 + _BYTES), np.uint8)
    packed[..., 0] = scales
    packed[..., 1:] = values[..., :16] | values[..., 16:] << np.uint8(4)
    return RawTensor("MXFP4", (num_rows, num_blocks * 32), packed.reshape(num_rows, -1))
