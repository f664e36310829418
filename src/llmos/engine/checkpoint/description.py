"""Facts about a model or an adapter from its files, also of one that the engine can't run."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

from llmos.core.errors import UnsupportedModel
from llmos.engine.architectures import task_of
from llmos.engine.checkpoint.checkpoint import Checkpoint, validate_files
from llmos.engine.checkpoint.memory_warnings import memory_warnings
from llmos.engine.checkpoint.model_files import Format, open_model_files
from llmos.engine.checkpoint.text_warnings import text_warnings
from llmos.engine.encoder_spec import EncoderSpec, Task, task_of_spec
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """Facts about a model, for lists of models."""

    format: Format | Literal["lora"]
    family: str
    num_parameters: int
    """For an unsupported model, only the parameters in tensors of types that the engine reads."""
    dtype_summary: str
    """The type of most parameters, such as "Q4_1"; "unknown" for a type that the engine doesn't read."""
    context_length: int | None
    embedding_size: int | None
    """Values of the vector of a text. None: the model doesn't embed texts."""
    task: Task | None
    """The model's task. None: the engine doesn't have its family."""
    license: str | None
    sampling: Mapping[str, float]
    """Sampling parameters that the model's authors recommend, by the names in SamplingParams."""
    unsupported: str | None
    """Why the engine can't run the model. None: it can."""
    warnings: tuple[str, ...] = ()
    """Differences from other models, in sentences, such as chats that are refused."""


def describe(files: Mapping[str, Path], *, with_tokenizer: bool = False) -> Description:
    """Describe a model, also one that the engine can't run. Raises BadModelFile for damaged files.

    Checks everything that loading the model checks, but reads no weights, and the tokenizer only `with_tokenizer`: it
    takes seconds for a large vocabulary.
    """
    opened = open_model_files(files)
    unsupported: str | None = None
    embedding_size: int | None = None
    warnings: tuple[str, ...] = ()
    try:
        spec, sources = validate_files(opened)
        if with_tokenizer and task_of_spec(spec) == "rerank":
            Checkpoint(opened, spec, sources).tokenizer  # noqa: B018  (it may be unable to pack pairs)
        elif with_tokenizer:
            warnings = (*_left_out(opened.left_out), *text_warnings(opened.tokenizer()))
        used = {source.name: opened.tensors[source.name] for source in sources.values()}
        warnings = (*warnings, *memory_warnings(used))
    except UnsupportedModel as error:
        unsupported = error.message
        num_parameters, context_length = sum(_sizes(opened.tensors).values()), opened.context_length
    else:
        num_parameters, context_length = sum(map(prod, spec.tensor_shapes().values())), spec.max_positions
        if isinstance(spec, EncoderSpec) and spec.score_head is None:
            embedding_size = spec.vector_size
    return Description(
        format=opened.format,
        family=opened.family,
        num_parameters=num_parameters,
        dtype_summary=_dtype_summary(opened.tensors),
        context_length=context_length,
        embedding_size=embedding_size,
        task=task_of(opened.family),
        license=opened.license,
        sampling=opened.sampling,
        unsupported=unsupported,
        warnings=warnings,
    )


def describe_adapter(files: Mapping[str, Path], base: Mapping[str, Path]) -> Description:
    """Describe a LoRA adapter. `base`: the files of the model that it adapts.

    Checks everything that open_adapter checks. Raises BadModelFile if the two don't fit together, and UnsupportedModel
    for an adapter or a model that the engine can't run.
    """
    from llmos.engine.checkpoint.adapters import open_adapter

    spec = validate_files(open_model_files(base))[0]
    if not isinstance(spec, DecoderSpec):
        raise UnsupportedModel("Adapters are for models that generate text; this one doesn't.")
    adapter = open_adapter(files, spec)
    return Description(
        format="lora",
        family=spec.family,
        num_parameters=sum(each.down.size + each.up.size for each in adapter.values()),
        dtype_summary=f"rank {max(len(each.down) for each in adapter.values())}",
        context_length=spec.max_positions,
        embedding_size=None,
        task="generate",
        license=None,
        sampling={},
        unsupported=None,
    )


def _left_out(inputs: tuple[str, ...]) -> tuple[str, ...]:
    if not inputs:
        return ()
    what = " and ".join(inputs)
    return (f"The model also takes {what}. This engine runs it on text, and leaves out its parts for {what}.",)


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
    """Return the number of values of each tensor whose type the engine reads."""
    sizes = {}
    for name in tensors:
        with suppress(UnsupportedModel):
            sizes[name] = prod(tensors[name].shape)
    return sizes
