"""A model's files -> the files of the same model in fewer bits."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile, BadRequest
from llmos.core.hardware import inspect_hardware
from llmos.core.progress import Progress, no_progress
from llmos.engine import _native
from llmos.engine.architectures import Source
from llmos.engine.checkpoint.checkpoint import Checkpoint, validate_files
from llmos.engine.checkpoint.model_files import open_model_files
from llmos.engine.checkpoint.model_writer import ModelWriter, gguf_compatible
from llmos.engine.compression.calibration.tokens import calibratable, calibration_of, calibration_tokens
from llmos.engine.compression.matrix_products import one_blas_thread
from llmos.engine.compression.quantize.awq import AwqScheme
from llmos.engine.compression.quantize.calibrated import CalibratedScheme, GptqScheme
from llmos.engine.compression.quantize.plan import CALIBRATED, plan
from llmos.engine.compression.quantize.rounding import rounded
from llmos.engine.compression.quantize.rows import Write, runs
from llmos.engine.compression.recipe import Recipe
from llmos.engine.encoder_spec import ModelSpec
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Blocks, Encoding, MinMax
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import DType, RawTensor

Ints = npt.NDArray[np.int32]
Forget = Callable[[], None]

_MOST_HALF = float(np.finfo(np.float16).max)

_FILE_TYPES = {"q8_0": 7, "q4_0": 2, "q4_1": 3, "gptq": 3, "awq": 3}
"""llama.cpp's numbers for what most of a file's tensors are."""


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
    """Write the quantized model into the folder and return its files, those among them that stay the parent's.

    `text`: what a calibrated scheme looks at, where not what the model writes itself. Beside the activations memory
    holds less than two of the largest tensor as floats, and for what the model writes itself, while it does, the model
    as the engine loads it. Raises BadRequest for what can't be done with this model, BadModelFile for one that is
    damaged, UnsupportedModel, and OSError.
    """
    opened = open_model_files(files)
    spec, sources = validate_files(opened)
    checkpoint, threads = Checkpoint(opened, spec, sources), threads or inspect_hardware().num_cores
    if recipe.scheme in CALIBRATED:
        calibratable(spec)
    encodings = plan(spec, checkpoint.tensors, recipe)
    if opened.format == "gguf":
        encodings = gguf_compatible(encodings, sources)
    tokens_SL = None
    if recipe.scheme in CALIBRATED and text is not None:  # a text that is too short is told of at once
        tokens_SL = calibration_tokens(checkpoint, calibration_of(recipe.options), text)
    encodings = survey(spec, checkpoint.tensors, encodings, recipe, forget=opened.release_memory, progress=progress)
    if recipe.scheme in CALIBRATED and text is None:
        calibration = calibration_of(recipe.options)
        tokens_SL = calibration_tokens(checkpoint, calibration, threads=threads, progress=progress)
        opened.release_memory()
    is_own = all(isinstance(encoding, Blocks) for encoding in encodings.values())
    metadata = {
        "general.file_type": _FILE_TYPES.get(recipe.scheme, _file_type(encodings)) if is_own else None,
        "general.quantization_version": 2,
    }
    with ModelWriter(opened, files, folder, spec, sources, encodings, metadata=metadata) as writer:
        quantize_tensors(
            spec,
            checkpoint.tensors,
            recipe,
            encodings,
            tokens_SL,
            writer.write,
            shared_norms=_shared(sources),
            threads=threads,
            forget=opened.release_memory,
            progress=progress,
        )
    return writer.files()


def survey(
    spec: ModelSpec,
    tensors: Mapping[str, RawTensor],
    encodings: Mapping[str, Encoding],
    recipe: Recipe,
    *,
    forget: Forget = lambda: None,
    progress: Progress = no_progress,
) -> dict[str, Encoding]:
    """Read all tensors once: return the encodings, with the ends of those that have them per tensor.

    Raises BadModelFile where a weight is no number: once a model works with it, nobody can tell which it was; and
    BadRequest where one is too large for the 16-bit floats that an encoding keeps its scales in.
    """
    found, total, num_done = dict(encodings), _num_values(spec, spec.tensor_shapes()), 0
    for name, encoding in encodings.items():
        low, high = np.inf, -np.inf
        for _, part in runs(tensors[name]):
            values = dequantize(part)
            low, high = np.minimum(low, values.min()), np.maximum(high, values.max())
            num_done += values.size
            forget()
            progress("looking at the weights", num_done, total)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise BadModelFile(f"Tensor {name} holds values that are no numbers. Download the model again.")
        if max(-low, high) > _MOST_HALF and _has_halves(encoding, tensors[name].dtype):
            raise BadRequest(
                f"Tensor {name} holds values up to {max(-low, high):.3g}, and the 16-bit floats of {recipe.scheme} end"
                f" at {_MOST_HALF:,.0f}. Take minmax, whose ends are 32-bit floats.",
                param="scheme",
            )
        if isinstance(encoding, MinMax) and recipe.options.get("per") == "tensor":
            found[name] = replace(encoding, low=float(low), high=float(high))
    return found


def _has_halves(encoding: Encoding, dtype: DType) -> bool:
    """Whether values become 16-bit floats, or are told by some, that weren't so before."""
    if isinstance(encoding, Blocks):
        return encoding.kind not in (dtype, "F32", "BF16")
    return not isinstance(encoding, MinMax)


