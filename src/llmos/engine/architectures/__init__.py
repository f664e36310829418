"""The model families, one file each: the architecture of a model and the names of its tensors.

A family is a module of this package with the name of its model_type ("-" as "_"). No table lists the families. A family
has:

    GGUF_ARCHITECTURE   str | None, the value of general.architecture
    spec_from_config    config.json -> DecoderSpec
    hf_sources          DecoderSpec -> canonical tensor name -> Source
    spec_from_gguf      metadata, tensors -> spec                        only with a GGUF_ARCHITECTURE
    gguf_sources        DecoderSpec -> canonical tensor name -> Source   only with a GGUF_ARCHITECTURE
    HF_PREFIX           the prefix of tensor names that a checkpoint of the base model lacks; default "model."
    stacked_hf_sources  the same as hf_sources for files that have a layer's experts in one stack; optional
    fused_gguf_sources  the same as gguf_sources for files that have gate and up of the experts in one stack; optional
    unused_gguf_tensors  DecoderSpec -> names of tensors that files may have and models don't use; optional
    LEAVES_OUT_LAST_LAYERS  True if files may have layers behind the spec's, which only predict further tokens; optional
    packed_hf_sources   the same for files whose experts are in MXFP4; optional
    IS_ENCODER          True if the specs are EncoderSpecs: the models embed texts
    score_head          config.json -> ScoreHead and Pooling of its class of classifiers, which are rerankers; optional
    SCORE_NAMES         the names of that head's tensors in the files
    RERANK_TEMPLATE     the chat template of such a model for pairs of texts, if its tokenizer has none; optional
    HARMLESS_CONFIG     keys of config.json that change nothing, with their harmless values; see _read_keys.py
    HARMLESS_GGUF       the same for metadata, without the architecture's name

A key that a reader neither uses nor knows to be harmless is refused by name: see config_spec() and gguf_spec().

docs/add-a-model-family.md adds a family step by step.
"""

import importlib
import pkgutil
import reprlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Protocol, cast

from llmos.core.errors import UnsupportedModel
from llmos.engine.architectures import _harmless_config, _harmless_gguf
from llmos.engine.architectures._gguf_embedder import EMBEDDER_SUFFIX, embeds_texts, ranks_texts, with_gguf_pooling
from llmos.engine.architectures._gguf_rope import ROPE_TENSORS
from llmos.engine.architectures._gguf_score_head import gguf_score_sources, with_gguf_score_head
from llmos.engine.architectures._read_keys import Harmless, ReadKeys, refuse_unknown, without_harmless
from llmos.engine.architectures._rope import inverse_frequencies
from llmos.engine.architectures._sentence_files import module_steps, with_sentence_files
from llmos.engine.architectures._sources import Source
from llmos.engine.encoder_spec import DecoderEmbedderSpec, EncoderSpec, ModelSpec, Pooling, ScoreHead, Task
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = [
    "EMBEDDER_SUFFIX",
    "RERANKER_SUFFIX",
    "ROPE_TENSORS",
    "Family",
    "Source",
    "config_spec",
    "families",
    "family_of_gguf",
    "family_of_model_type",
    "gguf_family_name",
    "gguf_spec",
    "inverse_frequencies",
    "module_steps",
    "score_head_of",
    "score_sources",
    "sources_in_files",
    "sources_in_gguf",
    "task_of",
    "with_sentence_files",
]


RERANKER_SUFFIX = "_reranker"
"""Ends the family of a model that scores pairs of texts: "bert_reranker"."""


