"""The files of a model: one GGUF file or its parts, or a Hugging Face folder. Only this module knows both formats."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.core.suggest import nearest
from llmos.engine.architectures import (
    EMBEDDER_SUFFIX,
    RERANKER_SUFFIX,
    Family,
    Source,
    config_spec,
    family_of_gguf,
    family_of_model_type,
    gguf_family_name,
    gguf_spec,
    sources_in_files,
    sources_in_gguf,
    with_sentence_files,
)
from llmos.engine.checkpoint.compressed import KEYS as COMPRESSION_KEYS
from llmos.engine.checkpoint.compressed import decompress
from llmos.engine.checkpoint.ignored_keys import read_ignored_keys
from llmos.engine.checkpoint.recommended import recommended_sampling
from llmos.engine.checkpoint.reranker_files import check_classifier, family_suffix, reranker_spec_and_sources
from llmos.engine.encoder_spec import DecoderEmbedderSpec, EncoderSpec, ModelSpec, embedder_of
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.gguf_parts import GGUFParts
from llmos.engine.formats.json_file import read_json_object
from llmos.engine.formats.tensor_names import format_names
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer

Format = Literal["gguf", "safetensors"]

_HEADS = frozenset({"classifier", "qa_outputs", "reward_head", "rm_head", "score", "v_head", "value_head"})
"""The first parts of the names of tensors that make classes or rewards of hidden states."""

_COMPARED_VALUES = 1 << 22
"""Values of a head and an embedding that are compared at once."""

_GGUF_SAMPLING = {
    "temperature": "temp",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "penalty_repeat",
}
"""Names in SamplingParams -> names in GGUF metadata after "general.sampling."."""


class ModelFiles(Protocol):
    """The files of a model in one format."""

    format: Format
    paths: Mapping[str, Path]
    """File name -> path."""
    family: str
    """The name in the files. Whether the engine knows the family shows in spec_and_sources()."""
    context_length: int | None
    license: str | None
    sampling: Mapping[str, float]
    left_out: tuple[str, ...]
    """Inputs besides text that the model takes and the engine leaves out: "images", "sound"."""
    tensors: Mapping[str, RawTensor]

    def spec_and_sources(self) -> tuple[ModelSpec, dict[str, Source]]:
        """Return the spec and the sources of its tensors. Raises BadModelFile or UnsupportedModel."""

    def tokenizer(self) -> "Tokenizer":
        """Return the tokenizer. Raises BadModelFile or UnsupportedModel."""

    def release_memory(self) -> None:
        """Release the memory of the pages that were read. They are read from the files again when needed."""


def open_model_files(files: Mapping[str, Path]) -> ModelFiles:
    """Open the files of a model (file name -> path). Raises BadModelFile if they are damaged or not a model."""
    ggufs = sorted(name for name in files if name.endswith(".gguf"))
    # A folder with both has the original weights and quantizations of them; use the original.
    if "config.json" in files and (not ggufs or any(name.endswith(".safetensors") for name in files)):
        return FolderFiles(files)
    if not ggufs:
        raise BadModelFile("These files are not a model: there is neither a .gguf file nor a config.json among them.")
    return GGUFFiles(files, ggufs)


class GGUFFiles:
    format: Format = "gguf"
    left_out: tuple[str, ...] = ()  # such parts of a model are files of their own

    def __init__(self, files: Mapping[str, Path], names: Collection[str]) -> None:
        """`names`: of the one GGUF file, or of the parts of a model, among the files."""
        file = GGUFParts({name: files[name] for name in names})
        self.paths = files
        self._ignored = read_ignored_keys(files)
        self.tensors, self.metadata, self.release_memory = file.tensors, file.metadata, file.release_memory
        self._architecture = _text(self.metadata.get("general.architecture")) or "unknown"
        self.family = gguf_family_name(self.metadata, self._architecture)
        self.context_length = _count(self.metadata.get(f"{self._architecture}.context_length"))
        self.license = _text(self.metadata.get("general.license"))
        self.sampling: Mapping[str, float] = recommended_sampling(
            {ours: self.metadata.get(f"general.sampling.{theirs}") for ours, theirs in _GGUF_SAMPLING.items()}
        )

    def spec_and_sources(self) -> tuple[ModelSpec, dict[str, Source]]:
        kind = self.metadata.get("general.type", "model")
        if kind != "model":
            raise UnsupportedModel(f"This GGUF file is not a complete model; its general.type is {kind!r}.")
        family = family_of_gguf(self._architecture)
        _check_present(self._ignored, self.metadata)
        spec = gguf_spec(family, self.metadata, self.tensors, self._ignored)
        # A GGUF file has no more tensors than its model needs. Ignoring one would change the answers.
        sources, unused = sources_in_gguf(family, spec, set(self.tensors))
        if unused and {source.name for source in sources.values()} <= set(self.tensors):
            raise UnsupportedModel(f"This engine's {spec.family} models have no {format_names(unused)}.")
        return spec, sources

    def tokenizer(self) -> "Tokenizer":
        from llmos.engine.text.tokenizer import Tokenizer  # slow to import, and describe() doesn't need it

        return Tokenizer.from_gguf(self.metadata)


class FolderFiles:
    format: Format = "safetensors"

    def __init__(self, files: Mapping[str, Path]) -> None:
        from llmos.engine.formats.safetensors import SafetensorsFolder  # GGUF files don't need the library

        folder = SafetensorsFolder(files)
        self.paths, self.config = files, folder.config
        self._ignored = read_ignored_keys(files)
        self.tensors, self.release_memory = decompress(folder.config, folder), folder.release_memory
        self._has_canonical_names = folder.has_canonical_names
        self.family = self._model_type = _text(self.config.get("model_type")) or "unknown"
        self.family += family_suffix(self._model_type, self.config, files)
        text = self.config.get("text_config")  # of a model that also takes images
        fields = self.config if not isinstance(text, Mapping) else text
        self.context_length = _count(fields.get("max_position_embeddings"))
        self.license: str | None = None  # only in the README, for people to read
        self.left_out = tuple(
            what
            for key, what in (("vision_config", "images"), ("audio_config", "sound"))
            if isinstance(text, Mapping) and isinstance(self.config.get(key), Mapping)
        )
        generation = files.get("generation_config.json")
        self.sampling: Mapping[str, float] = recommended_sampling(
            read_json_object(generation, "generation_config.json") if generation else {}
        )

    def spec_and_sources(self) -> tuple[ModelSpec, dict[str, Source]]:
        family = family_of_model_type(self._model_type)
        _check_present(self._ignored, self.config)
        config = {key: value for key, value in self.config.items() if key not in COMPRESSION_KEYS}
        if self.family.endswith(RERANKER_SUFFIX):
            reranker, sources = reranker_spec_and_sources(
                family, config, self._ignored, self.paths, self.tensors, partial(self._sources, family)
            )
            _check_heads(set(self.tensors) - {source.name for source in sources.values()})
            return reranker, sources
        check_classifier(family, self.config)
        spec = config_spec(family, config, self._ignored)
        if isinstance(spec, DecoderSpec) and self.family.endswith(EMBEDDER_SUFFIX):
            spec = embedder_of(spec, family=self.family)
        sources = self._sources(family, spec)
        _check_heads(set(self.tensors) - {source.name for source in sources.values()})
        if isinstance(spec, DecoderSpec) and spec.tied_head:
            untied = replace(spec, tied_head=False)
            head = self._sources(family, untied)["head.weight"]
            has_head = head.name in self.tensors
            if has_head and not _has_equal_values(head, sources["embed.weight"], self.tensors):
                # Trained with a head of its own, and saved with the flag of the model that it was made from.
                return untied, sources | {"head.weight": head}
        return with_sentence_files(spec, self.paths) if isinstance(spec, EncoderSpec) else spec, sources

    def _sources(self, family: Family, spec: ModelSpec) -> dict[str, Source]:
        if self._has_canonical_names:
            return {name: Source(name) for name in spec.tensor_shapes()}
        described = spec.decoder if isinstance(spec, DecoderEmbedderSpec) else spec
        return sources_in_files(family, described, self.tensors)

    def tokenizer(self) -> "Tokenizer":
        from llmos.engine.text.tokenizer import Tokenizer

        return Tokenizer.from_files(self.paths)


def _check_heads(unused: Collection[str]) -> None:
    """Raise UnsupportedModel if there is a head for classes or rewards among the tensors that the model doesn't use."""
    if heads := [name for name in unused if name.partition(".")[0] in _HEADS]:
        raise UnsupportedModel(
            f"The files have {format_names(heads)}, a head for classes or rewards, which this engine does not run."
        )


def _check_present(ignored: Collection[str], values: Mapping[str, Any]) -> None:
    """Raise BadModelFile for ignored keys that the file doesn't have: they may be misspelt."""
    for key in sorted(ignored):
        found: Any = values
        if key not in values:
            for part in key.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
        if found is None:
            raise BadModelFile(
                f"The key {key!r:.80} is to be ignored, but the model's configuration has no such key."
                + "".join(f" Nearest: {each}." for each in nearest(key, [*values], 1))
            )


def _has_equal_values(head: Source, embed: Source, tensors: Mapping[str, RawTensor]) -> bool:
    """Return whether two tensors of the file have the same values, compared a few rows at a time."""
    first, second = (source.load(tensors[source.name]) for source in (head, embed))
    if first.shape != second.shape:
        return False
    step = max(1, _COMPARED_VALUES // first.num_columns)
    for begin in range(0, first.num_rows, step):
        rows = slice(begin, min(begin + step, first.num_rows))
        if not np.array_equal(dequantize(first.take_rows(rows)), dequantize(second.take_rows(rows)), equal_nan=True):
            return False
    return True


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= 200 and value.isprintable() else None


def _count(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
