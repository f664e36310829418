"""Granite 4: Mamba 2 in most layers, Granite's scaling factors, and in some models experts beside a shared one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._read_keys import ANY, ChangedKeys, Harmless
from llmos.engine.architectures._recurrent import recurrent_layers
from llmos.engine.architectures._sources import Source, rename, split_expert_rows
from llmos.engine.architectures._windows import num_layers_of
from llmos.engine.architectures.granite import HF_SCALES, scales
from llmos.engine.spec import DecoderSpec

GGUF_ARCHITECTURE = None
HARMLESS_CONFIG: Harmless = {
    "mamba_chunk_size": ANY, "normalization_function": ("rmsnorm",), "intermediate_size": ANY,
    "num_experts_per_tok": ANY,
    "mamba_n_heads": ANY, "mamba_n_groups": ANY, "mamba_d_state": ANY, "mamba_d_head": ANY, "mamba_d_conv": ANY,
    "mamba_expand": ANY, "mamba_conv_bias": ANY, "mamba_proj_bias": ANY, "time_step_limit": ANY,
}  # fmt: skip
"""Sizes of experts and recurrent layers in models that have none."""

_HF_NAMES = HF_NAMES | {
    "mix": "model.layers.{i}.mamba.in_proj",
    "mix_gate": "model.layers.{i}.mamba.in_proj",
    "step": "model.layers.{i}.mamba.in_proj",
    "conv": "model.layers.{i}.mamba.conv1d",
    "decay": "model.layers.{i}.mamba.A_log",
    "skip": "model.layers.{i}.mamba.D",
    "mix_norm": "model.layers.{i}.mamba.norm",
    "router": "model.layers.{i}.block_sparse_moe.router.layer",
    "gate": "model.layers.{i}.shared_mlp.input_linear",
    "up": "model.layers.{i}.shared_mlp.input_linear",
    "down": "model.layers.{i}.shared_mlp.output_linear",
}
_EXPERTS = "model.layers.{i}.block_sparse_moe"


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    inner = {"high": limits.MAX_INTERMEDIATE}
    has_bias = fields.flag("attention_bias", False)
    shared_size = fields.integer("shared_intermediate_size", 1024, **inner)
    num_experts = fields.integer("num_local_experts", 8, low=0, high=limits.MAX_EXPERTS)
    experts: dict[str, Any] = {}
    if num_experts:
        experts = {
            "num_experts": num_experts,
            "experts_per_token": fields.integer("num_experts_per_tok", 2, high=limits.MAX_EXPERTS),
            "expert_size": fields.integer("intermediate_size", **inner),
            "normalizes_experts": True,
            "shared_expert_size": shared_size,
        }
    is_rotated = fields.string("position_embedding_type", "nope", known=("rope", "nope")) == "rope"
    return decoder_from_config(
        ChangedKeys(config, intermediate_size=shared_size),
        family="granitemoehybrid",
        windows={},
        qkv_bias=has_bias,
        output_bias=has_bias,
        unrotated_layers=() if is_rotated else tuple(range(num_layers_of(fields))),
        **scales(fields, HF_SCALES),
        **experts,
        **_mamba(fields),
    )


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    sources = rename(spec, _HF_NAMES)
    # in_proj has the rows of the gate, of the convolution's channels and of the steps.
    ends = [spec.recurrent_size, spec.recurrent_size + spec.conv_channels]
    inner = spec.shared_expert_size or spec.intermediate_size
    rows = {
        "mix_gate": slice(ends[0]),
        "mix": slice(*ends),
        "step": slice(ends[1], ends[1] + spec.recurrent_heads),
        "gate": slice(inner),
        "up": slice(inner, 2 * inner),
    }
    for name, source in sources.items():
        if not name.startswith("layers."):
            continue
        layer, part = int(name.split(".")[1]), name.split(".")[2]
        mixer = f"model.layers.{layer}.mamba"
        if part == "conv":
            sources[name] = replace(source, flatten=name.endswith(".weight"))
        elif name.endswith(".step.bias"):
            sources[name] = Source(f"{mixer}.dt_bias")
        elif part in rows:
            sources[name] = replace(source, rows=rows[part])
        elif part == "decay":
            sources[name] = Source(f"{mixer}.A_log", negative_exp=True)
        elif part == "skip":
            sources[name] = Source(f"{mixer}.D")
        elif part == "o" and spec.is_recurrent_layer(layer):
            sources[name] = Source(f"{mixer}.out_proj.weight")
    experts = split_expert_rows(spec, f"{_EXPERTS}.input_linear", f"{_EXPERTS}.output_linear")
    return sources | {name: replace(source, name=f"{source.name}.weight") for name, source in experts.items()}


def _mamba(fields: Fields) -> dict[str, Any]:
    layers = recurrent_layers(
        fields,
        range(num_layers_of(fields)),
        recurrent=("mamba", "linear_attention"),
        attending=("attention", "full_attention"),
    )
    if not layers:
        return {}
    if fields.flag("mamba_proj_bias", False):
        raise limits.unsupported("biases on the projections of its recurrent layers (mamba_proj_bias)")
    heads = fields.integer("mamba_n_heads", 128, high=limits.MAX_HEADS)
    width = fields.integer("mamba_expand", 2, high=64) * fields.integer("hidden_size", high=limits.MAX_HIDDEN)
    if width % heads:
        raise BadModelFile(f"config.json: mamba_n_heads is {heads}; it must divide mamba_expand * hidden_size.")
    if fields.get("mamba_d_head") not in (None, "auto", width // heads):
        raise BadModelFile("config.json: mamba_d_head * mamba_n_heads must equal mamba_expand * hidden_size.")
    return {
        "recurrence": "mamba",
        "recurrent_layers": layers,
        "conv_size": fields.integer("mamba_d_conv", 4, low=2, high=16),
        "conv_bias": fields.flag("mamba_conv_bias", True),
        "recurrent_heads": heads,
        "recurrent_key_heads": fields.integer("mamba_n_groups", 1, high=limits.MAX_HEADS),
        "recurrent_key_size": fields.integer("mamba_d_state", 256, high=limits.MAX_HEAD_DIM),
        "recurrent_value_size": width // heads,
        "step_limits": _step_limits(fields),
    }


def _step_limits(fields: Fields) -> tuple[float, float]:
    pair = fields.get("time_step_limit")
    if pair is None:
        return (0.0, float("inf"))
    if isinstance(pair, list) and len(pair) == 2:
        # JSON has no infinity; transformers writes it like this.
        low, high = (float("inf") if each == {"__float__": "Infinity"} else each for each in pair)
        if type(low) in (int, float) and type(high) in (int, float) and 0 <= low <= high:
            return float(low), float(high)
    raise BadModelFile("config.json: time_step_limit must be two numbers, the least and the greatest step.")
