"""A model that the engine can run, independent of its file format: spec, tensors by canonical name, tokenizer."""

from collections.abc import Mapping
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import Source
from llmos.engine.checkpoint.model_files import ModelFiles, open_model_files
from llmos.engine.checkpoint.reranker_files import tokenizer_for_pairs
from llmos.engine.encoder_spec import EncoderSpec, ModelSpec
from llmos.engine.formats.tensor_names import format_names
from llmos.engine.tensors import LazyTensors, RawTensor, dtype_of, shape_of

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer


class Checkpoint:
    """An open model. All tensors of its spec exist and have the right shapes."""

    def __init__(self, files: ModelFiles, spec: ModelSpec, sources: Mapping[str, Source]) -> None:
        self.spec = spec
        self.tensors: Mapping[str, RawTensor] = LazyTensors(
            sources,
            lambda _, source: source.load(files.tensors[source.name]),
            lambda _, source: source.dtype(dtype_of(files.tensors, source.name)),
        )
        """Tensors by canonical name. A tensor is read, sliced or transposed when it is accessed."""
        self._files = files

    @property
    def family(self) -> str:
        return self.spec.family

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """The tokenizer. Raises UnsupportedModel if the model has no embedding for a token that every prompt has."""
        from llmos.engine.text.tokenizer.fitting import check_fits  # with the tokenizer, which is slow to import

        tokenizer = self._files.tokenizer()
        if isinstance(self.spec, EncoderSpec) and self.spec.score_head is not None:
            return tokenizer_for_pairs(tokenizer, self.spec.score_head, self.spec.vocab_size)
        check_fits(tokenizer, self.spec.vocab_size, is_encoder=isinstance(self.spec, EncoderSpec))
        return tokenizer


def open_checkpoint(files: Mapping[str, Path]) -> Checkpoint:
    """Open a model from {"model.gguf": path}, or from a Hugging Face folder as file name -> path.

    Raises BadModelFile for damaged or incomplete files, naming all missing tensors, and UnsupportedModel for valid
    files of a model that the engine can't run.
    """
    opened = open_model_files(files)
    return Checkpoint(opened, *validate_files(opened))


def validate_files(files: ModelFiles) -> tuple[ModelSpec, dict[str, Source]]:
    """Return the spec of a model and the sources of its tensors. Raises what open_checkpoint raises."""
    spec, sources = files.spec_and_sources()
    names = {source.name for source in sources.values()}
    if missing := names - set(files.tensors):
        raise BadModelFile(
            f"The files lack {len(missing)} of the {len(names)} tensors that this {spec.family} model needs: "
            f"{format_names(missing)}."
        )
    if wrong := _wrong_shapes(files.tensors, spec, sources):
        raise BadModelFile(f"These tensors don't have the shape that the configuration requires: {'; '.join(wrong)}.")
    return spec, sources


def _wrong_shapes(tensors: Mapping[str, RawTensor], spec: ModelSpec, sources: Mapping[str, Source]) -> list[str]:
    expected: dict[str, tuple[int, ...]] = {}
    for canonical, shape in spec.tensor_shapes().items():
        source = sources[canonical]
        found = tensors[source.name].shape
        if source.flatten and prod(found) == prod(shape):
            shape = found
        if source.row is not None and len(found) == 2 and source.row < found[0]:
            shape = (found[0], *shape)
        if source.rows is not None:
            # The last part of a fused tensor or of a stack gives the number of its rows.
            shape = (source.rows.stop, *shape[1:])
        if source.grouped is not None:
            shape = (source.grouped.num_groups * source.grouped.group_size, *shape[1:])
        if source.transpose:
            shape = shape[::-1]
        shape = shape if source.index is None else (source.index + 1, *shape)
        expected[source.name] = max(shape, expected.get(source.name, shape))
    return [
        f"{name} is {list(found)} instead of {list(shape)}"
        for name, shape in expected.items()
        if (found := shape_of(tensors, name)) != shape
    ]
