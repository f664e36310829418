"""Writes tiny encoders as GGUF files, as llama.cpp's converter does."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

from support.tiny_encoders import VOCABULARY, TinyEncoder

_ARCHITECTURES = {"modernbert": "modern-bert", "nomic_bert": "nomic-bert", "qwen3": "qwen3"}
_CONTROL, _NORMAL = 3, 1
POOLINGS = {"mean": 1, "cls": 2, "last": 3}


def write_gguf_encoder(tiny: TinyEncoder, path: Path, *, pooling: str = "mean", **metadata: Any) -> Path:
    config = tiny.reference.config
    architecture = _ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_uint32(f"{architecture}.pooling_type", POOLINGS[pooling])
    if architecture == "qwen3":
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_uint32("tokenizer.ggml.eos_token_id", 3)
    else:
        writer.add_causal_attention(False)
    if architecture == "modern-bert":
        writer.add_layer_norm_eps(config.norm_eps)
        writer.add_sliding_window(config.local_attention)
        writer.add_uint32(f"{architecture}.attention.sliding_window_pattern", 3)
        writer.add_rope_freq_base(160_000.0)
        writer.add_float32(f"{architecture}.rope.freq_base_swa", 10_000.0)
        writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
        writer.add_string(f"{architecture}.hidden_act", "gelu")
    if architecture == "nomic-bert":
        writer.add_layer_norm_eps(config.layer_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_token_type_count(2)
    _add_vocabulary(writer)
    for key, value in metadata.items():
        writer.add_uint32(f"{architecture}.{key}", value)
    by_name = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(by_name[architecture], config.num_hidden_layers)
    for name, values in load_file(tiny.folder / "model.safetensors").items():
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        known = known or names.get_name(f"model.{name}", try_suffixes=(".weight", ".bias"))
        writer.add_tensor(known, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    """`BertModel.set_vocab`: words begin with a space, and parts of words don't."""
    tokens = [
        word if word.startswith("[") else word[2:] if word.startswith("##") else f"\u2581{word}" for word in VOCABULARY
    ]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(tokens)
    writer.add_token_types([_CONTROL if word.startswith("[") else _NORMAL for word in VOCABULARY])
    writer.add_uint32("tokenizer.ggml.unknown_token_id", 1)
    writer.add_uint32("tokenizer.ggml.cls_token_id", 2)
    writer.add_uint32("tokenizer.ggml.seperator_token_id", 3)
    writer.add_uint32("tokenizer.ggml.padding_token_id", 0)
