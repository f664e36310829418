"""A tiny byte-level model as a Hugging Face folder, and damaged or pruned variants of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from safetensors.numpy import save_file
from tokenizers import decoders, models, pre_tokenizers

from llmos.engine.architectures import llama

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 257,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "eos_token_id": 256,
}
Change = Callable[[str, np.ndarray], np.ndarray]


def write_folder(
    folder: Path,
    *,
    change: Change = lambda name, values: values,
    layers: Sequence[int] = range(4),
    channels: int = 64,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """Write the model with fixed weights, after applying `change` and keeping only these layers and channels."""
    folder.mkdir(parents=True)
    whole = llama.spec_from_config(CONFIG)
    rng = np.random.default_rng(7)
    values = {
        name: (rng.normal(1, 0.3, shape) if len(shape) == 1 else rng.normal(0, 0.15, shape)).astype(np.float32)
        for name, shape in whole.tensor_shapes().items()
    }
    config = CONFIG | {"num_hidden_layers": len(layers), "intermediate_size": channels} | (config or {})
    spec = llama.spec_from_config(config)
    sources = llama.hf_sources(spec)
    tensors = {}
    for name, shape in spec.tensor_shapes().items():
        parts = name.split(".")
        if parts[0] == "layers":
            parts[1] = str(layers[int(parts[1])])
        kept = values[".".join(parts)][tuple(slice(0, length) for length in shape)]
        tensors[sources[name].name] = np.ascontiguousarray(change(name, kept.copy()))
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([tokenizers.AddedToken("<|end|>", special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|end|>"}))
    return folder


def noisy(size: float) -> Change:
    """Return a change that adds noise to every matrix, scaled by its standard deviation."""

    def change(name: str, values: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(len(name))
        return values + (values.ndim == 2) * rng.normal(0, size * values.std(), values.shape).astype(np.float32)

    return change
