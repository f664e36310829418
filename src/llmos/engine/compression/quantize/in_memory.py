"""A model's tensors -> quantized ones, without a file: for measuring what a scheme costs."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from llmos.engine.compression.calibration import calibration_of
from llmos.engine.compression.calibration.own_text import write_text
from llmos.engine.compression.quantize.model import quantize_tensors, survey
from llmos.engine.compression.quantize.plan import CALIBRATED, plan
from llmos.engine.compression.recipe import Recipe
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor


def quantize_in_memory(
    spec: DecoderSpec, tensors: Mapping[str, RawTensor], recipe: Recipe, *, threads: int = 1
) -> dict[str, RawTensor]:
    """Return all tensors of the spec, as the engine would read them of the quantized model's files."""
    encodings = survey(spec, tensors, plan(spec, tensors, recipe), recipe)
    tokens_SL = None
    if recipe.scheme in CALIBRATED:
        tokens_SL = write_text(spec, tensors, calibration_of(recipe.options), threads=threads)
    written: defaultdict[str, list[npt.NDArray[np.uint8]]] = defaultdict(list)

    def write(name: str, first: int, rows: npt.NDArray[np.uint8]) -> None:
        written[name].append(rows)

    quantize_tensors(spec, tensors, recipe, encodings, tokens_SL, write, threads=threads)
    made = {}
    for name, shape in spec.tensor_shapes().items():
        rows, num_columns = np.concatenate(written.pop(name)), shape[-1]
        tensor = encodings[name].take(rows.reshape(-1), (len(rows), num_columns), slice(None))
        made[name] = RawTensor(tensor.dtype, shape, tensor.data)
    return made
