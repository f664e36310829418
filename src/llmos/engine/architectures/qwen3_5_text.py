"""Qwen 3.5's language model: three layers with a gated delta rule for each layer with gated attention."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.engine.architectures._config import HF_NAMES, config_fields, decoder_from_config, head_dim_from_config
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_fields
from llmos.engine.architectures._recurrent import (
    DELTA_NORM_SUFFIXES,
    HARMLESS_DELTA_CONFIG,
    delta_fields,
    delta_fields_from_gguf,
    delta_gguf_sources,
)
from llmos.engine.architectures._sources import Grouped, Source, rename
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "qwen35"
LEAVES_OUT_LAST_LAYERS = True
HARMLESS_CONFIG = HARMLESS_DELTA_CONFIG

HF_DELTA_NAMES = HF_NAMES | {
    "q_gate": "model.layers.{i}.self_attn.q_proj",
    "mix": "model.layers.{i}.linear_attn.in_proj_qkv",
    "mix_gate": "model.layers.{i}.linear_attn.in_proj_z",
    "beta": "model.layers.{i}.linear_attn.in_proj_b",
    "step": "model.layers.{i}.linear_attn.in_proj_a",
    "conv": "model.layers.{i}.linear_attn.conv1d",
    "decay": "model.layers.{i}.linear_attn.A_log",
    "mix_norm": "model.layers.{i}.linear_attn.norm",
}


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    head_dim = head_dim_from_config(fields, 256)
    return decoder_from_config(config, family="qwen3_5_text", default_head_dim=256, **delta_fields(fields, head_dim))


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return delta_sources(spec, HF_DELTA_NAMES)


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    """Return the spec. Converters reorder the heads of recurrent layers so that they take the key heads in turns."""
    fields = gguf_fields(metadata, GGUF_ARCHITECTURE)
    return decoder_from_gguf(
        metadata,
        tensors,
        architecture=GGUF_ARCHITECTURE,
        family="qwen3_5_text",
        partial_rotary=True,
        tiles_key_heads=True,
        **delta_fields_from_gguf(fields),
    )


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return delta_gguf_sources(spec, {})


def delta_sources(spec: DecoderSpec, names: Mapping[str, str]) -> dict[str, Source]:
    """Return the sources for files with these names; also used by the other Qwens with a gated delta rule."""
    sources = rename(spec, names)
    for name, source in sources.items():
        if not name.startswith("layers."):
            continue
        layer, part = (int(name.split(".")[1]), name.split(".")[2])
        mixer = f"model.layers.{layer}.linear_attn"
        if part in ("q", "q_gate"):
            first = spec.head_dim if part == "q_gate" else 0
            grouped = Grouped(spec.num_heads, 2 * spec.head_dim, ((first, first + spec.head_dim),))
            sources[name] = replace(source, grouped=grouped)
        elif part == "o" and spec.is_recurrent_layer(layer):
            sources[name] = replace(source, name=f"{mixer}.out_proj.weight")
        elif part == "conv":
            sources[name] = replace(source, flatten=True)
        elif part == "decay":
            sources[name] = replace(source, name=f"{mixer}.A_log", negative_exp=True)
        elif name.endswith(".step.bias"):
            sources[name] = replace(source, name=f"{mixer}.dt_bias")
        elif part == "shared_router":
            sources[name] = replace(source, flatten=True)
    return {
        name: replace(source, plus_one=True) if name.endswith(DELTA_NORM_SUFFIXES) else source
        for name, source in sources.items()
    }