class Family(Protocol):
    """The interface of a family's module."""

    GGUF_ARCHITECTURE: str | None

    def spec_from_config(self, config: Mapping[str, Any]) -> ModelSpec: ...
    def hf_sources(self, spec: Any) -> dict[str, Source]: ...
    def spec_from_gguf(self, metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> ModelSpec: ...
    def gguf_sources(self, spec: DecoderSpec) -> dict[str, Source]: ...


def families() -> list[str]:
    """Return the names of all families, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def family_of_model_type(model_type: object) -> Family:
    """Return the family of a Hugging Face model_type. Raises UnsupportedModel, naming all families."""
    # The name is untrusted: it selects one of our modules and is never imported itself.
    for name in families():
        if isinstance(model_type, str) and name == model_type.replace("-", "_"):
            return _load(name)
    raise _unsupported(model_type)


def family_of_gguf(architecture: object) -> Family:
    """Return the family of a GGUF file's general.architecture. Raises UnsupportedModel, naming all families."""
    # Most have the same name in both formats. Trying that family first avoids importing the others.
    for name in sorted(families(), key=lambda name: name != architecture):
        family = _load(name)
        if isinstance(architecture, str) and architecture == family.GGUF_ARCHITECTURE:
            return family
    if isinstance(architecture, str) and task_of(architecture) == "embed":
        raise UnsupportedModel(
            f"This is a GGUF file of an embedding model ({architecture}), which this engine doesn't read. Import the"
            " model's Hugging Face folder, with config.json and model.safetensors, instead."
        )
    raise _unsupported(architecture)


@cache
def task_of(family: str) -> Task | None:
    """Return what models of this family (as named in a Description) do; None if the engine doesn't have the family."""
    name = family.replace("-", "_")
    tasks: dict[str, Task] = {EMBEDDER_SUFFIX: "embed", RERANKER_SUFFIX: "rerank"}
    for suffix, task in tasks.items():
        if name.endswith(suffix):
            return task if name.removesuffix(suffix) in families() else None
    if name not in families():
        return None
    return "embed" if getattr(_load(name), "IS_ENCODER", False) else "generate"


def score_head_of(family: Family, config: Mapping[str, Any]) -> tuple[ScoreHead, Pooling] | None:
    """Return the family's head of rerankers and the pooling before it; None if it has none."""
    read = getattr(family, "score_head", None)
    return None if read is None else read(config)


def score_sources(family: Family, head: ScoreHead, hidden_size: int) -> dict[str, Source]:
    """Return the sources of the tensors of a head that the family's classifiers have."""
    names: Mapping[str, str] = family.SCORE_NAMES  # type: ignore[attr-defined]
    parts = {canonical: canonical.rpartition(".") for canonical in head.tensor_shapes(hidden_size)}
    return {canonical: Source(f"{names[stem]}.{kind}") for canonical, (stem, _, kind) in parts.items()}


def config_spec(family: Family, config: Mapping[str, Any], ignored: Collection[str] = ()) -> ModelSpec:
    """Return the spec of a config.json. `ignored`: keys that are read as if they were absent.

    Raises UnsupportedModel for keys that the family neither uses nor knows to be harmless.
    """
    keys = ReadKeys(config, ignored)
    spec = family.spec_from_config(keys)
    own: Harmless = getattr(family, "HARMLESS_CONFIG", {})
    unknown = without_harmless(keys.unread(), _harmless_config.HARMLESS, own)
    refuse_unknown(unknown, where="config.json", family=spec.family)
    return spec


def gguf_spec(
    family: Family, metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor], ignored: Collection[str] = ()
) -> ModelSpec:
    """Return the spec of GGUF metadata. `ignored`: keys that are read as if they were absent.

    Raises UnsupportedModel for keys of the architecture that the family neither uses nor knows to be harmless.
    """
    keys = ReadKeys(metadata, ignored)
    assert family.GGUF_ARCHITECTURE is not None, "the family of a file has an architecture"
    architecture = family.GGUF_ARCHITECTURE
    spec = family.spec_from_gguf(keys, tensors)
    if ranks_texts(keys, architecture):
        spec = with_gguf_score_head(
            spec,
            keys,
            tensors,
            architecture=architecture,
            family=_name_of(family) + RERANKER_SUFFIX,
            template=getattr(family, "RERANK_TEMPLATE", None),
        )
    else:
        spec = with_gguf_pooling(spec, keys, architecture)
    prefix = f"{architecture}."
    unread = {key.removeprefix(prefix): value for key, value in keys.unread().items() if key.startswith(prefix)}
    own: Harmless = getattr(family, "HARMLESS_GGUF", {})
    unknown = without_harmless(unread, _harmless_gguf.HARMLESS, own)
    refuse_unknown({prefix + key: value for key, value in unknown.items()}, where="The file", family=spec.family)
    return spec


