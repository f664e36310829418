"""Limits and consistency checks of specs, for all families and file formats."""

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.spec import DecoderSpec

MAX_LAYERS = 1024
MAX_HEADS = 1024
MAX_HEAD_DIM = 1024
MAX_HIDDEN = 1 << 17
MAX_INTERMEDIATE = 1 << 20
MAX_EXPERTS = 1024
MAX_STREAMS = 16
MAX_VOCAB = 1 << 24
MAX_POSITIONS = 1 << 27


def validated(spec: DecoderSpec) -> DecoderSpec:
    """Return the spec. Raises BadModelFile if its sizes contradict each other."""
    if spec.num_heads % spec.num_kv_heads:
        raise BadModelFile(
            f"The configuration has {spec.num_heads} attention heads for {spec.num_kv_heads} key-value heads; "
            "the first must be a multiple of the second."
        )
    if spec.head_dim % 2 and not spec.learned_positions:
        raise BadModelFile(f"The head size is {spec.head_dim}; rotary positions need an even one.")
    if spec.rotary_dim is not None and (spec.rotary_dim % 2 or not 0 < spec.rotary_dim <= spec.head_dim):
        raise BadModelFile(
            f"{spec.rotary_dim} values of each head are rotated; with heads of {spec.head_dim} it must be an even "
            f"number from 2 to {spec.head_dim}."
        )
    if spec.experts_per_token > spec.num_experts:
        raise BadModelFile(f"A token uses {spec.experts_per_token} experts, but there are only {spec.num_experts}.")
    if spec.num_experts % spec.expert_groups or not 1 <= spec.chosen_groups <= spec.expert_groups:
        raise BadModelFile(
            f"The configuration has {spec.num_experts} experts in {spec.expert_groups} groups, of which a token takes "
            f"{spec.chosen_groups}; the groups must be of one size."
        )
    if spec.experts_per_token * spec.expert_groups > spec.num_experts * spec.chosen_groups:
        raise BadModelFile(f"A token uses {spec.experts_per_token} experts, more than there are in its groups.")
    _check_recurrence(spec)
    _check_scaling(spec)
    _check_layers(spec)
    return spec


def _check_recurrence(spec: DecoderSpec) -> None:
    if not spec.recurrent_layers:
        return
    if len(spec.recurrent_layers) == spec.num_layers:
        raise unsupported("no layer with attention")
    if spec.recurrence != "conv" and spec.recurrent_heads % spec.recurrent_key_heads:
        raise BadModelFile(
            f"The recurrent layers have {spec.recurrent_heads} heads for {spec.recurrent_key_heads} key heads; the "
            "first must be a multiple of the second."
        )


def _check_layers(spec: DecoderSpec) -> None:
    if spec.intermediate_sizes and len(spec.intermediate_sizes) != spec.num_layers:
        raise BadModelFile(
            f"The configuration has {len(spec.intermediate_sizes)} sizes of feed-forward layers for {spec.num_layers}"
            " layers."
        )
    if spec.shared_kv_layers >= spec.num_layers:
        raise BadModelFile(
            f"{spec.shared_kv_layers} of {spec.num_layers} layers share the keys of others; at least one needs its own."
        )


def _check_scaling(spec: DecoderSpec) -> None:
    kind = spec.rope_scaling
    if kind in ("llama3", "yarn") and spec.rope_high_frequency_factor <= spec.rope_low_frequency_factor:
        raise BadModelFile(
            f"The {kind} rope scaling blends from {spec.rope_low_frequency_factor:g} to "
            f"{spec.rope_high_frequency_factor:g} turns; the second must be the larger one."
        )
    if kind == "yarn" and spec.rope_theta <= 1.0:
        raise BadModelFile(f"The rope's theta is {spec.rope_theta:g}; yarn needs one above 1.")
    if kind == "longrope":
        num_pairs = (spec.rotary_dim or spec.head_dim) // 2
        for name, factors in (("short", spec.rope_short_factors), ("long", spec.rope_long_factors)):
            if len(factors) != num_pairs:
                raise BadModelFile(
                    f"The longrope scaling has {len(factors)} {name} factors for {num_pairs} pairs of a head's values."
                )


def head_dim_of(hidden_size: int, num_heads: int) -> int:
    """Return the head size for a configuration without one."""
    if hidden_size % num_heads:
        raise BadModelFile(
            f"The hidden size {hidden_size} is not a multiple of the {num_heads} attention heads, "
            "and the configuration has no head size."
        )
    return hidden_size // num_heads


def window_or_none(window: int | None, max_positions: int) -> int | None:
    """Return the sliding window, None if it is no shorter than the context."""
    return window if window is not None and window < max_positions else None


def unsupported(feature: str) -> UnsupportedModel:
    """Return the error for a model with an unsupported feature."""
    return UnsupportedModel(f"This model has {feature}, which this engine does not run.")
