"""Prunes a model's files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest, UnsupportedModel
from llmos.core.progress import Progress, no_progress
from llmos.engine.architectures import Source
from llmos.engine.checkpoint.model_files import FolderFiles, GGUFFiles, ModelFiles
from llmos.engine.checkpoint.model_writer import ModelWriter
from llmos.engine.compression.matrix_products import one_blas_thread
from llmos.engine.compression.parent import Parent, open_parent
from llmos.engine.compression.prune.shape import (
    folder_config,
    gguf_metadata,
    narrower_spec,
    num_layers_left,
    with_layers,
)
from llmos.engine.compression.prune.smaller import WidthPruner, blocks_of, choose_layers
from llmos.engine.compression.prune.sparse import encodings_of, write_sparse
from llmos.engine.compression.recipe import Recipe
from llmos.engine.compression.survey import survey_and_calibrate
from llmos.engine.encoder_spec import ModelSpec
from llmos.engine.formats.encoded import EncodedTensor
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import LazyTensors, RawTensor

Ints = npt.NDArray[np.int32]


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
    """Write the pruned model into the folder and return its files; unchanged ones are the parent's own.

    `text`: the calibration text; None for one that the model generates itself. Takes as much memory as quantize().
    Raises BadRequest for a recipe that doesn't suit this model, BadModelFile for damaged files, UnsupportedModel, and
    OSError.
    """
    opened = open_parent(files, threads=threads, progress=progress)
    parent = opened.parent.with_spec(_prunable(opened.parent.spec, opened.opened, recipe))
    spec, is_structured = parent.spec, recipe.scheme == "structured"
    if is_structured:
        # Fail before any work, except for what depends on the choice of layers.
        num_layers_left(spec, recipe.options)
        _metadata(opened.opened, spec, narrower_spec(spec, recipe.options), range(spec.num_layers))
    encodings = {} if is_structured else encodings_of(spec, parent.tensors, recipe)
    is_calibrated = recipe.scheme != "magnitude"
    # The survey checks the values of all tensors. What it returns is of interest to quantization alone.
    current = blocks_of(spec, parent.tensors)
    _, tokens_SL = survey_and_calibrate(opened, current, recipe, text, is_calibrated=is_calibrated)
    if is_structured:
        assert tokens_SL is not None
        return _write_smaller(opened.opened, folder, parent, recipe, tokens_SL)
    metadata = {"general.file_type": None}
    with ModelWriter(opened.opened, folder, spec, opened.sources, encodings, metadata=metadata) as writer:
        write_sparse(parent, recipe, encodings, tokens_SL, writer.write)
    return writer.files()


def _write_smaller(
    opened: ModelFiles,
    folder: Path,
    parent: Parent[DecoderSpec],
    recipe: Recipe,
    tokens_SL: Ints,
) -> dict[str, Path]:
    """Write the model without the layers, heads and channels that the recipe prunes."""
    spec = parent.spec
    count = num_layers_left(spec, recipe.options)
    kept = list(range(spec.num_layers))
    if count < spec.num_layers:
        kept = choose_layers(parent, tokens_SL, count)
    shallower, smaller = (with_layers(each, kept) for each in (spec, narrower_spec(spec, recipe.options)))
    kept_layers = parent.with_spec(shallower, _tensors_of_layers(shallower, parent.tensors, kept))
    metadata, sources, config = _metadata(opened, spec, smaller, kept)
    blocks = blocks_of(smaller, kept_layers.tensors)
    with ModelWriter(opened, folder, smaller, sources, blocks, metadata=metadata) as writer:
        WidthPruner(kept_layers, smaller, blocks, writer.write).run(tokens_SL)
    if config is None:
        return writer.files()
    path = folder / "config.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(config)))
    return writer.files() | {"config.json": path}


def _metadata(
    opened: ModelFiles, before: DecoderSpec, smaller: DecoderSpec, kept: Sequence[int]
) -> tuple[Mapping[str, Any], Mapping[str, Source], Mapping[str, Any] | None]:
    """Return the smaller model's changes of GGUF metadata and the sources of its tensors; or, for a folder, its
    config.json. Raises UnsupportedModel if the parent's format can't describe the smaller model."""
    if isinstance(opened, GGUFFiles):
        return *gguf_metadata(opened, before, smaller, kept), None
    assert isinstance(opened, FolderFiles)
    return {}, {}, folder_config(opened, before, smaller, kept)


def _prunable(spec: ModelSpec, opened: ModelFiles, recipe: Recipe) -> DecoderSpec:
    """Return the spec. Raises UnsupportedModel or BadRequest for a model that can't be pruned."""
    if not isinstance(spec, DecoderSpec):
        raise UnsupportedModel("This model makes embeddings; only models that generate text can be pruned.")
    if spec.num_experts:
        raise UnsupportedModel(
            "Models with a mixture of experts can't be pruned: the scores of their weights depend on which experts the"
            " calibration text is routed to. Quantize this one."
        )
    if spec.is_recurrent or spec.attention_gate:
        raise UnsupportedModel("Models with recurrent layers can't be pruned. Quantize this one.")
    if spec.has_unlike_layers:
        raise UnsupportedModel(
            "Models whose layers have heads of several sizes, share keys or have embeddings of their own can't be"
            " pruned. Quantize this one."
        )
    if any(isinstance(opened.tensors[name], EncodedTensor) for name in opened.tensors):
        raise BadRequest(
            "This model's weights are encoded by a recipe already. Prune the version that it was made from, then apply"
            " the recipe to the result."
        )
    return spec


def _tensors_of_layers(spec: DecoderSpec, tensors: Mapping[str, RawTensor], kept: list[int]) -> Mapping[str, RawTensor]:
    """Return the tensors of the kept layers by their new indices, and those outside of the layers."""

    def old(name: str) -> str:
        first, _, rest = name.partition(".")
        index, _, rest = rest.partition(".")
        return f"layers.{kept[int(index)]}.{rest}" if first == "layers" else name

    return LazyTensors({name: old(name) for name in spec.tensor_shapes()}, lambda _, name: tensors[name])
