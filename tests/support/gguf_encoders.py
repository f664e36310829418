"""Writes tiny encoders as GGUF files, as llama.cpp's converter does."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

from support.tiny_encoders import VOCABULARY, TinyEncoder
from support.tiny_rerankers import TOKENS, TinyReranker

_ARCHITECTURES = {
    "modernbert": "modern-bert", "nomic_bert": "nomic-bert", "qwen3": "qwen3", "bert": "bert", "roberta": "bert",
    "xlm-roberta": "bert", "distilbert": "bert",
}  # fmt: skip
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4
POOLINGS = {"mean": 1, "cls": 2, "last": 3}


def write_gguf_encoder(tiny: TinyEncoder, path: Path, *, pooling: str = "mean", **metadata: Any) -> Path:
    return write_gguf_body(tiny, path, **{"pooling_type": POOLINGS[pooling], **metadata})


def write_gguf_body(
    tiny: TinyEncoder | TinyReranker, path: Path, *, labels: list[str] | None = None, **metadata: Any
) -> Path:
    """Write an encoder, or a reranker with these labels."""
    config, folder = tiny.reference.config, tiny.folder
    architecture = _ARCHITECTURES[config.model_type]
    # BertModel.set_gguf_parameters and its subclasses; distilbert's config has other names.
    offset = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings - offset)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", None) or config.hidden_dim)
    writer.add_head_count(config.num_attention_heads)
    if architecture == "qwen3":
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
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
    if architecture in ("nomic-bert", "bert"):
        writer.add_layer_norm_eps(getattr(config, "layer_norm_eps", 1e-12))
    if architecture == "nomic-bert":
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if architecture in ("nomic-bert", "bert"):
        writer.add_token_type_count(getattr(config, "type_vocab_size", 1))
    if labels is not None:
        writer.add_classifier_output_labels(labels)
    for key, value in metadata.items():
        writer.add_uint32(f"{architecture}.{key}", value)
    add_vocabulary = _add_byte_vocabulary if architecture == "qwen3" and labels else _add_vocabulary
    add_vocabulary(writer, folder)
    by_name = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(by_name[architecture], config.num_hidden_layers)
    tensors = load_file(folder / "model.safetensors")
    if labels == ["yes", "no"]:  # Qwen3Model._get_cls_out_tensor
        head = tensors.pop("lm_head.weight", tensors["model.embed_tokens.weight"])
        writer.add_tensor("cls.output.weight", np.ascontiguousarray(head[[TOKENS[label] for label in labels]]))
    for name, values in tensors.items():
        base = name.removeprefix("roberta.").removeprefix("bert.").removeprefix("distilbert.")
        if base.startswith("pooler."):
            continue  # as the converter does
        known = names.get_name(base, try_suffixes=(".weight", ".bias"))
        known = known or names.get_name(f"model.{base}", try_suffixes=(".weight", ".bias"))
        if labels == ["LABEL_0"] and base.startswith("classifier.") and base.count(".") == 1:
            known = base.replace("classifier", "cls.output")
        writer.add_tensor(known, np.ascontiguousarray(values[offset:] if known == "position_embd.weight" else values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_byte_vocabulary(writer: gguf.GGUFWriter, folder: Path) -> None:
    """Write the tokenizer.json of a folder, a byte-level vocabulary."""
    file = json.loads((folder / "tokenizer.json").read_text())
    tokens = [text for text, _ in sorted(file["model"]["vocab"].items(), key=lambda item: item[1])]
    added = {each["content"]: _CONTROL if each["special"] else _USER_DEFINED for each in file["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([added.get(text, _NORMAL) for text in tokens])
    writer.add_token_merges([" ".join(merge) for merge in file["model"]["merges"]])
    writer.add_chat_template(json.loads((folder / "tokenizer_config.json").read_text())["chat_template"])


def _add_vocabulary(writer: gguf.GGUFWriter, folder: Path) -> None:
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
    if writer.arch == "qwen3":
        writer.add_uint32("tokenizer.ggml.eos_token_id", 3)
