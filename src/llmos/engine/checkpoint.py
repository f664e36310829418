"""Open the files of a model: its spec, its tensors by canonical name, its tokenizer. Formats end here."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.architectures import ROPE_FACTORS, Source, family_of_gguf, family_of_model_type
from llmos.engine.formats.gguf import GGUFFile
from llmos.engine.formats.json_file import read_json_object
from llmos.engine.formats.safetensors import SafetensorsFolder
from llmos.engine.recommended import recommended_sampling
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import LazyTensors, RawTensor

if TYPE_CHECKING:
    from llmos.engine.tokenizer import Tokenizer

Format = Literal["gguf", "safetensors"]

_GGUF_SAMPLING = {
    "temperature": "temp",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "penalty_repeat",
}
"""Our names -> those in a GGUF file's metadata, after "general.sampling."."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What the files say about themselves, for a list of models."""

    format: Format
    family: str
    num_parameters: int
    """Of an unsupported model, those in tensors that we can read."""
    dtype_summary: str
    """How most of the parameters are stored, such as "Q4_1"; "unknown" where that is no type that we read."""
    context_length: int | None
    license: str | None
    sampling: Mapping[str, float]
    """What its makers recommend, by the names of SamplingParams."""
    unsupported: str | None
    """Why this engine can't run the model, None where it can."""


class Checkpoint:
    """A model that this engine can run. Its tensors are all there and have the shapes that the spec wants."""

    def __init__(self, files: "_Files", spec: DecoderSpec, sources: Mapping[str, Source]) -> None:
        self.spec = spec
        self.tensors: Mapping[str, RawTensor] = LazyTensors(
            sources, lambda _, source: source.load(files.tensors[source.name])
        )
        """By canonical name. Nothing is read, cut or turned before it is asked for."""
        self.num_parameters = _num_parameters(spec)
        self.dtype_summary = _dtype_summary(files.tensors)
        self._files = files

    @property
    def family(self) -> str:
        return self.spec.family

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        return self._files.tokenizer()


def open_checkpoint(files: Mapping[str, Path]) -> Checkpoint:
    """Open a model from {"model.gguf": path}, or from the files of a Hugging Face folder by their names in it.

    Raises BadModelFile for files that are broken or incomplete, all missing tensors at once, and UnsupportedModel for
    sound ones that this engine can't run.
    """
    return _checkpoint(_open_files(files))


def describe(files: Mapping[str, Path]) -> Description:
    """Return the facts about a model, also of one that this engine can't run. Raises BadModelFile for broken files.

    Checks everything that opening checks, but reads neither weights nor tokenizer.
    """
    opened = _open_files(files)
    unsupported: str | None = None
    try:
        spec = _checkpoint(opened).spec
    except UnsupportedModel as error:
        unsupported = error.message
        num_parameters, context_length = sum(_sizes(opened.tensors).values()), opened.context_length
    else:
        num_parameters, context_length = _num_parameters(spec), spec.max_positions
    return Description(
        format=opened.format,
        family=opened.family,
        num_parameters=num_parameters,
        dtype_summary=_dtype_summary(opened.tensors),
        context_length=context_length,
        license=opened.license,
        sampling=opened.sampling,
        unsupported=unsupported,
    )


def _open_files(files: Mapping[str, Path]) -> "_Files":
    ggufs = sorted(name for name in files if name.endswith(".gguf"))
    # A folder with both holds the original weights and somebody's quantizations of them; the original is the model.
    if "config.json" in files and (not ggufs or any(name.endswith(".safetensors") for name in files)):
        return _FolderFiles(files)
    if not ggufs:
        raise BadModelFile("These files are no model: there is neither a .gguf file nor a config.json among them.")
    if len(ggufs) > 1:
        raise BadModelFile(f"There are {len(ggufs)} GGUF files ({', '.join(ggufs)}); a model is one of them.")
    return _GGUFFiles(files[ggufs[0]], ggufs[0])


class _Files(Protocol):
    """The little in which the formats differ."""

    format: Format
    family: str
    """What the files say; whether there is such a family shows in `spec_and_sources`."""
    context_length: int | None
    license: str | None
    sampling: Mapping[str, float]
    tensors: Mapping[str, RawTensor]

    def spec_and_sources(self) -> tuple[DecoderSpec, dict[str, Source]]: ...
    def tokenizer(self) -> "Tokenizer": ...


