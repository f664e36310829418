"""gpt-oss: experts with biases and a clamped SwiGLU, attention sinks, a sliding window in every other layer."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._gguf import GGUF_NAMES, decoder_from_gguf, gguf_fields
from llmos.engine.architectures._read_keys import ANY, ChangedKeys, Harmless
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.architectures._windows import num_layers_of, window_fields, windowed_layers
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "gpt-oss"
HARMLESS_CONFIG: Harmless = {"hidden_act": ANY, "initial_context_length": ANY}

_HF_NAMES = HF_NAMES | {
    "sinks": "model.layers.{i}.self_attn.sinks",
    "router": "model.layers.{i}.mlp.router",
    "gate.{n}": "model.layers.{i}.mlp.experts.gate_up_proj",
    "up.{n}": "model.layers.{i}.mlp.experts.gate_up_proj",
    "down.{n}": "model.layers.{i}.mlp.experts.down_proj",
}
_GGUF_NAMES = GGUF_NAMES | {"sinks": "blk.{i}.attn_sinks", "mlp_norm": "blk.{i}.post_attention_norm"}

_TRAITS: dict[str, Any] = {
    "activation": "clamped_swiglu", "attention_sinks": True, "router_bias": True, "normalizes_experts": True,
    "mlp_bias": True,
}  # fmt: skip
_USUAL_ROPE = {
    "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
    "original_max_position_embeddings": 4096,
}  # fmt: skip


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    if config.get("rope_parameters") is None and config.get("rope_scaling") is None:
        config = ChangedKeys(config, rope_scaling=_USUAL_ROPE)
    fields = config_fields(config)
    for name, usual in (("swiglu_alpha", 1.702), ("swiglu_limit", 7.0)):
        if fields.number(name, usual, low=0.0, high=1e6) != usual:
            raise limits.unsupported(f"an unusual {name}")
    has_bias = fields.flag("attention_bias", True)
    num_layers = num_layers_of(fields)
    return decoder_from_config(
        config,
        family="gpt_oss",
        default_head_dim=64,
        default_eps=1e-5,
        rope=rope_from_config(fields, head_dim=head_dim_from_config(fields, 64), default_theta=150_000.0),
        qkv_bias=has_bias,
        output_bias=has_bias,
        num_experts=fields.integer("num_local_experts", 128, high=limits.MAX_EXPERTS),
        experts_per_token=fields.integer(
            "num_experts_per_tok", fields.integer("experts_per_token", 4, high=limits.MAX_EXPERTS)
        ),
        expert_size=fields.integer("intermediate_size", 2880, high=limits.MAX_INTERMEDIATE),
        windows=_windows(fields, windowed_layers(fields, range(0, num_layers, 2)), num_layers),
        **_TRAITS,
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    """Return the sources. The experts are stored as [in, out], and the rows of gate and up take turns."""
    sources = rename(spec, _HF_NAMES)
    for name, source in sources.items():
        part = name.split(".")[2] if name.startswith("layers.") else ""
        if part == "sinks":
            sources[name] = replace(source, name=source.name.removesuffix(".weight"))
        if source.index is None:
            continue
        is_bias = name.endswith(".bias")
        file_name = source.name.removesuffix(".bias") + "_bias" if is_bias else source.name.removesuffix(".weight")
        rows = None if part == "down" else slice(int(part == "up"), 2 * spec.expert_size, 2)
        sources[name] = replace(source, name=file_name, transpose=not is_bias, rows=rows)
    return sources


def packed_hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    """Return the sources of files in MXFP4, which have each expert by itself and as [out, in]."""
    sources = hf_sources(spec)
    for name, source in sources.items():
        if source.index is not None and name.endswith(".weight"):
            name_in_file = f"{source.name}_blocks.{source.index}"
            sources[name] = Source(name_in_file, rows=source.rows)
    return sources


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE, experts=True)
    num_layers = fields.integer("block_count", high=limits.MAX_LAYERS)
    window = fields.integer("attention.sliding_window", 128, high=limits.MAX_POSITIONS)
    expert_size = fields.integer("expert_feed_forward_length", high=limits.MAX_INTERMEDIATE)
    return decoder_from_gguf(
        # Converters write how llama.cpp weighs the experts, which is the same as a softmax over the chosen ones.
        ChangedKeys(
            metadata,
            **{
                f"{GGUF_ARCHITECTURE}.expert_gating_func": 1,
                f"{GGUF_ARCHITECTURE}.feed_forward_length": expert_size,
            },
        ),
        tensors,
        architecture=GGUF_ARCHITECTURE,
        family="gpt_oss",
        experts=True,
        rope_truncates=False,
        **window_fields(
            window,
            range(0, num_layers, 2),
            num_layers=num_layers,
            max_positions=fields.integer("context_length", high=limits.MAX_POSITIONS),
        ),
        **_TRAITS,
    )


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, _GGUF_NAMES)


def _windows(fields: Fields, layers: tuple[int, ...], num_layers: int) -> dict[str, Any]:
    window = fields.integer("sliding_window", 128, low=0, high=limits.MAX_POSITIONS) or None
    max_positions = fields.integer("max_position_embeddings", high=limits.MAX_POSITIONS)
    return window_fields(window, layers, num_layers=num_layers, max_positions=max_positions)
