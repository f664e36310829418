"""A model's files -> the files of the same model with weights, or whole parts, taken out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest, UnsupportedModel
from llmos.core.hardware import inspect_hardware
from llmos.core.progress import Progress, no_progress
from llmos.engine.architectures import Source
from llmos.engine.checkpoint.checkpoint import Checkpoint, validate_files
from llmos.engine.checkpoint.model_files import FolderFiles, GGUFFiles, ModelFiles, open_model_files
from llmos.engine.checkpoint.model_writer import ModelWriter
from llmos.engine.compression.calibration import calibration_of, calibration_tokens
from llmos.engine.compression.matrix_products import one_blas_thread
from llmos.engine.compression.prune.shape import config_of, gguf_of, narrower_spec, num_layers_left, with_layers
from llmos.engine.compression.prune.smaller import Narrower, blocks_of, layers_kept
from llmos.engine.compression.prune.sparse import encodings_of, write_sparse
from llmos.engine.compression.quantize.model import survey
from llmos.engine.compression.recipe import Recipe
from llmos.engine.encoder_spec import ModelSpec
from llmos.engine.formats.encoded import EncodedTensor
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import LazyTensors, RawTensor

Ints = npt.NDArray[np.int32]
Tokens = Callable[[], Ints]
"""What the model is watched on; written, or read, when it is asked for."""


@one_blas_thread()
def prune(
    files: Mapping[str, Path],
    folder: Path,
    recipe: Recipe,
    progress: Progress = no_progress,
    *,
    text: Path | None = None,
    threads: int | None = None,
) -> dict[str, Path]:
    """Write the pruned model into the folder and return its files, those among them that stay the parent's.

    `text`: what a scheme looks at that looks at one, where not what the model writes itself. Memory holds what it
    holds for quantize(). Raises BadRequest for what can't be done with this model, BadModelFile for one that is
    damaged, UnsupportedModel, and OSError.
    """
    opened = open_model_files(files)
    spec, sources = validate_files(opened)
    spec = _prunable(spec, opened, recipe)
    checkpoint, threads = Checkpoint(opened, spec, sources), threads or inspect_hardware().num_cores
    if recipe.scheme == "structured":
        # What can't be is told of at once, but for what depends on the layers that will be gone.
        num_layers_left(spec, recipe.options)
        _said(opened, spec, narrower_spec(spec, recipe.options), range(spec.num_layers))
    encodings = encodings_of(spec, checkpoint.tensors, recipe) if recipe.scheme != "structured" else {}
    tokens_SL = None
    if recipe.scheme != "magnitude" and text is not None:
        tokens_SL = calibration_tokens(checkpoint, calibration_of(recipe.options), text)
    survey(
        spec,
        checkpoint.tensors,
        blocks_of(spec, spec, checkpoint.tensors),
        recipe,
        forget=opened.release_memory,
        progress=progress,
    )
    if recipe.scheme != "magnitude" and text is None:
        tokens_SL = calibration_tokens(checkpoint, calibration_of(recipe.options), threads=threads, progress=progress)
        opened.release_memory()
    if recipe.scheme == "structured":
        assert tokens_SL is not None
        return _smaller(opened, files, folder, spec, checkpoint.tensors, recipe, tokens_SL, progress)
    metadata = {"general.file_type": None}
    with ModelWriter(opened, files, folder, spec, sources, encodings, metadata=metadata) as writer:
        write_sparse(
            spec, checkpoint.tensors, recipe, encodings, tokens_SL, writer.write,
            forget=opened.release_memory, progress=progress,
        )  # fmt: skip
    return writer.files()


def _smaller(
    opened: ModelFiles,
    files: Mapping[str, Path],
    folder: Path,
    spec: DecoderSpec,
    tensors: Mapping[str, RawTensor],
    recipe: Recipe,
    tokens_SL: Ints,
    progress: Progress,
) -> dict[str, Path]:
    count = num_layers_left(spec, recipe.options)
    kept = list(range(spec.num_layers))
    if count < spec.num_layers:
        kept = layers_kept(spec, tensors, tokens_SL, count, forget=opened.release_memory, progress=progress)
    shallower, smaller = (with_layers(each, kept) for each in (spec, narrower_spec(spec, recipe.options)))
    of_kept = _of_layers(shallower, tensors, kept)
    metadata, sources, config = _said(opened, spec, smaller, kept)
    blocks = blocks_of(shallower, smaller, of_kept)
    with ModelWriter(opened, files, folder, smaller, sources, blocks, metadata=metadata) as writer:
        Narrower(shallower, smaller, of_kept, blocks, writer.write).run(
            tokens_SL, forget=opened.release_memory, progress=progress
        )
    if config is None:
        return writer.files()
    path = folder / "config.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(config)))
    return writer.files() | {"config.json": path}


def _said(
    opened: ModelFiles, before: DecoderSpec, smaller: DecoderSpec, kept: Sequence[int]
) -> tuple[Mapping[str, Any], Mapping[str, Source], Mapping[str, Any] | None]:
    """Return what a GGUF file says of the smaller model, and where its tensors lie in it; of a folder its config.json.
    Raises UnsupportedModel where the parent's kind of file can't say it."""
    if isinstance(opened, GGUFFiles):
        return *gguf_of(opened, before, smaller, kept), None
    assert isinstance(opened, FolderFiles)
    return {}, {}, config_of(opened, before, smaller, kept)


def _prunable(spec: ModelSpec, opened: ModelFiles, recipe: Recipe) -> DecoderSpec:
    if not isinstance(spec, DecoderSpec):
        raise UnsupportedModel("This model makes vectors; only models that write text are pruned.")
    if spec.num_experts:
        raise UnsupportedModel(
            "Models with a mixture of experts aren't pruned: which experts a text goes through decides what its weights"
            " are worth. Quantize this one."
        )
    if any(isinstance(opened.tensors[name], EncodedTensor) for name in opened.tensors):
        raise BadRequest(
            "This model's weights are packed by a recipe already. Prune the version that it was made from, then apply"
            " the recipe to the result."
        )
    return spec


def _of_layers(spec: DecoderSpec, tensors: Mapping[str, RawTensor], kept: list[int]) -> Mapping[str, RawTensor]:
    """Return the tensors of the kept layers by their new numbers, and those outside of the layers."""

    def old(name: str) -> str:
        first, _, rest = name.partition(".")
        number, _, rest = rest.partition(".")
        return f"layers.{kept[int(number)]}.{rest}" if first == "layers" else name

    return LazyTensors({name: old(name) for name in spec.tensor_shapes()}, lambda _, name: tensors[name])
