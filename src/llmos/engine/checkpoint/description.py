"""What a model's files say about themselves, also those of a model that this engine can't run."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

from llmos.core.errors import UnsupportedModel
from llmos.engine.checkpoint.checkpoint import validate_files
from llmos.engine.checkpoint.model_files import Format, open_model_files
from llmos.engine.encoder_spec import EncoderSpec
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What the files say about themselves, for a list of models."""

    format: Format | Literal["lora"]
    family: str
    num_parameters: int
    """Of an unsupported model, those in tensors that we can read."""
    dtype_summary: str
    """How most of the parameters are stored, such as "Q4_1"; "unknown" where that is no type that we read."""
    context_length: int | None
    embedding_size: int | None
    """Numbers in the vector of a text, None for a model that makes none."""
    license: str | None
    sampling: Mapping[str, float]
    """What its makers recommend, by the names of SamplingParams."""
    unsupported: str | None
    """Why this engine can't run the model, None where it can."""


def describe(files: Mapping[str, Path]) -> Description:
    """Return the facts about a model, also of one that this engine can't run. Raises BadModelFile for broken files.

    Checks everything that opening checks, but reads neither weights nor tokenizer.
    """
    opened = open_model_files(files)
    unsupported: str | None = None
    embedding_size: int | None = None
    try:
        spec = validate_files(opened)[0]
    except UnsupportedModel as error:
        unsupported = error.message
        num_parameters, context_length = sum(_sizes(opened.tensors).values()), opened.context_length
    else:
        num_parameters, context_length = sum(map(prod, spec.tensor_shapes().values())), spec.max_positions
        embedding_size = spec.hidden_size if isinstance(spec, EncoderSpec) else None
    return Description(
        format=opened.format,
        family=opened.family,
        num_parameters=num_parameters,
        dtype_summary=_dtype_summary(opened.tensors),
        context_length=context_length,
        embedding_size=embedding_size,
        license=opened.license,
        sampling=opened.sampling,
        unsupported=unsupported,
    )


def describe_adapter(files: Mapping[str, Path], adapted: Mapping[str, Path]) -> Description:
    """Return the facts about a LoRA adapter of the model whose files are `adapted`.

    Checks everything that opening checks. Raises BadModelFile where the two don't fit, and UnsupportedModel for an
    adapter or a model that this engine can't run.
    """
    from llmos.engine.checkpoint.adapters import open_adapter

    spec = validate_files(open_model_files(adapted))[0]
    if not isinstance(spec, DecoderSpec):
        raise UnsupportedModel("Adapters change models that write text; this one makes vectors.")
    adapter = open_adapter(files, spec)
    return Description(
        format="lora",
        family=spec.family,
        num_parameters=sum(each.down.size + each.up.size for each in adapter.values()),
        dtype_summary=f"rank {max(len(each.down) for each in adapter.values())}",
        context_length=spec.max_positions,
        embedding_size=None,
        license=None,
        sampling={},
        unsupported=None,
    )


def _dtype_summary(tensors: Mapping[str, RawTensor]) -> str:
    sizes = _sizes(tensors)
    num_unreadable = len(tensors) - len(sizes)
    if num_unreadable > len(sizes):
        return "unknown"
    by_dtype: Counter[str] = Counter()
    for name, size in sizes.items():
        by_dtype[tensors[name].storage_type] += size
    return by_dtype.most_common(1)[0][0] if by_dtype else "unknown"


def _sizes(tensors: Mapping[str, RawTensor]) -> dict[str, int]:
    """Return the number of values in every tensor whose type this engine reads."""
    sizes = {}
    for name in tensors:
        with suppress(UnsupportedModel):
            sizes[name] = prod(tensors[name].shape)
    return sizes
