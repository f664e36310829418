"""Gemma 3n's language model: Gemma 3 with several residual streams (AltUp), products of low rank beside attention
(LAuReL), embeddings of each layer's own, and gates of which most values are cut off. The last layers share keys.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import SANDWICH_NORM_NAMES, config_fields, decoder_from_config
from llmos.engine.architectures._config_rope import THETA_RANGE, layered_rope_from_config
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._gguf import (
    GGUF_NAMES,
    decoder_from_gguf,
    gguf_fields,
    integers_of_layers,
    windowed_gguf_layers,
)
from llmos.engine.architectures._layer_inputs import (
    LAYER_INPUT_GGUF_NAMES,
    LAYER_INPUT_HF_NAMES,
    check_shared_layers,
    keys_of_shared_layers,
)
from llmos.engine.architectures._read_keys import ANY, ChangedKeys, Harmless
from llmos.engine.architectures._sources import Source, rename, without_suffix
from llmos.engine.architectures._windows import all_but_every, num_layers_of, windowed_layers
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "gemma3n"
HARMLESS_CONFIG: Harmless = {
    "hidden_act": ANY,  # the activation is in hidden_activation
    "altup_coef_clip": ANY,  # while training
    "altup_lr_multiplier": ANY,
    "query_pre_attn_scalar": ANY,  # scores are never scaled
}

_PATTERN = 5
_SPARSE_LAYERS, _SPARSITY = 10, 0.95
_HF_NAMES = SANDWICH_NORM_NAMES | LAYER_INPUT_HF_NAMES | {
    "laurel_down": "model.layers.{i}.laurel.linear_left",
    "laurel_up": "model.layers.{i}.laurel.linear_right",
    "laurel_norm": "model.layers.{i}.laurel.post_laurel_norm",
    "stream_router": "model.layers.{i}.altup.modality_router",
    "stream_router_norm": "model.layers.{i}.altup.router_norm",
    "stream_predict": "model.layers.{i}.altup.prediction_coefs",
    "stream_correct": "model.layers.{i}.altup.correction_coefs",
    "stream_scale": "model.layers.{i}.altup.correct_output_scale",
}  # fmt: skip
_GGUF_NAMES = GGUF_NAMES | LAYER_INPUT_GGUF_NAMES | {
    "laurel_down": "blk.{i}.laurel_l",
    "laurel_up": "blk.{i}.laurel_r",
    "laurel_norm": "blk.{i}.laurel_post_norm",
    "stream_router": "blk.{i}.altup_router",
    "stream_router_norm": "blk.{i}.altup_router_norm",
    "stream_predict": "blk.{i}.altup_predict_coef",
    "stream_correct": "blk.{i}.altup_correct_coef",
    "stream_scale": "blk.{i}.altup_correct_scale",
}  # fmt: skip
_FLATTENED = ("stream_router", "stream_predict", "stream_correct")

_TRAITS: dict[str, Any] = {"post_norm": True, "qk_norm": "head", "norms_values": True, "attention_scale": 1.0}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    if fields.integer("altup_active_idx", 0, low=0):
        raise limits.unsupported("another active residual stream than the first (altup_active_idx)")
    if not fields.flag("altup_correct_scale", True):
        raise limits.unsupported("unscaled corrections of residual streams (altup_correct_scale)")
    num_layers = num_layers_of(fields)
    sizes = _sizes(fields, num_layers)
    rope, window_theta = layered_rope_from_config(fields, default_theta=1e6, default_window_theta=10_000.0)
    has_bias = fields.flag("attention_bias", False)
    spec = decoder_from_config(
        ChangedKeys(config, intermediate_size=max(sizes)),
        family="gemma3n_text",
        default_head_dim=256,
        activation_name="hidden_activation",
        default_activation="gelu_pytorch_tanh",
        is_tied=True,
        rope=rope,
        windows={
            # A window that is longer than the context hides nothing, but its layers are still of their own kind.
            "sliding_window": fields.integer("sliding_window", 512, high=limits.MAX_POSITIONS),
            "windowed_layers": windowed_layers(fields, all_but_every(_PATTERN, num_layers)),
        },
        qkv_bias=has_bias,
        output_bias=has_bias,
        embedding_multiplier=fields.integer("hidden_size", high=limits.MAX_HIDDEN) ** 0.5,
        logit_softcap=fields.number("final_logit_softcapping", 30.0, low=1e-3, high=1e6),
        window_rope_theta=window_theta,
        intermediate_sizes=() if len(set(sizes)) == 1 else tuple(sizes),
        gate_cutoffs=_cutoffs(fields, num_layers),
        shared_kv_layers=fields.integer("num_kv_shared_layers", 15, low=0, high=num_layers),
        layer_input_size=fields.integer("hidden_size_per_layer_input", 256, high=limits.MAX_HIDDEN),
        layer_input_vocab=fields.integer("vocab_size_per_layer_input", 262_144, high=limits.MAX_VOCAB),
        laurel_size=fields.integer("laurel_rank", 64, high=limits.MAX_HIDDEN),
        residual_streams=fields.integer("altup_num_inputs", 4, low=2, high=limits.MAX_STREAMS),
        **_TRAITS,
    )
    return check_shared_layers(spec)


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    sources = without_suffix(rename(spec, _HF_NAMES), ["stream_scale"])
    for n in range(spec.residual_streams - 1):
        sources[f"stream_projection.{n}.weight"] = Source(f"model.altup_projections.{n}.weight")
        sources[f"stream_output.{n}.weight"] = Source(f"model.altup_unembed_projections.{n}.weight")
    return _flattened(sources)


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE)
    if fields.integer("altup.active_idx", 0, low=0):
        raise limits.unsupported("another active residual stream than the first (altup.active_idx)")
    laurel = tensors.get("blk.0.laurel_l.weight")
    embedded = tensors.get("per_layer_token_embd.weight")
    if laurel is None or embedded is None:
        raise BadModelFile("The file lacks blk.0.laurel_l.weight or per_layer_token_embd.weight.")
    num_layers = fields.integer("block_count", high=limits.MAX_LAYERS)
    sizes = integers_of_layers(fields, "feed_forward_length", num_layers)
    spec = decoder_from_gguf(
        ChangedKeys(metadata, **{f"{GGUF_ARCHITECTURE}.feed_forward_length": max(sizes)}),
        tensors,
        architecture=GGUF_ARCHITECTURE,
        family="gemma3n_text",
        activation="gelu_tanh",
        embedding_multiplier=fields.integer("embedding_length", high=limits.MAX_HIDDEN) ** 0.5,
        logit_softcap=fields.number("final_logit_softcapping", 30.0, low=1e-3, high=1e6),
        sliding_window=fields.integer("attention.sliding_window", high=limits.MAX_POSITIONS),
        windowed_layers=windowed_gguf_layers(fields, num_layers, _PATTERN),
        window_rope_theta=fields.number("rope.freq_base_swa", 10_000.0, **THETA_RANGE),
        intermediate_sizes=() if len(set(sizes)) == 1 else tuple(sizes),
        gate_cutoffs=_cutoffs_from_gguf(fields, num_layers),
        shared_kv_layers=fields.integer("attention.shared_kv_layers", low=0, high=num_layers),
        layer_input_size=fields.integer("embedding_length_per_layer_input", high=limits.MAX_HIDDEN),
        layer_input_vocab=embedded.shape[0],
        laurel_size=laurel.shape[0],
        residual_streams=fields.integer("altup.num_inputs", low=2, high=limits.MAX_STREAMS),
        **_TRAITS,
    )
    return check_shared_layers(spec)


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    sources = rename(spec, _GGUF_NAMES)
    for n in range(spec.residual_streams - 1):
        sources[f"stream_projection.{n}.weight"] = Source("altup_proj.weight", index=n)
        sources[f"stream_output.{n}.weight"] = Source("altup_unembd_proj.weight", index=n)
    return _flattened(sources)


def unused_gguf_tensors(spec: DecoderSpec) -> set[str]:
    return keys_of_shared_layers(spec)


def _flattened(sources: Mapping[str, Source]) -> dict[str, Source]:
    return {
        name: replace(source, flatten=True)
        if name.startswith("layers.") and name.split(".")[2] in _FLATTENED
        else source
        for name, source in sources.items()
    }


def _sizes(fields: Fields, num_layers: int) -> list[int]:
    value = fields.get("intermediate_size")
    values = value if isinstance(value, list) else [16_384 if value is None else value] * num_layers
    if len(values) != num_layers:
        raise BadModelFile("config.json: intermediate_size must have a number for each layer.")
    return [
        Fields({"intermediate_size": each}, where="config.json").integer(
            "intermediate_size", high=limits.MAX_INTERMEDIATE
        )
        for each in values
    ]


def _cutoffs(fields: Fields, num_layers: int) -> tuple[float, ...]:
    """Return how many standard deviations above the mean a value of a gate must be: of a normal distribution, the
    share activation_sparsity_pattern lies below."""
    if fields.get("activation_sparsity_pattern") is None:
        sparse = _SPARSE_LAYERS if num_layers > _SPARSE_LAYERS else 0
        shares: tuple[float, ...] = (*[_SPARSITY] * sparse, *[0.0] * (num_layers - sparse))
    else:
        shares = fields.numbers("activation_sparsity_pattern", low=0.0, high=0.9999, max_length=limits.MAX_LAYERS)
    if len(shares) != num_layers:
        raise BadModelFile("config.json: activation_sparsity_pattern must have a number for each layer.")
    return tuple(NormalDist().inv_cdf(share) if share else -math.inf for share in shares)


def _cutoffs_from_gguf(fields: Fields, num_layers: int) -> tuple[float, ...]:
    values = fields.get("activation_sparsity_scale")
    if (
        not isinstance(values, list)
        or len(values) != num_layers
        or not all(isinstance(each, float) and each < math.inf for each in values)
    ):
        raise BadModelFile("the GGUF metadata: gemma3n.activation_sparsity_scale must have a number for each layer.")
    return tuple(values)
