"""Rounds rows of floats to an encoding."""

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.compression.quantize.absmax import round_absmax
from llmos.engine.compression.quantize.affine import round_affine
from llmos.engine.compression.quantize.blocks import round_to_q4_0, round_to_q4_1, round_to_q8_0
from llmos.engine.compression.quantize.minmax import round_minmax
from llmos.engine.formats.encodings import AbsMax, Affine, Blocks, Encoding, MinMax
from llmos.engine.tensors import DType

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def round_rows(values_RC: Floats, encoding: Encoding, scheme: str, pool: _native.Pool) -> Bytes:
    """Return the rows in this encoding, as bytes. `scheme`: chooses among the ways to round to the same encoding."""
    match encoding:
        case Blocks("F32" | "F16" | "BF16" | "Q8_0" as kind):
            return to_dtype(values_RC, kind)
        case Blocks("Q4_0") if scheme == "absmax":
            symmetric = AbsMax(4, 32)
            return symmetric.decode(round_absmax(values_RC, symmetric), values_RC.shape[1]).data
        case Blocks("Q4_0"):
            return round_to_q4_0(values_RC).data
        case Blocks("Q4_1"):
            return round_to_q4_1(values_RC, pool).data
        case Affine():
            return round_affine(values_RC, np.ones(values_RC.shape[1], np.float32), encoding)
        case MinMax():
            return round_minmax(values_RC, encoding)
        case AbsMax():
            return round_absmax(values_RC, encoding)
    raise ValueError(f"no rounding to {encoding.label}")


def to_dtype(values_RC: Floats, kind: DType) -> Bytes:
    """Return the rows as 32-bit or 16-bit floats, or as Q8_0."""
    match kind:
        case "F32":
            return np.ascontiguousarray(values_RC, "<f4").view(np.uint8)
        case "F16":
            return values_RC.astype("<f2").view(np.uint8)
        case "BF16":
            # The upper half of a float32, rounded to nearest, ties to even.
            bits_RC = np.ascontiguousarray(values_RC, "<f4").view("<u4")
            upper_RC: Bytes = ((bits_RC + 0x7FFF + ((bits_RC >> 16) & 1)) >> 16).astype("<u2").view(np.uint8)
            return upper_RC
        case "Q8_0":
            return round_to_q8_0(values_RC).data
    raise ValueError(f"no rounding to {kind}")
