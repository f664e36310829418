"""The spec of the smaller model, and the metadata of its files, from which that spec must be read again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadRequest, LLMOSError, UnsupportedModel
from llmos.engine.architectures import Source, family_of_gguf, family_of_model_type
from llmos.engine.checkpoint.model_files import FolderFiles, GGUFFiles
from llmos.engine.spec import DecoderSpec

CHANNELS = 32
"""Channels of the feed-forward layer are pruned in multiples of this, so that the down projection's rows are whole
blocks."""

_CONFIG_NAMES: Mapping[str, tuple[str, ...]] = {
    "num_layers": ("num_hidden_layers", "n_layer"),
    "num_heads": ("num_attention_heads", "n_head"),
    "num_kv_heads": ("num_key_value_heads",),
    "intermediate_size": ("intermediate_size", "n_inner"),
}
_STALE = ("general.size_label", "general.parameter_count")
"""GGUF metadata that describe the parent's size."""


def narrower_spec(spec: DecoderSpec, options: Mapping[str, Any]) -> DecoderSpec:
    """Return the spec with fewer channels and heads, by a recipe's options.

    Raises BadRequest if nothing would be pruned or nothing kept, and UnsupportedModel for heads that aren't
    independent.
    """
    share, num_pruned = options.get("ffn_share"), options.get("kv_heads", 0)
    if num_pruned >= spec.num_kv_heads:
        raise BadRequest(
            f"kv_heads is {num_pruned}, and this model has {spec.num_kv_heads} key-value heads, one of which must be"
            f" kept. Use at most {spec.num_kv_heads - 1}.",
            param="kv_heads",
        )
    if num_pruned and spec.qk_norm == "whole":
        raise UnsupportedModel(
            f"A {spec.family} model normalizes all its heads together, so pruning some of them would change the others."
            " Prune layers or channels."
        )
    num_kv_heads = spec.num_kv_heads - num_pruned
    return replace(
        spec,
        num_kv_heads=num_kv_heads,
        num_heads=num_kv_heads * (spec.num_heads // spec.num_kv_heads),
        intermediate_size=spec.intermediate_size if share is None else _channels_left(spec.intermediate_size, share),
    )


def num_layers_left(spec: DecoderSpec, options: Mapping[str, Any]) -> int:
    """Return how many layers are kept. Raises BadRequest if none would be."""
    num_pruned = options.get("layers", 0)
    if num_pruned >= spec.num_layers:
        raise BadRequest(
            f"layers is {num_pruned}, and this model has {spec.num_layers} layers, one of which must be kept. Use at"
            f" most {spec.num_layers - 1}.",
            param="layers",
        )
    return int(spec.num_layers - num_pruned)


def with_layers(spec: DecoderSpec, kept: Sequence[int]) -> DecoderSpec:
    """Return the spec with only these layers, in their order."""

    def renumber(layers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(new for new, old in enumerate(kept) if old in layers)

    return replace(
        spec,
        num_layers=len(kept),
        windowed_layers=None if spec.windowed_layers is None else renumber(spec.windowed_layers),
        unrotated_layers=renumber(spec.unrotated_layers),
        dense_layers=renumber(spec.dense_layers),
    )


def gguf_metadata(
    parent: GGUFFiles, before: DecoderSpec, spec: DecoderSpec, kept: Sequence[int]
) -> tuple[dict[str, Any], dict[str, Source]]:
    """Return the changes to the parent's metadata (None removes a key), and the sources of the spec's tensors.

    `kept`: the parent's index of each of the spec's layers. Raises UnsupportedModel if no metadata describe this spec.
    """
    changes: dict[str, Any] = dict.fromkeys(_STALE)
    for key, value in parent.metadata.items():
        if key.startswith(f"{parent.family}.") and isinstance(value, list) and len(value) == before.num_layers:
            changes[key] = [value[i] for i in kept]  # one value per layer
    sizes = {"block_count": spec.num_layers, "feed_forward_length": spec.intermediate_size}
    if spec.num_heads != before.num_heads:
        sizes |= {
            "attention.head_count": spec.num_heads,
            "attention.head_count_kv": spec.num_kv_heads,
            "attention.key_length": spec.head_dim,
            "attention.value_length": spec.head_dim,
        }
    changes |= {f"{parent.family}.{name}": value for name, value in sizes.items()}
    family = family_of_gguf(parent.family)
    sources = family.gguf_sources(spec)
    is_fused = sources["layers.0.q.weight"].name == sources["layers.0.k.weight"].name
    if spec.num_heads != before.num_heads and is_fused:
        # llama.cpp derives the rows of such a tensor from the hidden size.
        raise UnsupportedModel(
            f"A {spec.family} file has queries, keys and values in one tensor, which llama.cpp can't read with fewer"
            " heads. Prune layers or channels."
        )
    metadata = {key: value for key, value in {**parent.metadata, **changes}.items() if value is not None}
    _check_metadata(spec, lambda: family.spec_from_gguf(metadata, parent.tensors))
    return changes, sources


def folder_config(parent: FolderFiles, before: DecoderSpec, spec: DecoderSpec, kept: Sequence[int]) -> dict[str, Any]:
    """Return the whole config.json of the spec. Raises UnsupportedModel if none describes this spec."""
    config = dict(parent.config)
    for key in ("layer_types", "no_rope_layers"):
        value = config.get(key)
        if isinstance(value, list) and len(value) == before.num_layers:
            config[key] = [value[i] for i in kept]
    for field, names in _CONFIG_NAMES.items():
        if getattr(spec, field) != getattr(before, field):
            # n_inner may be absent from a GPT-2 config, which has n_embd.
            config |= {name: getattr(spec, field) for name in names if name in config or "n_embd" in config}
    if spec.num_heads != before.num_heads:
        config |= {"head_dim": spec.head_dim, "num_key_value_heads": spec.num_kv_heads}
    if not spec.tied_head:
        config["tie_word_embeddings"] = False  # The parent's may say otherwise, see FolderFiles.spec_and_sources().
    family = family_of_model_type(parent.family)
    _check_metadata(spec, lambda: family.spec_from_config(config))
    return config


def _channels_left(num_channels: int, share: float) -> int:
    left = round(num_channels * (1 - share) / CHANNELS) * CHANNELS
    if left < CHANNELS:
        raise BadRequest(
            f"ffn_share is {share:g}, and at least {CHANNELS} of this model's {num_channels:,} channels must be kept."
            " Use a smaller share.",
            param="ffn_share",
        )
    if left >= num_channels:
        raise BadRequest(
            f"ffn_share is {share:g}, less than {CHANNELS} of this model's {num_channels:,} channels, which are pruned"
            f" {CHANNELS} at a time. Use a larger share.",
            param="ffn_share",
        )
    return left


def _check_metadata(spec: DecoderSpec, read: Callable[[], Any]) -> None:
    """Raise UnsupportedModel unless `read`, which reads the new metadata, returns the spec."""
    try:
        found = _per_layer(read())
    except LLMOSError as error:
        reason = error.message
    else:
        different = [name for name, value in _per_layer(spec).items() if found[name] != value]
        if not different:
            return
        reason = f"{', '.join(different)} would differ"
    raise UnsupportedModel(
        f"The metadata of a {spec.family} model can't describe the pruned one: {reason.rstrip('.')}. Prune"
        " another part."
    )


def _per_layer(spec: DecoderSpec) -> dict[str, Any]:
    """Return the spec's fields, with settings that may differ between layers listed for each layer."""
    fields = {name: getattr(spec, name) for name in spec.__dataclass_fields__}
    for name in ("sliding_window", "windowed_layers", "unrotated_layers", "dense_layers", "window_rope_theta"):
        del fields[name]
    layers = range(spec.num_layers)
    thetas = (spec.rope_theta, spec.window_rope_theta)
    rotations = [spec.rotation_of(i) for i in layers]
    return fields | {
        "window": [spec.window_of(i) for i in layers],
        "rotation": [None if rotation is None else thetas[rotation] for rotation in rotations],
        "attention_scale": spec.score_scale,
    }