class _GGUFFiles:
    format: Format = "gguf"

    def __init__(self, path: Path, name: str) -> None:
        file = GGUFFile(path, name)
        self.tensors, self._metadata = file.tensors, file.metadata
        self.family = _text(self._metadata.get("general.architecture")) or "unknown"
        self.context_length = _count(self._metadata.get(f"{self.family}.context_length"))
        self.license = _text(self._metadata.get("general.license"))
        self.sampling: Mapping[str, float] = recommended_sampling(
            {ours: self._metadata.get(f"general.sampling.{theirs}") for ours, theirs in _GGUF_SAMPLING.items()}
        )

    def spec_and_sources(self) -> tuple[DecoderSpec, dict[str, Source]]:
        num_parts = self._metadata.get("split.count", 1)
        if num_parts not in (0, 1):
            raise UnsupportedModel(
                f"This file is one of {num_parts} parts of a model. "
                "Put them together first: llama-gguf-split --merge FIRST_PART WHOLE."
            )
        kind = self._metadata.get("general.type", "model")
        if kind != "model":
            raise UnsupportedModel(f"This GGUF file holds no whole model; its general.type is {kind!r}.")
        family = family_of_gguf(self.family)
        spec = family.spec_from_gguf(self._metadata, self.tensors)
        sources = family.gguf_sources(spec)

        # A GGUF file holds what its model needs. A tensor that we'd leave out would change the answers.
        unused = set(self.tensors) - {source.name for source in sources.values()} - {ROPE_FACTORS}
        if unused and not _missing(self.tensors, sources):
            raise UnsupportedModel(f"A {spec.family} model has no place for {_listed(unused)}.")
        return spec, sources

    def tokenizer(self) -> "Tokenizer":
        from llmos.engine.tokenizer import Tokenizer  # its library is slow to load, and `describe` doesn't need it

        return Tokenizer.from_gguf(self._metadata)


class _FolderFiles:
    format: Format = "safetensors"

    def __init__(self, files: Mapping[str, Path]) -> None:
        folder = SafetensorsFolder(files)
        self.tensors, self._config, self._paths = folder.tensors, folder.config, files
        self.family = _text(self._config.get("model_type")) or "unknown"
        self.context_length = _count(self._config.get("max_position_embeddings"))
        self.license: str | None = None  # the folder has it in a README, for people
        generation = files.get("generation_config.json")
        self.sampling: Mapping[str, float] = recommended_sampling(
            read_json_object(generation, "generation_config.json") if generation else {}
        )

    def spec_and_sources(self) -> tuple[DecoderSpec, dict[str, Source]]:
        family = family_of_model_type(self.family)
        spec = family.spec_from_config(self._config)
        sources = family.hf_sources(spec)
        prefix: str = getattr(family, "HF_PREFIX", "model.")
        if not any(name.startswith(prefix) for name in self.tensors):
            # Saved from the bare model, without the class around it that has the head.
            sources = {key: replace(source, name=source.name.removeprefix(prefix)) for key, source in sources.items()}
        return spec, sources

    def tokenizer(self) -> "Tokenizer":
        from llmos.engine.tokenizer import Tokenizer

        return Tokenizer.from_files(self._paths)


def _checkpoint(files: _Files) -> Checkpoint:
    spec, sources = files.spec_and_sources()
    if missing := _missing(files.tensors, sources):
        total = len({source.name for source in sources.values()})
        raise BadModelFile(
            f"The files lack {len(missing)} of the {total} tensors that this {spec.family} model needs: "
            f"{_listed(missing)}."
        )
    if wrong := _wrong_shapes(files.tensors, spec, sources):
        raise BadModelFile(f"These tensors don't have the shape that the configuration asks for: {'; '.join(wrong)}.")
    return Checkpoint(files, spec, sources)


def _missing(tensors: Mapping[str, RawTensor], sources: Mapping[str, Source]) -> set[str]:
    return {source.name for source in sources.values()} - set(tensors)


def _wrong_shapes(tensors: Mapping[str, RawTensor], spec: DecoderSpec, sources: Mapping[str, Source]) -> list[str]:
    wanted: dict[str, tuple[int, ...]] = {}
    for canonical, shape in spec.tensor_shapes().items():
        source = sources[canonical]
        if source.rows is not None:
            # The parts of a fused tensor come in order, so the last one tells how many rows there are.
            shape = (source.rows.stop, *shape[1:])
        wanted[source.name] = shape[::-1] if source.transpose else shape
    return [
        f"{name} is {list(tensors[name].shape)} instead of {list(shape)}"
        for name, shape in wanted.items()
        if tensors[name].shape != shape
    ]


def _num_parameters(spec: DecoderSpec) -> int:
    return sum(prod(shape) for shape in spec.tensor_shapes().values())


def _dtype_summary(tensors: Mapping[str, RawTensor]) -> str:
    sizes = _sizes(tensors)
    num_unreadable = len(tensors) - len(sizes)
    if num_unreadable > len(sizes):
        return "unknown"
    by_dtype: Counter[str] = Counter()
    for name, size in sizes.items():
        by_dtype[tensors[name].dtype] += size
    return by_dtype.most_common(1)[0][0] if by_dtype else "unknown"


def _sizes(tensors: Mapping[str, RawTensor]) -> dict[str, int]:
    """Return the number of values in every tensor whose type this engine reads."""
    sizes = {}
    for name in tensors:
        with suppress(UnsupportedModel):
            sizes[name] = prod(tensors[name].shape)
    return sizes


def _listed(names: Iterable[str], limit: int = 200) -> str:
    """Return the names in the order of their layers; a damaged file may lack thousands."""
    ordered = sorted(
        names, key=lambda name: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
    )
    more = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return ", ".join(ordered[:limit]) + more


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= 200 and value.isprintable() else None


def _count(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
