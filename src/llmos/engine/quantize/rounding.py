"""Rows of floats -> rows as an encoding has them, by rounding alone."""

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.formats.encodings import AbsMax, Affine, Blocks, Encoding, MinMax
from llmos.engine.quantize.absmax import round_absmax
from llmos.engine.quantize.affine import round_affine
from llmos.engine.quantize.blocks import round_to_q4_0, round_to_q4_1, round_to_q8_0
from llmos.engine.quantize.minmax import round_minmax

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def rounded(values_RC: Floats, encoding: Encoding, scheme: str, pool: _native.Pool) -> Bytes:
    """Return the rows. `scheme`: whose rounding, where several have the encoding."""
    match encoding:
        case Blocks("F32"):
            return np.ascontiguousarray(values_RC, "<f4").view(np.uint8)
        case Blocks("F16"):
            return values_RC.astype("<f2").view(np.uint8)
        case Blocks("Q8_0"):
            return round_to_q8_0(values_RC).data
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
    raise ValueError(f"nothing is rounded to {encoding.label}")
