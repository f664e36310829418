"""The first steps of every scheme: read all weights once, and get the calibration tokens if the scheme needs any."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile, BadRequest
from llmos.engine.compression.calibration import calibration_of, calibration_tokens
from llmos.engine.compression.parent import Parent, ParentFiles
from llmos.engine.compression.recipe import Recipe
from llmos.engine.compression.rows import row_chunks
from llmos.engine.encoder_spec import ModelSpec
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import AbsMax, Blocks, Encoding, MinMax
from llmos.engine.tensors import DType

Ints = npt.NDArray[np.int32]

_MAX_FLOAT16 = float(np.finfo(np.float16).max)
_LARGEST_INTEGERS: dict[DType, int] = {"Q8_0": 127, "Q4_0": 7}
"""The largest integer of block types that have a scale and no minimum. Q4_0 reaches -8, but only on one side."""


def survey_and_calibrate(
    files: ParentFiles, encodings: Mapping[str, Encoding], recipe: Recipe, text: Path | None, *, is_calibrated: bool
) -> tuple[dict[str, Encoding], Ints | None]:
    """Return what survey() returns, and the calibration tokens [S, L]; None for a scheme that needs none.

    `text`: the user's calibration text; None for one that the model generates. Raises what survey() and
    calibration_tokens() raise.
    """
    parent = files.parent
    if not is_calibrated:
        return survey(parent, encodings, recipe), None
    calibration = calibration_of(recipe.options)
    if text is not None:
        # Before the survey, which may take minutes: a text that is too short is refused at once.
        tokens_SL = calibration_tokens(files.checkpoint, calibration, text)
        return survey(parent, encodings, recipe), tokens_SL
    surveyed = survey(parent, encodings, recipe)
    tokens_SL = calibration_tokens(files.checkpoint, calibration, threads=parent.threads, progress=parent.progress)
    parent.release_memory()
    return surveyed, tokens_SL


def survey(parent: Parent[ModelSpec], encodings: Mapping[str, Encoding], recipe: Recipe) -> dict[str, Encoding]:
    """Read all tensors once and return the encodings, those with one range per tensor filled in.

    Raises BadModelFile for a weight that is NaN or infinite, since it could no longer be found once the model computes
    with it; and BadRequest for one that is too large for the 16-bit floats in which an encoding keeps its scales.
    """
    tensors, surveyed, num_done = parent.tensors, dict(encodings), 0
    total = parent.num_values(parent.spec.tensor_shapes())
    for name, encoding in encodings.items():
        low, high = np.inf, -np.inf
        for _, part in row_chunks(tensors[name]):
            values = dequantize(part)
            low, high = np.minimum(low, values.min()), np.maximum(high, values.max())
            num_done += values.size
            parent.release_memory()
            parent.progress("reading the weights", num_done, total)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise BadModelFile(f"Tensor {name} has values that are NaN or infinite. Download the model again.")
        if max(-low, high) > (limit := _largest_value(encoding, tensors[name].dtype)):
            raise BadRequest(
                f"Tensor {name} has values up to {max(-low, high):,.0f}, and {recipe.scheme} holds values up to"
                f" {limit:,.0f}: it stores its scales as 16-bit floats. Use minmax, which stores 32-bit floats.",
                param="scheme",
            )
        if isinstance(encoding, MinMax) and recipe.options.get("per") == "tensor":
            surveyed[name] = replace(encoding, low=float(low), high=float(high))
    return surveyed


def _largest_value(encoding: Encoding, dtype: DType) -> float:
    """Return the largest magnitude that the encoding holds: the largest 16-bit float, times the largest integer where
    that float is a scale. `dtype`: of the tensor now, which can be kept."""
    if isinstance(encoding, MinMax) or (isinstance(encoding, Blocks) and encoding.kind in (dtype, "F32", "BF16")):
        return np.inf
    if isinstance(encoding, AbsMax):
        return _MAX_FLOAT16 * float((1 << (encoding.bits - 1)) - 1)
    if isinstance(encoding, Blocks):
        return _MAX_FLOAT16 * _LARGEST_INTEGERS.get(encoding.kind, 1)
    return _MAX_FLOAT16  # The minimum of a group is a 16-bit float.