def sources_in_files(family: Family, spec: ModelSpec, names: Iterable[str]) -> dict[str, Source]:
    """Return the sources of a spec's tensors in Hugging Face files with these tensor or module names.

    Files that were saved from the base model, the class without a head, lack the family's HF_PREFIX in all names. In
    those of a model that also takes images, the language model is one part, under one of two names.
    Checkpoints of 2018 to 2020 call the weights and biases of layer norms gamma and beta.
    """
    names = set(names)
    has_stacks = any(name.endswith(".experts.gate_up_proj") for name in names)
    has_blocks = any(".experts." in name and "_blocks." in name for name in names)
    kind = "packed_hf_sources" if has_blocks else "stacked_hf_sources" if has_stacks else "hf_sources"
    sources_of = getattr(family, kind, family.hf_sources)
    sources: dict[str, Source] = sources_of(spec)
    if any(name.startswith("language_model.model.") for name in names):
        return {key: replace(source, name=f"language_model.{source.name}") for key, source in sources.items()}
    if any(name.startswith("model.language_model.") for name in names):
        return {key: replace(source, name=_within_model(source.name)) for key, source in sources.items()}
    prefix: str = getattr(family, "HF_PREFIX", "model.")
    if not any(name.startswith(prefix) for name in names):
        sources = {key: replace(source, name=source.name.removeprefix(prefix)) for key, source in sources.items()}
    return {key: replace(source, name=_name_in_file(source.name, names)) for key, source in sources.items()}


def gguf_family_name(metadata: Mapping[str, Any], architecture: str) -> str:
    """Return the family of a GGUF file as in a Description: the architecture, or our own name of a model that embeds
    texts or scores pairs of them."""
    if not embeds_texts(metadata, architecture):
        return architecture
    try:
        name = _name_of(family_of_gguf(architecture))
    except UnsupportedModel:
        return architecture
    if ranks_texts(metadata, architecture):
        return name + RERANKER_SUFFIX
    return name if task_of(name) == "embed" else name + EMBEDDER_SUFFIX


def _name_of(family: Family) -> str:
    return cast(Any, family).__name__.rpartition(".")[2]  # type: ignore[no-any-return]


def sources_in_gguf(family: Family, spec: ModelSpec, names: Collection[str]) -> tuple[dict[str, Source], set[str]]:
    """Return the sources of a spec's tensors in a GGUF file with these tensors, and the names of those that it doesn't
    use."""
    is_fused = any(name.endswith(".ffn_gate_up_exps.weight") for name in names)
    sources_of = getattr(family, "fused_gguf_sources", family.gguf_sources) if is_fused else family.gguf_sources
    described: Any = spec.decoder if isinstance(spec, DecoderEmbedderSpec) else spec
    sources: dict[str, Source] = sources_of(described)
    if isinstance(spec, EncoderSpec) and spec.score_head is not None:
        sources |= gguf_score_sources(spec.score_head, spec.hidden_size)
    unused_of = getattr(family, "unused_gguf_tensors", None)
    known: set[str] = set() if unused_of is None else unused_of(described)
    if isinstance(spec, EncoderSpec):
        known.add("output.weight")  # makes text
    if getattr(family, "LEAVES_OUT_LAST_LAYERS", False):
        known |= {name for name in names if _gguf_layer(name) >= spec.num_layers}
    return sources, set(names) - {source.name for source in sources.values()} - ROPE_TENSORS - known


def _gguf_layer(name: str) -> int:
    """Return the layer of a tensor in a GGUF file, -1 for one outside of the layers."""
    first, _, rest = name.partition(".")
    index = rest.partition(".")[0]
    return int(index) if first == "blk" and index.isdecimal() else -1


def _name_in_file(name: str, names: Collection[str]) -> str:
    """Return the name of a tensor, or that which checkpoints converted from TensorFlow have for it."""
    older = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    return older if name not in names and older in names else name


def _within_model(name: str) -> str:
    return name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name


def _load(name: str) -> Family:
    return cast(Family, importlib.import_module(f"{__name__}.{name}"))


def _unsupported(name: object) -> UnsupportedModel:
    *others, last = families()
    kind = name if isinstance(name, str) and len(name) <= 64 and name.isprintable() else reprlib.repr(name)
    return UnsupportedModel(f"This model has the type {kind}; this engine runs {', '.join(others)} and {last}.")
