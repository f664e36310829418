"""The smaller model as data: its spec, and what its files must say so that whoever reads them finds that spec."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadRequest, LLMOSError, UnsupportedModel
from llmos.engine.architectures import Source, family_of_gguf, family_of_model_type
from llmos.engine.checkpoint.model_files import FolderFiles, GGUFFiles
from llmos.engine.spec import DecoderSpec

CHANNELS = 32
"""Channels of the feed-forward layer go so many at a time: the down projection's rows stay whole blocks."""

_CONFIG_NAMES: Mapping[str, tuple[str, ...]] = {
    "num_layers": ("num_hidden_layers", "n_layer"),
    "num_heads": ("num_attention_heads", "n_head"),
    "num_kv_heads": ("num_key_value_heads",),
    "intermediate_size": ("intermediate_size", "n_inner"),
}
_STALE = ("general.size_label", "general.parameter_count")
"""What a GGUF file says of its size."""


def narrower_spec(spec: DecoderSpec, options: Mapping[str, Any]) -> DecoderSpec:
    """Return the spec with fewer channels and heads, as a recipe's options say.

    Raises BadRequest where nothing would go, or nothing stay, and UnsupportedModel for heads that aren't independent.
    """
    share, num_gone = options.get("ffn_share"), options.get("kv_heads", 0)
    if num_gone >= spec.num_kv_heads:
        raise BadRequest(
            f"kv_heads is {num_gone}, and this model has {spec.num_kv_heads} key-value heads, of which one has to stay."
            f" Take {spec.num_kv_heads - 1} at most.",
            param="kv_heads",
        )
    if num_gone and spec.qk_norm == "whole":
        raise UnsupportedModel(
            f"A {spec.family} model normalizes all its heads as one: with some of them gone the others would give"
            " something else. Take layers or channels away."
        )
    num_kv_heads = spec.num_kv_heads - num_gone
    return replace(
        spec,
        num_kv_heads=num_kv_heads,
        num_heads=num_kv_heads * (spec.num_heads // spec.num_kv_heads),
        intermediate_size=spec.intermediate_size if share is None else _channels_left(spec.intermediate_size, share),
    )


def num_layers_left(spec: DecoderSpec, options: Mapping[str, Any]) -> int:
    """Raises BadRequest where no layer would stay."""
    num_gone = options.get("layers", 0)
    if num_gone >= spec.num_layers:
        raise BadRequest(
            f"layers is {num_gone}, and this model has {spec.num_layers} layers, of which one has to stay. Take"
            f" {spec.num_layers - 1} at most.",
            param="layers",
        )
    return int(spec.num_layers - num_gone)


def with_layers(spec: DecoderSpec, kept: Sequence[int]) -> DecoderSpec:
    """Return the spec with these layers alone, in their order."""

    def still(layers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(new for new, old in enumerate(kept) if old in layers)

    return replace(
        spec,
        num_layers=len(kept),
        windowed_layers=None if spec.windowed_layers is None else still(spec.windowed_layers),
        unrotated_layers=still(spec.unrotated_layers),
        dense_layers=still(spec.dense_layers),
    )


def gguf_of(
    parent: GGUFFiles, before: DecoderSpec, spec: DecoderSpec, kept: Sequence[int]
) -> tuple[dict[str, Any], dict[str, Source]]:
    """Return what the file says instead of what the parent's says (None: nothing any more), and where its tensors lie.

    `kept`: which of the parent's layers the spec's are. Raises UnsupportedModel where no metadata say this spec.
    """
    changes: dict[str, Any] = dict.fromkeys(_STALE)
    for key, value in parent.metadata.items():
        if key.startswith(f"{parent.family}.") and isinstance(value, list) and len(value) == before.num_layers:
            changes[key] = [value[i] for i in kept]  # a value for each layer
    said = {"block_count": spec.num_layers, "feed_forward_length": spec.intermediate_size}
    if spec.num_heads != before.num_heads:
        said |= {
            "attention.head_count": spec.num_heads,
            "attention.head_count_kv": spec.num_kv_heads,
            "attention.key_length": spec.head_dim,
            "attention.value_length": spec.head_dim,
        }
    changes |= {f"{parent.family}.{name}": value for name, value in said.items()}
    family = family_of_gguf(parent.family)
    sources = family.gguf_sources(spec)
    is_fused = sources["layers.0.q.weight"].name == sources["layers.0.k.weight"].name
    if spec.num_heads != before.num_heads and is_fused:
        # llama.cpp takes such a tensor to have as many rows as the hidden size says.
        raise UnsupportedModel(
            f"A {spec.family} file has queries, keys and values in one tensor, which llama.cpp doesn't read with fewer"
            " heads. Take layers or channels away."
        )
    metadata = {key: value for key, value in {**parent.metadata, **changes}.items() if value is not None}
    _check_says(spec, lambda: family.spec_from_gguf(metadata, parent.tensors))
    return changes, sources


def config_of(parent: FolderFiles, before: DecoderSpec, spec: DecoderSpec, kept: Sequence[int]) -> dict[str, Any]:
    """Return the whole config.json. Raises UnsupportedModel where none says this spec."""
    config = dict(parent.config)
    for key in ("layer_types", "no_rope_layers"):
        value = config.get(key)
        if isinstance(value, list) and len(value) == before.num_layers:
            config[key] = [value[i] for i in kept]
    for field, names in _CONFIG_NAMES.items():
        if getattr(spec, field) != getattr(before, field):
            # GPT-2 may leave n_inner out.
            config |= {name: getattr(spec, field) for name in names if name in config or "n_embd" in config}
    if spec.num_heads != before.num_heads:
        config |= {"head_dim": spec.head_dim, "num_key_value_heads": spec.num_kv_heads}
    family = family_of_model_type(parent.family)
    _check_says(spec, lambda: family.spec_from_config(config))
    return config


def _channels_left(num_channels: int, share: float) -> int:
    left = round(num_channels * (1 - share) / CHANNELS) * CHANNELS
    if left < CHANNELS:
        raise BadRequest(
            f"ffn_share is {share:g}, and of this model's {num_channels:,} channels {CHANNELS} have to stay."
            " Take less.",
            param="ffn_share",
        )
    if left >= num_channels:
        raise BadRequest(
            f"ffn_share is {share:g}, and of this model's {num_channels:,} channels {CHANNELS} go at a time."
            " Take more.",
            param="ffn_share",
        )
    return left


def _check_says(spec: DecoderSpec, read: Callable[[], Any]) -> None:
    try:
        said = _plain(read())
    except LLMOSError as error:
        reason = error.message
    else:
        different = [name for name, value in _plain(spec).items() if said[name] != value]
        if not different:
            return
        reason = f"they would give it another {', '.join(different)}"
    raise UnsupportedModel(
        f"The files of a {spec.family} model can't say what would be left of this one: {reason.rstrip('.')}. Take"
        " another part away."
    )


def _plain(spec: DecoderSpec) -> dict[str, Any]:
    """Return the spec's fields, with what differs from layer to layer spelled out for each."""
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