def quantize_tensors(
    spec: ModelSpec,
    tensors: Mapping[str, RawTensor],
    recipe: Recipe,
    encodings: Mapping[str, Encoding],
    tokens_SL: Ints | None,
    write: Write,
    *,
    shared_norms: frozenset[str] = frozenset(),
    threads: int = 1,
    forget: Forget = lambda: None,
    progress: Progress = no_progress,
) -> None:
    """Write every tensor of the spec: what needs no text a few rows at a time, then the rest layer by layer.

    `forget` is called when what was read of the tensors won't be needed soon.
    """
    pool, scheme = _native.Pool(threads), None
    if recipe.scheme in CALIBRATED:
        scheme = _calibrated(calibratable(spec), tensors, recipe, encodings, write, pool, shared_norms)
    shapes = spec.tensor_shapes()
    rest = [name for name in encodings if scheme is None or not scheme.owns(name, shapes[name])]
    total, num_done = _num_values(spec, encodings), 0
    for name in rest:
        tensor, encoding = tensors[name], encodings[name]
        for first, part in runs(tensor):
            is_same = isinstance(encoding, Blocks) and encoding.kind == tensor.dtype
            write(name, first, part.data if is_same else rounded(dequantize(part), encoding, recipe.scheme, pool))
            num_done += part.num_rows * part.num_columns
            forget()
            progress("quantizing", num_done, total)
    if scheme is not None:
        assert tokens_SL is not None, "a calibrated scheme has a text"
        each = (total - num_done) // scheme.spec.num_layers

        def layer_done(i: int) -> None:
            forget()
            progress("quantizing", num_done + each * (i + 1), total)

        scheme.run(tokens_SL, layer_done)


def _calibrated(
    spec: DecoderSpec,
    tensors: Mapping[str, RawTensor],
    recipe: Recipe,
    encodings: Mapping[str, Encoding],
    write: Write,
    pool: _native.Pool,
    shared_norms: frozenset[str],
) -> CalibratedScheme:
    if recipe.scheme == "gptq":
        return GptqScheme(spec, tensors, encodings, write, pool)
    return AwqScheme(spec, tensors, encodings, write, pool, shared_norms=shared_norms)


def _shared(sources: Mapping[str, Source]) -> frozenset[str]:
    """Return the norms that are one with another in the file."""
    counts = Counter((source.name, source.index) for name, source in sources.items() if "norm" in name)
    return frozenset(name for name, source in sources.items() if counts[source.name, source.index] > 1)


def _file_type(encodings: Mapping[str, Encoding]) -> int | None:
    kinds = Counter(encoding.kind for encoding in encodings.values() if isinstance(encoding, Blocks))
    kinds.pop("F32", None)
    return {"Q8_0": 7, "Q4_0": 2, "Q4_1": 3}.get(kinds.most_common(1)[0][0]) if kinds else None


def _num_values(spec: ModelSpec, names: Mapping[str, object]) -> int:
    shapes = spec.tensor_shapes()
    return sum(int(np.prod(shapes[name])) for name in names)
