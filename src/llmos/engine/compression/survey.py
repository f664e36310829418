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
from llmos.engine.formats.encodings import Blocks, Encoding, MinMax
from llmos.engine.tensors import DType

Ints = npt.NDArray[np.int32]

_MAX_FLOAT16 = float(np.finfo(np.float16).max)


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
        if max(-low, high) > _MAX_FLOAT16 and _uses_float16(encoding, tensors[name].dtype):
            raise BadRequest(
                f"Tensor {name} has values up to {max(-low, high):.3g}, and {recipe.scheme} stores its scales as 16-bit"
                f" floats, which end at {_MAX_FLOAT16:,.0f}. Use minmax, which stores 32-bit floats.",
                param="scheme",
            )
        if isinstance(encoding, MinMax) and recipe.options.get("per") == "tensor":
            surveyed[name] = replace(encoding, low=float(low), high=float(high))
    return surveyed


def _uses_float16(encoding: Encoding, dtype: DType) -> bool:
    """Return whether values or their scales become 16-bit floats that were none before."""
    if isinstance(encoding, Blocks):
        return encoding.kind not in (dtype, "F32", "BF16")
    return not isinstance(encoding, MinMax)
