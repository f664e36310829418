"""Quantizes a model's files."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llmos.core.progress import Progress, no_progress
from llmos.engine import _native
from llmos.engine.architectures import Source
from llmos.engine.checkpoint.model_writer import ModelWriter, gguf_compatible
from llmos.engine.compression.calibration.tokens import calibratable
from llmos.engine.compression.matrix_products import one_blas_thread
from llmos.engine.compression.parent import Parent, open_parent
from llmos.engine.compression.quantize.awq import AwqScheme
from llmos.engine.compression.quantize.calibrated import CalibratedScheme, GptqScheme
from llmos.engine.compression.quantize.plan import CALIBRATED, plan
from llmos.engine.compression.quantize.rounding import round_rows
from llmos.engine.compression.recipe import Recipe
from llmos.engine.compression.rows import Write, row_chunks
from llmos.engine.compression.survey import survey_and_calibrate
from llmos.engine.encoder_spec import ModelSpec
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Blocks, Encoding
from llmos.engine.spec import DecoderSpec

Ints = npt.NDArray[np.int32]

_FILE_TYPES = {"q8_0": 7, "q4_0": 2, "q4_1": 3, "gptq": 3, "awq": 3}
"""Scheme -> llama.cpp's file type, which says what most of a file's tensors are."""


@one_blas_thread()
def quantize(
    files: Mapping[str, Path],
    folder: Path,
    recipe: Recipe,
    progress: Progress = no_progress,
    *,
    text: Path | None = None,
    threads: int | None = None,
) -> dict[str, Path]:
    """Write the quantized model into the folder and return its files; unchanged ones are the parent's own.

    `text`: the calibration text; None for one that the model generates itself. Beside the activations, memory holds
    less than two times the largest tensor as floats; while the model generates a text, also the model as the engine
    loads it. Raises BadRequest for a recipe that doesn't suit this model, BadModelFile for damaged files,
    UnsupportedModel, and OSError.
    """
    opened = open_parent(files, threads=threads, progress=progress)
    parent, is_calibrated = opened.parent, recipe.scheme in CALIBRATED
    if is_calibrated:
        calibratable(parent.spec)
    encodings = plan(parent.spec, parent.tensors, recipe)
    if opened.opened.format == "gguf":
        encodings = gguf_compatible(encodings, opened.sources)
    encodings, tokens_SL = survey_and_calibrate(opened, encodings, recipe, text, is_calibrated=is_calibrated)
    has_ggml_types = all(isinstance(encoding, Blocks) for encoding in encodings.values())
    metadata = {
        "general.file_type": _FILE_TYPES.get(recipe.scheme, _file_type(encodings)) if has_ggml_types else None,
        "general.quantization_version": 2,
    }
    with ModelWriter(opened.opened, folder, parent.spec, opened.sources, encodings, metadata=metadata) as writer:
        shared_norms = _shared_norms(opened.sources)
        quantize_tensors(parent, recipe, encodings, tokens_SL, writer.write, shared_norms=shared_norms)
    return writer.files()


def quantize_tensors(
    parent: Parent[ModelSpec],
    recipe: Recipe,
    encodings: Mapping[str, Encoding],
    tokens_SL: Ints | None,
    write: Write,
    *,
    shared_norms: frozenset[str] = frozenset(),
) -> None:
    """Write every tensor of the spec: first those that are merely rounded, a few rows at a time, then those of a
    calibrated scheme, layer by layer.

    `shared_norms`: norms that are stored as one tensor with another one.
    """
    pool, scheme = _native.Pool(parent.threads), None
    if recipe.scheme in CALIBRATED:
        decoder = parent.with_spec(calibratable(parent.spec))
        scheme = _calibrated_scheme(decoder, recipe, encodings, write, pool, shared_norms)
    shapes = parent.spec.tensor_shapes()
    total, num_done = parent.num_values(encodings), 0
    for name in (name for name in encodings if scheme is None or not scheme.owns(name, shapes[name])):
        tensor, encoding = parent.tensors[name], encodings[name]
        is_unchanged = isinstance(encoding, Blocks) and encoding.kind == tensor.dtype
        for first, part in row_chunks(tensor):
            data = part.data if is_unchanged else round_rows(dequantize(part), encoding, recipe.scheme, pool)
            write(name, first, data)
            num_done += part.num_rows * part.num_columns
            parent.release_memory()
            parent.progress("quantizing", num_done, total)
    if scheme is None:
        return
    assert tokens_SL is not None, "a calibrated scheme needs a text"
    values_per_layer = (total - num_done) // scheme.spec.num_layers

    def on_layer(i: int) -> None:
        parent.release_memory()
        parent.progress("quantizing", num_done + values_per_layer * (i + 1), total)

    scheme.run(tokens_SL, on_layer)


def _calibrated_scheme(
    parent: Parent[DecoderSpec],
    recipe: Recipe,
    encodings: Mapping[str, Encoding],
    write: Write,
    pool: _native.Pool,
    shared_norms: frozenset[str],
) -> CalibratedScheme:
    if recipe.scheme == "gptq":
        return GptqScheme(parent.spec, parent.tensors, encodings, write, pool)
    return AwqScheme(parent.spec, parent.tensors, encodings, write, pool, shared_norms=shared_norms)


def _shared_norms(sources: Mapping[str, Source]) -> frozenset[str]:
    """Return the norms that are stored as one tensor with another one."""
    counts = Counter((source.name, source.index) for name, source in sources.items() if "norm" in name)
    return frozenset(name for name, source in sources.items() if counts[source.name, source.index] > 1)


def _file_type(encodings: Mapping[str, Encoding]) -> int | None:
    """Return llama.cpp's file type for the most frequent type of the tensors, floats aside."""
    kinds = Counter(encoding.kind for encoding in encodings.values() if isinstance(encoding, Blocks))
    kinds.pop("F32", None)
    return {"Q8_0": 7, "Q4_0": 2, "Q4_1": 3}.get(kinds.most_common(1)[0][0]) if kinds else None
