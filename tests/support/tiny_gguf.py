"""A tiny model as a GGUF file that the engine can run, whole or in parts, and its tokenizer as a file of its own."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

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


_BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())[:63]
MERGE = (_BYTES[0], _BYTES[1])
TOKENS = [*_BYTES, "".join(MERGE)]
"""One byte each but the last; the model knows no others."""


def write_tokenizer(path: Path) -> None:
    tokenizer = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate(TOKENS)}, [MERGE]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(path))


def write_gguf_parts(path: Path, tensors_per_part: int = 4) -> list[Path]:
    """Write the same model in parts, named after `path`; return their paths in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(path, tensors_per_part)
    return sorted(path.parent.glob(f"{path.stem}-*-of-*.gguf"))


def write_gguf(path: Path, tensors_per_part: int = 0, *, pre_tokenizer: str = "gpt-2") -> Path:
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
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer)
    writer.add_token_list(TOKENS)
    writer.add_token_merges([" ".join(MERGE)])
    for name, shape in spec.tensor_shapes().items():
        writer.add_tensor(sources[name].name, np.full(shape, 0.5, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
