"""A tiny model as a GGUF file, whole or in parts. The engine could run it, but for its tokenizer, which is missing."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from llmos.engine.architectures import llama

TINY_CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
}


def write_gguf_parts(path: Path, tensors_per_part: int = 4) -> list[Path]:
    """Write the same model in parts, named after `path`; return their paths in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(path, tensors_per_part)
    return sorted(path.parent.glob(f"{path.stem}-*-of-*.gguf"))


def write_gguf(path: Path, tensors_per_part: int = 0) -> Path:
    spec = llama.spec_from_config(TINY_CONFIG)
    sources = llama.gguf_sources(spec)
    writer = gguf.GGUFWriter(str(path), "llama", split_max_tensors=tensors_per_part)
    writer.add_context_length(128)
    writer.add_float32("general.sampling.temp", 0.5)
    writer.add_float32("general.sampling.min_p", 0.125)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(48)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(64)
    writer.add_license("mit")
    for name, shape in spec.tensor_shapes().items():
        writer.add_tensor(sources[name].name, np.full(shape, 0.5, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
