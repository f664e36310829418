"""FP8 (E4M3) with scales: of the whole matrix, of each row, or of blocks of it (DeepSeek's weight_scale_inv)."""

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile
from llmos.engine.checkpoint.compressed.parts import Array, Parts
from llmos.engine.tensors import DType, RawTensor

SCALES = ("weight_scale_inv", "weight_scale")
"""The names that a matrix of scales has. In spite of the first one, values are multiplied by both."""


def _values_of_e4m3() -> npt.NDArray[np.float32]:
    """Return the value of each byte: 1 sign bit, 4 bits of the exponent (bias 7), 3 of the fraction; no infinities."""
    codes = np.arange(256)
    exponents, fractions = codes >> 3 & 15, codes & 7
    values = np.where(exponents == 0, fractions / 8 * 2.0**-6, (1 + fractions / 8) * 2.0 ** (exponents - 7.0))
    values[codes & 127 == 127] = np.nan
    return np.where(codes & 128, -values, values).astype(np.float32)


_E4M3 = _values_of_e4m3()


class Float8:
    MAIN = "weight"
    TYPES = frozenset({"F8_E4M3"})
    PARTS = frozenset({"weight", *SCALES, "input_scale"})

    def __init__(self, block: tuple[int, int] | None) -> None:
        """`block`: rows and columns that share a scale, where the configuration says so."""
        self._block = block

    def dtype(self, parts: Parts) -> DType:
        return "F32"

    def shape(self, parts: Parts) -> tuple[int, ...]:
        return parts.get("weight", 2).shape

    def read(self, parts: Parts) -> RawTensor:
        codes = parts.get("weight", 2)
        values = _E4M3[codes.view(np.uint8)]
        name = next((each for each in SCALES if each in parts.arrays), None)
        if name is None:
            raise BadModelFile(f"The FP8 matrix {parts.module} has no {SCALES[0]}. Download the model again.")
        values *= _spread(parts, name, values.shape, self._block)
        return RawTensor("F32", values.shape, values.astype("<f4", copy=False).view(np.uint8))


def _spread(parts: Parts, name: str, shape: tuple[int, ...], block: tuple[int, int] | None) -> Array:
    """Return the scales in a shape that multiplies the matrix."""
    scales: Array = parts.arrays[name].astype(np.float32)
    if scales.size == 1:
        return scales.reshape(1, 1)
    if scales.shape in ((shape[0],), (shape[0], 1)):
        return scales.reshape(-1, 1)
    if block is not None and scales.shape == tuple(-(-n // size) for n, size in zip(shape, block, strict=True)):
        return scales.repeat(block[0], axis=0)[: shape[0]].repeat(block[1], axis=1)[:, : shape[1]]
    raise BadModelFile(f"{parts.module}.{name} is {list(scales.shape)}, which fits no matrix of {list(shape)}.")
