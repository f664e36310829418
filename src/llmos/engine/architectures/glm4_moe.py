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
from llmos.engine.architectures._read_keys import ANY, Harmless
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.architectures._windows import num_layers_of
from llmos.engine.spec import DecoderSpec

GGUF_ARCHITECTURE = None
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
