"""Quantizes a model's tensors in memory, to measure what a scheme costs without writing a file."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from llmos.engine.compression.calibration import calibration_of
from llmos.engine.compression.calibration.own_text import generate_text
from llmos.engine.compression.parent import Parent
from llmos.engine.compression.quantize.model import quantize_tensors
from llmos.engine.compression.quantize.plan import CALIBRATED, plan
from llmos.engine.compression.recipe import Recipe
from llmos.engine.compression.survey import survey
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor


def quantize_in_memory(
    spec: DecoderSpec, tensors: Mapping[str, RawTensor], recipe: Recipe, *, threads: int = 1
) -> dict[str, RawTensor]:
    """Return all tensors of the spec as the engine would read them from the quantized model's files."""
    parent = Parent(spec=spec, tensors=tensors, threads=threads)
    encodings = survey(parent, plan(spec, tensors, recipe), recipe)
    tokens_SL = None
    if recipe.scheme in CALIBRATED:
        tokens_SL = generate_text(spec, tensors, calibration_of(recipe.options), threads=threads)
    written: defaultdict[str, list[npt.NDArray[np.uint8]]] = defaultdict(list)

    def write(name: str, first: int, rows: npt.NDArray[np.uint8]) -> None:
        written[name].append(rows)

    quantize_tensors(parent, recipe, encodings, tokens_SL, write)
    quantized = {}
    for name, shape in spec.tensor_shapes().items():
        rows, num_columns = np.concatenate(written.pop(name)), shape[-1]
        tensor = encodings[name].take(rows.reshape(-1), (len(rows), num_columns), slice(None))
        quantized[name] = RawTensor(tensor.dtype, shape, tensor.data)
    return quantized
