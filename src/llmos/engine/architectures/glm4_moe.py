"""GLM 4.5 to 4.7: many experts chosen by corrected sigmoids, a shared expert, half of each head rotated."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import (
    EXPERT_HF_NAMES,
    HF_NAMES,
    config_fields,
    decoder_from_config,
    head_dim_from_config,
)
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._gguf import GGUF_NAMES, decoder_from_gguf, gguf_fields
from llmos.engine.architectures._read_keys import ANY, ChangedKeys, Harmless
from llmos.engine.architectures._recurrent import SHARED_EXPERT_GGUF_NAMES, num_predicting_layers
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.architectures._windows import num_layers_of
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "glm4moe"
LEAVES_OUT_LAST_LAYERS = True
HARMLESS_CONFIG: Harmless = {
    "num_nextn_predict_layers": ANY,
    "num_mtp_layers": ANY,
    "topk_method": ("noaux_tc",),
    "scoring_func": ("sigmoid",),
}

_HF_NAMES = HF_NAMES | EXPERT_HF_NAMES | {"router_correction": "model.layers.{i}.mlp.gate"}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    inner = {"high": limits.MAX_INTERMEDIATE}
    expert_size = fields.integer("moe_intermediate_size", 1408, **inner)
    num_dense = fields.integer("first_k_dense_replace", 1, low=0, high=limits.MAX_LAYERS)
    return decoder_from_config(
        config,
        family="glm4_moe",
        default_eps=1e-5,
        rope=rope_from_config(fields, head_dim=head_dim_from_config(fields), default_share=0.5),
        qkv_bias=fields.flag("attention_bias", False),
        qk_norm="head" if fields.flag("use_qk_norm", False) else None,
        num_experts=fields.integer("n_routed_experts", 128, high=limits.MAX_EXPERTS),
        experts_per_token=fields.integer("num_experts_per_tok", 8, high=limits.MAX_EXPERTS),
        expert_size=expert_size,
        normalizes_experts=fields.flag("norm_topk_prob", True),
        router_score="sigmoid",
        corrects_router=True,
        expert_groups=fields.integer("n_group", 1, high=limits.MAX_EXPERTS),
        chosen_groups=fields.integer("topk_group", 1, high=limits.MAX_EXPERTS),
        expert_multiplier=fields.number("routed_scaling_factor", 1.0, low=1e-6, high=1e6),
        shared_expert_size=expert_size * fields.integer("n_shared_experts", 1, high=limits.MAX_EXPERTS),
        dense_layers=tuple(range(min(num_dense, num_layers_of(fields)))),
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    sources = rename(spec, _HF_NAMES)
    for name, source in sources.items():
        layer, part = name.split(".")[1:3] if name.startswith("layers.") else ("", "")
        if part == "router_correction":
            sources[name] = replace(source, name=source.name.replace(".weight", ".e_score_correction_bias"))
        elif part in ("gate", "up", "down") and spec.has_experts(int(layer)) and len(name.split(".")) == 4:
            sources[name] = replace(source, name=source.name.replace(".mlp.", ".mlp.shared_experts."))
    return sources


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE, experts=True)
    if fields.integer("expert_gating_func", 2, low=0) not in (0, 2):  # 2: sigmoid; absent in older files
        raise limits.unsupported("experts that aren't chosen by sigmoids")
    count = {"high": limits.MAX_EXPERTS}
    num_layers = fields.integer("block_count", high=limits.MAX_LAYERS) - num_predicting_layers(fields)
    expert_size = fields.integer("expert_feed_forward_length", high=limits.MAX_INTERMEDIATE)
    num_dense = fields.integer("leading_dense_block_count", 1, low=0, high=limits.MAX_LAYERS)
    # The values that decoder_from_gguf() expects for experts that a softmax chooses.
    usual = {"expert_gating_func": 1, "expert_shared_count": 0, "expert_weights_scale": 1.0, "expert_group_count": 0}
    return decoder_from_gguf(
        ChangedKeys(metadata, **{f"{GGUF_ARCHITECTURE}.{name}": value for name, value in usual.items()}),
        tensors,
        architecture=GGUF_ARCHITECTURE,
        family="glm4_moe",
        partial_rotary=True,
        experts=True,
        num_layers=num_layers,
        qk_norm="head" if "blk.0.attn_q_norm.weight" in tensors else None,
        normalizes_experts=fields.flag("expert_weights_norm", True),
        router_score="sigmoid",
        corrects_router=True,
        expert_groups=fields.integer("expert_group_count", 1, **count),
        chosen_groups=fields.integer("expert_group_used_count", 1, **count),
        expert_multiplier=fields.number("expert_weights_scale", 1.0, low=1e-6, high=1e6),
        shared_expert_size=expert_size * fields.integer("expert_shared_count", 1, **count),
        dense_layers=tuple(range(min(num_dense, num_layers))),
    )


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    names = {"mlp_norm": "blk.{i}.post_attention_norm", "router_correction": "blk.{i}.exp_probs_b"}
    sources = rename(spec, GGUF_NAMES | names)
    for name, source in sources.items():
        layer, part = name.split(".")[1:3] if name.startswith("layers.") else ("", "")
        if part == "router_correction":
            sources[name] = replace(source, name=source.name.replace(".weight", ".bias"))
        elif part in SHARED_EXPERT_GGUF_NAMES and spec.has_experts(int(layer)) and len(name.split(".")) == 4:
            sources[name] = replace(source, name=f"{SHARED_EXPERT_GGUF_NAMES[part].format(i=layer)}.weight")
    return sources
