"""Gemma 4's language model: embeddings of each layer's own in the small ones, experts beside a dense layer in the 26B.

Layers without a window have larger heads, of which only some pairs rotate, and in the large models no values but their
keys. In the small ones, the last layers have no keys, and attend to those of earlier layers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import SANDWICH_NORM_NAMES, config_fields, decoder_from_config
from llmos.engine.architectures._config_rope import THETA_RANGE
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._gguf import (
    GGUF_NAMES,
    decoder_from_gguf,
    gguf_fields,
    integers_of_layers,
    windowed_gguf_layers,
)
from llmos.engine.architectures._gguf_rope import ROPE_FACTORS
from llmos.engine.architectures._layer_inputs import (
    LAYER_INPUT_GGUF_NAMES,
    LAYER_INPUT_HF_NAMES,
    check_shared_layers,
    keys_of_shared_layers,
)
from llmos.engine.architectures._read_keys import ANY, ChangedKeys, Harmless
from llmos.engine.architectures._sources import Source, rename, split_expert_rows, without_suffix
from llmos.engine.architectures._windows import all_but_every, num_layers_of, windowed_layers
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "gemma4"
HARMLESS_CONFIG: Harmless = {
    "hidden_act": ANY,  # the activation is in hidden_activation
}

_PATTERN = 6
_HF_NAMES = SANDWICH_NORM_NAMES | LAYER_INPUT_HF_NAMES | {
    "router_norm": "model.layers.{i}.router.scale",
    "router": "model.layers.{i}.router.proj",
    "expert_scale": "model.layers.{i}.router.per_expert_scale",
    "experts_norm": "model.layers.{i}.pre_feedforward_layernorm_2",
    "shared_post_norm": "model.layers.{i}.post_feedforward_layernorm_1",
    "experts_post_norm": "model.layers.{i}.post_feedforward_layernorm_2",
    "scale": "model.layers.{i}.layer_scalar",
}  # fmt: skip
_GGUF_NAMES = GGUF_NAMES | LAYER_INPUT_GGUF_NAMES | {
    "router_norm": "blk.{i}.ffn_gate_inp.scale",
    "expert_scale": "blk.{i}.ffn_down_exps.scale",
    "experts_norm": "blk.{i}.pre_ffw_norm_2",
    "shared_post_norm": "blk.{i}.post_ffw_norm_1",
    "experts_post_norm": "blk.{i}.post_ffw_norm_2",
    "scale": "blk.{i}.layer_output_scale",
}  # fmt: skip
_USUAL_ROPE = {"rope_type": "proportional", "partial_rotary_factor": 0.25}
_UNSUFFIXED = ("router_norm", "expert_scale", "scale")
"""Parts of a layer whose names in a folder have no ".weight"; in GGUF all but the last."""

_TRAITS: dict[str, Any] = {
    "post_norm": True, "qk_norm": "head", "norms_values": True, "attention_scale": 1.0, "scales_layers": True,
}  # fmt: skip


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    if fields.string("use_bidirectional_attention", "vision", known=("vision", "all")) == "all":
        raise limits.unsupported("bidirectional attention (use_bidirectional_attention)")
    num_layers = num_layers_of(fields)
    windowed = windowed_layers(fields, all_but_every(_PATTERN, num_layers))
    # transformers gives the last layer no window, whatever the config says.
    windowed = tuple(i for i in windowed if i < num_layers - 1)
    has_bias = fields.flag("attention_bias", False)
    spec = decoder_from_config(
        config,
        family="gemma4_text",
        default_head_dim=256,
        activation_name="hidden_activation",
        default_activation="gelu_pytorch_tanh",
        is_tied=True,
        rope={},
        windows={
            # A window that is longer than the context hides nothing, but its layers are still of their own kind.
            "sliding_window": fields.integer("sliding_window", 512, high=limits.MAX_POSITIONS),
            "windowed_layers": windowed,
        },
        qkv_bias=has_bias,
        output_bias=has_bias,
        embedding_multiplier=fields.integer("hidden_size", high=limits.MAX_HIDDEN) ** 0.5,
        logit_softcap=fields.optional_number("final_logit_softcapping", low=1e-3, high=1e6),
        window_rope_theta=10_000.0,
        layer_input_size=fields.integer("hidden_size_per_layer_input", 256, low=0, high=limits.MAX_HIDDEN),
        layer_input_vocab=fields.integer("vocab_size_per_layer_input", 262_144, high=limits.MAX_VOCAB),
        **_TRAITS,
    )
    has_k_as_v = fields.flag("attention_k_eq_v", False)
    spec = replace(spec, keys_are_values=has_k_as_v, **_full_heads(fields, spec, has_k_as_v))
    spec = replace(spec, **_rope(fields, spec), **_feed_forward(fields, spec))
    return check_shared_layers(spec)


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    experts = split_expert_rows(spec, "model.layers.{i}.experts.gate_up_proj", "model.layers.{i}.experts.down_proj")
    return without_suffix(rename(spec, _HF_NAMES), _UNSUFFIXED) | experts


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE, experts=True)
    num_layers = fields.integer("block_count", high=limits.MAX_LAYERS)
    windowed = windowed_gguf_layers(fields, num_layers, _PATTERN)
    full = [i for i in range(num_layers) if i not in windowed]
    kv_heads = integers_of_layers(fields, "attention.head_count_kv", num_layers)
    sizes = integers_of_layers(fields, "feed_forward_length", num_layers)
    full_head_dim = fields.integer("attention.key_length", 512, high=limits.MAX_HEAD_DIM)
    head_dim = fields.integer("attention.key_length_swa", full_head_dim, high=limits.MAX_HEAD_DIM)
    for name, size in (("attention.value_length", full_head_dim), ("attention.value_length_swa", head_dim)):
        if fields.integer(name, size, high=limits.MAX_HEAD_DIM) != size:
            raise limits.unsupported("values of another size than keys")
    for name, size in (("rope.dimension_count", full_head_dim), ("rope.dimension_count_swa", head_dim)):
        if fields.integer(name, size, high=limits.MAX_HEAD_DIM) != size:
            raise limits.unsupported(f"rotary positions on a part of each head ({name})")
    num_kv_heads = _of_one_kind(kv_heads, windowed or full)
    changes = {
        "attention.head_count_kv": num_kv_heads, "feed_forward_length": max(sizes),
        "attention.key_length": head_dim, "attention.value_length": head_dim,
    }  # fmt: skip
    has_experts = bool(fields.integer("expert_count", 0, low=0))
    hidden_size = fields.integer("embedding_length", high=limits.MAX_HIDDEN)
    shared = fields.integer("attention.shared_kv_layers", 0, low=0, high=num_layers)
    spec = decoder_from_gguf(
        ChangedKeys(metadata, **{f"{GGUF_ARCHITECTURE}.{name}": value for name, value in changes.items()}),
        tensors,
        architecture=GGUF_ARCHITECTURE,
        family="gemma4_text",
        experts=True,
        rope={
            "rope_theta": fields.number("rope.freq_base", 1e6, **THETA_RANGE),
            "window_rope_theta": fields.number("rope.freq_base_swa", 10_000.0, **THETA_RANGE),
            "rope_scaling": "proportional",
            "rope_pairs": _rotated_pairs(tensors, full_head_dim),
        },
        activation="gelu_tanh",
        embedding_multiplier=hidden_size**0.5,
        logit_softcap=fields.optional_number("final_logit_softcapping", low=1e-3, high=1e6),
        sliding_window=fields.integer("attention.sliding_window", high=limits.MAX_POSITIONS),
        windowed_layers=windowed,
        full_head_dim=full_head_dim,
        full_kv_heads=_of_one_kind(kv_heads, full),
        keys_are_values=any(f"blk.{i}.attn_v.weight" not in tensors for i in full if i < num_layers - shared),
        shared_kv_layers=shared,
        intermediate_sizes=() if len(set(sizes)) == 1 else tuple(sizes),
        layer_input_size=fields.integer("embedding_length_per_layer_input", 0, low=0, high=limits.MAX_HIDDEN),
        norms_experts=has_experts,
        shared_expert_size=max(sizes) if has_experts else 0,
        **_TRAITS,
    )
    return check_shared_layers(replace(spec, layer_input_vocab=spec.vocab_size))


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return without_suffix(rename(spec, _GGUF_NAMES), _UNSUFFIXED[:2])


def fused_gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    experts = split_expert_rows(spec, "blk.{i}.ffn_gate_up_exps", "blk.{i}.ffn_down_exps")
    return gguf_sources(spec) | {name: replace(each, name=f"{each.name}.weight") for name, each in experts.items()}


def unused_gguf_tensors(spec: DecoderSpec) -> set[str]:
    return keys_of_shared_layers(spec)


def _full_heads(fields: Fields, spec: DecoderSpec, has_k_as_v: bool) -> dict[str, Any]:
    """Return the fields about heads of layers without a window. transformers 5 writes what differs, layer by layer."""
    head_dim = fields.integer("global_head_dim", 512, high=limits.MAX_HEAD_DIM)
    kv_heads = fields.integer("num_global_key_value_heads", spec.num_kv_heads, high=limits.MAX_HEADS)
    full = [i for i in range(spec.num_layers) if spec.window_of(i) is None]
    layers = fields.section("per_layer_config")
    if layers is not None:
        # The indexes may have leading zeros.
        names = {int(name): name for name in layers.names() if name.isascii() and name.isdecimal() and len(name) < 8}
        plain = Fields({}, where="config.json")
        sections = [layers.section(names.get(i, str(i))) or plain for i in range(spec.num_layers)]
        heads = [
            (
                section.integer("head_dim", spec.head_dim, high=limits.MAX_HEAD_DIM),
                section.integer("num_key_value_heads", spec.num_kv_heads, high=limits.MAX_HEADS),
            )
            for section in sections
        ]
        if len({heads[i] for i in full}) > 1 or any(
            heads[i] != (spec.head_dim, spec.num_kv_heads) for i in range(spec.num_layers) if i not in full
        ):
            raise limits.unsupported("layers of one kind with heads that differ (per_layer_config)")
        head_dim, kv_heads = heads[full[0]]
    elif not has_k_as_v:
        kv_heads = spec.num_kv_heads
    if head_dim % 2 or spec.num_heads % kv_heads:
        raise BadModelFile(
            f"Layers without a window have {kv_heads} key-value heads of {head_dim} values for {spec.num_heads}"
            " attention heads; the last number must be a multiple of the first, and the size even."
        )
    return {"full_head_dim": head_dim, "full_kv_heads": kv_heads}


def _rope(fields: Fields, spec: DecoderSpec) -> dict[str, Any]:
    """Return the rope fields, of layers without a window and with one."""
    section = fields.section("rope_parameters")
    full = section and section.section("full_attention")
    windowed = section and section.section("sliding_attention")
    if section is not None and full is None and windowed is None:
        raise limits.unsupported("rope_parameters that don't say which kind of layer (full_attention …) they are for")
    full = full or Fields(_USUAL_ROPE, where="config.json: full_attention")
    windowed = windowed or Fields({}, where="config.json: sliding_attention")
    windowed.string("rope_type", "default", known=("default",))
    kind = full.string("rope_type", known=("proportional", "default"))
    share = full.number("partial_rotary_factor", 1.0, low=0.0, high=1.0) if kind == "proportional" else 1.0
    assert spec.full_head_dim is not None
    return {
        "rope_theta": full.number("rope_theta", 1e6, **THETA_RANGE),
        "window_rope_theta": windowed.number("rope_theta", 10_000.0, **THETA_RANGE),
        "rope_scaling": "proportional",
        "rope_factor": full.number("factor", 1.0, low=1e-3, high=1e6) if kind == "proportional" else 1.0,
        "rope_pairs": int(share * spec.full_head_dim // 2),
    }


def _feed_forward(fields: Fields, spec: DecoderSpec) -> dict[str, Any]:
    """Return the fields about layers that share keys, whose inner size may be twice that of the others, and experts."""
    shared = fields.integer("num_kv_shared_layers", 0, low=0, high=spec.num_layers)
    is_wide = fields.flag("use_double_wide_mlp", False) and shared > 0
    size = spec.intermediate_size
    sizes = tuple(size * (2 if i >= spec.num_layers - shared else 1) for i in range(spec.num_layers))
    values: dict[str, Any] = {
        "shared_kv_layers": shared,
        "intermediate_size": max(sizes) if is_wide else size,
        "intermediate_sizes": sizes if is_wide else (),
    }
    count = fields.integer("num_experts", 0, low=0, high=limits.MAX_EXPERTS)
    per_token = fields.integer("top_k_experts", 0, low=0, high=limits.MAX_EXPERTS)
    expert_size = fields.integer("moe_intermediate_size", 0, low=0, high=limits.MAX_INTERMEDIATE)
    if not fields.flag("enable_moe_block", False):
        return values
    if not (count and per_token and expert_size):
        raise BadModelFile("config.json: enable_moe_block needs num_experts, top_k_experts and moe_intermediate_size.")
    if is_wide:
        raise limits.unsupported("experts in layers that are twice as wide (use_double_wide_mlp)")
    return values | {
        "num_experts": count, "experts_per_token": per_token, "expert_size": expert_size,
        "normalizes_experts": True, "norms_experts": True, "shared_expert_size": size,
    }  # fmt: skip


def _of_one_kind(values: list[int], layers: Iterable[int]) -> int:
    found = {values[i] for i in layers}
    if len(found) != 1:
        raise limits.unsupported("layers of one kind with different numbers of key-value heads")
    return found.pop()


def _rotated_pairs(tensors: Mapping[str, RawTensor], head_dim: int) -> int:
    """Return the number of pairs that rotate in layers without a window: converters divide the angles of the others by
    1e30."""
    if ROPE_FACTORS not in tensors:
        raise BadModelFile(f"The file lacks {ROPE_FACTORS}, which says which pairs of a head rotate.")
    divisors = dequantize(tensors[ROPE_FACTORS]).reshape(-1)
    count = int((divisors == 1.0).sum())
    if len(divisors) != head_dim // 2 or not (divisors[:count] == 1.0).all() or not (divisors[count:] >= 1e20).all():
        raise limits.unsupported(f"other rotary positions than Gemma 4's in {ROPE_FACTORS}")
    return count
