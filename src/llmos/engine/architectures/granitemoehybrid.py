"""Granite 4: Mamba 2 in most layers, Granite's scaling factors, and in some models experts beside a shared one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._gguf import GGUF_NAMES, decoder_from_gguf, gguf_fields
from llmos.engine.architectures._read_keys import ANY, ChangedKeys, Harmless
from llmos.engine.architectures._recurrent import SHARED_EXPERT_GGUF_NAMES, recurrent_layers
from llmos.engine.architectures._sources import Source, half_split_heads, rename, split_expert_rows
from llmos.engine.architectures._windows import num_layers_of
from llmos.engine.architectures.granite import GGUF_SCALES, HF_SCALES, scales
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "granitehybrid"
HARMLESS_CONFIG: Harmless = {
    "mamba_chunk_size": ANY, "normalization_function": ("rmsnorm",), "intermediate_size": ANY,
    "num_experts_per_tok": ANY,
    "mamba_n_heads": ANY, "mamba_n_groups": ANY, "mamba_d_state": ANY, "mamba_d_head": ANY, "mamba_d_conv": ANY,
    "mamba_expand": ANY, "mamba_conv_bias": ANY, "mamba_proj_bias": ANY, "time_step_limit": ANY,
}  # fmt: skip
"""Sizes of experts and recurrent layers in models that have none."""
HARMLESS_GGUF: Harmless = {
    "expert_used_count": ANY, "ssm.conv_kernel": ANY, "ssm.state_size": ANY, "ssm.group_count": ANY,
    "ssm.inner_size": ANY, "ssm.time_step_rank": ANY,
}  # fmt: skip

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
    inner = spec.shared_expert_size or spec.intermediate_size
    rows = {**_projection_rows(spec), "gate": slice(inner), "up": slice(inner, 2 * inner)}
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


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    """Return the spec. A layer without key-value heads is recurrent."""
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE, experts=True)
    num_layers = fields.integer("block_count", high=limits.MAX_LAYERS)
    heads = fields.get("attention.head_count_kv")
    counts = heads if isinstance(heads, list) else [heads] * num_layers
    attending = [i for i, count in enumerate(counts) if count]
    kinds = {counts[i] for i in attending}
    if len(counts) != num_layers or len(kinds) > 1 or not all(type(count) is int for count in counts):
        raise BadModelFile(
            f"the GGUF metadata: attention.head_count_kv must have 0 or one number for each of {num_layers} layers."
        )
    inner = {"high": limits.MAX_INTERMEDIATE}
    usual_size = fields.uniform_integer("feed_forward_length", **inner)
    shared_size = fields.integer("expert_shared_feed_forward_length", usual_size, **inner)
    has_experts = bool(fields.integer("expert_count", 0, low=0))
    changes: dict[str, Any] = {
        "attention.head_count_kv": kinds.pop() if kinds else 1,
        "feed_forward_length": shared_size,
        "expert_feed_forward_length": fields.integer("expert_feed_forward_length", usual_size, **inner),
    }
    first = attending[0] if attending else 0
    is_rotated = fields.flag("rope.scaling.finetuned", len(attending) == num_layers)
    return decoder_from_gguf(
        ChangedKeys(metadata, **{f"{GGUF_ARCHITECTURE}.{name}": value for name, value in changes.items()}),
        tensors,
        architecture=GGUF_ARCHITECTURE,
        family="granitemoehybrid",
        experts=True,
        qkv_bias=f"blk.{first}.attn_q.bias" in tensors,
        output_bias=f"blk.{first}.attn_output.bias" in tensors,
        unrotated_layers=() if is_rotated else tuple(range(num_layers)),
        shared_expert_size=shared_size if has_experts else 0,
        **scales(fields, GGUF_SCALES),
        **_mamba_from_gguf(fields, tensors, [i for i in range(num_layers) if i not in attending]),
    )


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    inner = SHARED_EXPERT_GGUF_NAMES if spec.num_experts else {}
    projection = dict.fromkeys(("mix", "mix_gate", "step"), "blk.{i}.ssm_in")
    names = {**projection, "conv": "blk.{i}.ssm_conv1d", "mix_norm": "blk.{i}.ssm_norm"}
    sources = half_split_heads(spec, rename(spec, {**GGUF_NAMES, **names, **inner}))
    rows = _projection_rows(spec)
    for name, source in sources.items():
        if not name.startswith("layers."):
            continue
        layer, part = int(name.split(".")[1]), name.split(".")[2]
        if name.endswith(".step.bias"):
            sources[name] = Source(f"blk.{layer}.ssm_dt.bias")
        elif part in rows:
            sources[name] = replace(source, rows=rows[part])
        elif part in ("mix_norm", "conv"):
            sources[name] = replace(source, flatten=name.endswith(".weight"))
        elif part == "o" and spec.is_recurrent_layer(layer):
            sources[name] = Source(f"blk.{layer}.ssm_out.weight")
    for name in spec.tensor_shapes():
        if name.endswith((".decay.weight", ".skip.weight")):
            vector = "ssm_a" if name.endswith(".decay.weight") else "ssm_d"
            sources[name] = Source(f"blk.{name.split('.')[1]}.{vector}", flatten=True)
    return sources


def _projection_rows(spec: DecoderSpec) -> dict[str, slice]:
    """Return the rows of in_proj: those of the gate, of the convolution's channels and of the steps."""
    ends = [spec.recurrent_size, spec.recurrent_size + spec.conv_channels]
    return {
        "mix_gate": slice(ends[0]),
        "mix": slice(*ends),
        "step": slice(ends[1], ends[1] + spec.recurrent_heads),
    }


def _mamba_from_gguf(fields: Fields, tensors: Mapping[str, RawTensor], layers: Sequence[int]) -> dict[str, Any]:
    if not layers:
        return {}
    heads = fields.integer("ssm.time_step_rank", high=limits.MAX_HEADS)
    width = fields.integer("ssm.inner_size", high=limits.MAX_INTERMEDIATE)
    if width % heads:
        raise BadModelFile("the GGUF metadata: ssm.inner_size must be a multiple of ssm.time_step_rank.")
    return {
        "recurrence": "mamba",
        "recurrent_layers": tuple(layers),
        "conv_size": fields.integer("ssm.conv_kernel", low=2, high=16),
        "conv_bias": f"blk.{layers[0]}.ssm_conv1d.bias" in tensors,
        "recurrent_heads": heads,
        "recurrent_key_heads": fields.integer("ssm.group_count", high=limits.MAX_HEADS),
        "recurrent_key_size": fields.integer("ssm.state_size", high=limits.MAX_HEAD_DIM),
        "recurrent_value_size": width // heads,
    }


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
