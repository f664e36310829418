"""Tiny models of every family with random weights, made by transformers, as Hugging Face folders and as GGUF files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers

from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from support.gguf_converters import CONVERTERS, METADATA, delta_metadata

# For such small matrices a second thread is slower, on a busy machine by a factor of twenty.
torch.set_num_threads(1)

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

COMMON: dict[str, Any] = {
    "vocab_size": 131,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}

_TIED = {"tie_word_embeddings": True}
_BIASES = {"attention_bias": True, "mlp_bias": True}
_LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 50_000.0, "factor": 4.0}
_REAL_LLAMA3 = {
    "rope_parameters": LLAMA3_ROPE | {"original_max_position_embeddings": 8192},
    "max_position_embeddings": 16384,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
}
_WINDOW_IN_ALL_LAYERS = {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 0}
_GPT2 = {"vocab_size": 131, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 128}
_GPT2_INNER = {"vocab_size": 133, "n_embd": 96, "n_head": 6, "n_inner": 112, "tie_word_embeddings": False}

_GEMMA = {
    "head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 9, "num_hidden_layers": 3, "pad_token_id": 0,
    "tie_word_embeddings": True,
}  # fmt: skip
_GEMMA_CAPS = {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0}
_GEMMA3_ROPE = {
    "full_attention": {"rope_type": "linear", "rope_theta": 50_000.0, "factor": 4.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
}
_GEMMA3_LAYERS = {
    "query_pre_attn_scalar": 20, "final_logit_softcapping": 5.0, "tie_word_embeddings": False,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}  # fmt: skip
_YARN_ROPE = {
    "rope_type": "yarn", "rope_theta": 1_000.0, "factor": 4.0, "original_max_position_embeddings": 64,
    "beta_fast": 6.0, "beta_slow": 0.5,
}  # fmt: skip
_LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5, "attention_factor": 1.2,
    "short_factor": [1.0, 1.5, 2.0], "long_factor": [1.0, 3.0, 7.5],
}  # fmt: skip
_SMOLLM3_WINDOW = {"use_sliding_window": True, "sliding_window": 9, "no_rope_layers": [0, 1], "pad_token_id": 0}
_PHI3 = {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0}
_GRANITE_SCALES = {
    "embedding_multiplier": 3.0, "attention_multiplier": 0.21, "residual_multiplier": 0.4, "logits_scaling": 2.5,
}  # fmt: skip
_HALF_ROTATED = {"rope_parameters": {"rope_type": "default", "rope_theta": 5_000.0, "partial_rotary_factor": 0.5}}
_PARALLEL = {"use_parallel_residual": True, "qk_layernorm": True, "num_attention_heads": 4}
_NEOX = {key: value for key, value in COMMON.items() if key != "num_key_value_heads"}
_SERIAL = {"use_parallel_residual": False, "hidden_act": "gelu_new", "tie_word_embeddings": True}

_MIXTRAL = {"num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": 21, "pad_token_id": 0}
_QWEN3_MOE = {
    "num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 20, "head_dim": 12, "norm_topk_prob": True,
}  # fmt: skip
_QWEN3_SOME_DENSE = {"num_hidden_layers": 4, "decoder_sparse_step": 2, "mlp_only_layers": [3], "norm_topk_prob": False}

_OLMO3_ROPE = {
    "full_attention": {"rope_type": "yarn", "rope_theta": 1_000.0, "factor": 4.0, "beta_fast": 6.0, "beta_slow": 0.5,
                       "original_max_position_embeddings": 64},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1_000.0},
}  # fmt: skip
_FULL_LAYERS = {"sliding_window": None, "layer_types": ["full_attention"] * 2}
_FIVE_LAYERS = {"num_hidden_layers": 5, "sliding_window": 9}
_GLM4 = {"head_dim": 12, "pad_token_id": 0, "rope_parameters": _HALF_ROTATED["rope_parameters"]}
_MINISTRAL3_ROPE = {
    "rope_type": "yarn", "rope_theta": 1_000.0, "factor": 16.0, "original_max_position_embeddings": 8,
    "max_position_embeddings": 128, "beta_fast": 32.0, "beta_slow": 1.0, "mscale_all_dim": 1.0, "mscale": 1.0,
    "llama_4_scaling_beta": 0.3,
}  # fmt: skip
_HUNYUAN_ROPE = {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 500.0, "alpha": 100.0, "factor": 1.0}}
_GPT_OSS = {
    "head_dim": 12, "num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": 9, "num_hidden_layers": 3,
    "rope_parameters": _YARN_ROPE | {"truncate": False},
}  # fmt: skip
_GLM4_MOE = {
    "num_hidden_layers": 3, "moe_intermediate_size": 20, "n_routed_experts": 6, "num_experts_per_tok": 2,
    "n_shared_experts": 2, "routed_scaling_factor": 1.5, "use_qk_norm": True, "head_dim": 12, "attention_bias": True,
    **_HALF_ROTATED,
}  # fmt: skip
_GLM4_MOE_GROUPS = {"n_group": 3, "topk_group": 2, "norm_topk_prob": False, "use_qk_norm": False, "head_dim": 8}
_DELTA = {
    "head_dim": 16, "num_hidden_layers": 3, "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "linear_num_value_heads": 6, "linear_num_key_heads": 3, "linear_key_head_dim": 10, "linear_value_head_dim": 18,
    "pad_token_id": 0,
}  # fmt: skip
_DELTA_EXPERTS = {
    "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 20, "shared_expert_intermediate_size": 28,
}  # fmt: skip
_LFM2 = {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"], "block_multiple_of": 24}
_MAMBA = {
    "num_hidden_layers": 3, "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "mamba_n_heads": 8, "mamba_n_groups": 2, "mamba_d_state": 14, "shared_intermediate_size": 40,
    "intermediate_size": 20, "num_local_experts": 0, **_GRANITE_SCALES,
}  # fmt: skip
_MAMBA_EXPERTS = {"num_local_experts": 4, "mamba_n_groups": 1, "position_embedding_type": "rope"}

_GEMMA4 = {
    "head_dim": 12, "global_head_dim": 20, "sliding_window": 9, "num_hidden_layers": 3, "pad_token_id": 0,
    "tie_word_embeddings": True, "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 131,
    "layer_types": ["sliding_attention", "full_attention", "full_attention"], "final_logit_softcapping": 5.0,
}  # fmt: skip
_GEMMA4_SHARED = {
    "num_hidden_layers": 6, "num_kv_shared_layers": 3, "use_double_wide_mlp": True, "hidden_size_per_layer_input": 10,
    "layer_types": ["full_attention", *["sliding_attention"] * 4, "full_attention"], "final_logit_softcapping": None,
}  # fmt: skip
_GEMMA4_KEYS_AS_VALUES = {"attention_k_eq_v": True, "num_global_key_value_heads": 3, "num_key_value_heads": 2}
_GEMMA4_EXPERTS = {
    "enable_moe_block": True, "num_experts": 5, "top_k_experts": 2, "moe_intermediate_size": 20,
    "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 5_000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
    },
}  # fmt: skip

_GEMMA3N = {
    "head_dim": 12, "sliding_window": 9, "num_hidden_layers": 5, "pad_token_id": 0, "tie_word_embeddings": True,
    "layer_types": [*["sliding_attention"] * 2, "full_attention", "sliding_attention", "full_attention"],
    "num_kv_shared_layers": 2, "intermediate_size": [80, 80, 80, 72, 80], "hidden_size_per_layer_input": 10,
    "vocab_size_per_layer_input": 100, "laurel_rank": 7, "altup_num_inputs": 3, "final_logit_softcapping": 5.0,
    "activation_sparsity_pattern": [0.7, 0.95, 0.0, 0.5, 0.0],
}  # fmt: skip

# No size is a multiple of a kernel's width, and together the cases have every feature of a spec.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", COMMON),
    "llama-tied-wide": ("llama", COMMON | _TIED | {"hidden_size": 96, "intermediate_size": 160}),
    "llama-head-dim-biases": ("llama", COMMON | _BIASES | {"head_dim": 20}),
    "llama-linear-rope": ("llama", COMMON | {"rope_parameters": _LINEAR_ROPE}),
    "llama-llama3-rope": ("llama", COMMON | {"rope_parameters": LLAMA3_ROPE}),
    "llama-llama3-rope-8192": ("llama", COMMON | _REAL_LLAMA3),
    "mistral-window": ("mistral", COMMON | {"sliding_window": 21, "head_dim": 12, "num_key_value_heads": 1}),
    "mistral-no-window": ("mistral", COMMON | {"sliding_window": None}),
    "qwen2": ("qwen2", COMMON | {"vocab_size": 150}),
    "qwen2-tied-window": ("qwen2", COMMON | _TIED | _WINDOW_IN_ALL_LAYERS),
    "qwen3": ("qwen3", COMMON | {"head_dim": 16}),
    "qwen3-tied-biases": ("qwen3", COMMON | _TIED | {"head_dim": 8, "attention_bias": True}),
    "gpt2": ("gpt2", _GPT2),
    "gpt2-untied-inner": ("gpt2", _GPT2 | _GPT2_INNER),
    "gemma2": ("gemma2", COMMON | _GEMMA | _GEMMA_CAPS),
    "gemma2-no-caps": ("gemma2", COMMON | _GEMMA | dict.fromkeys(_GEMMA_CAPS) | {"query_pre_attn_scalar": 20}),
    "gemma3": ("gemma3_text", COMMON | _GEMMA | {"num_hidden_layers": 7, "rope_parameters": _GEMMA3_ROPE}),
    "gemma3-layer-types": ("gemma3_text", COMMON | _GEMMA | _GEMMA3_LAYERS),
    "phi3": ("phi3", COMMON | _PHI3 | {"sliding_window": 21}),
    "phi3-partial": ("phi3", COMMON | _PHI3 | _HALF_ROTATED),
    "phi3-short": (
        "phi3",
        COMMON | _PHI3 | {"rope_parameters": _LONGROPE | {"original_max_position_embeddings": 256}},
    ),
    "phi3-long": ("phi3", COMMON | _PHI3 | {"rope_parameters": _LONGROPE | {"original_max_position_embeddings": 1}}),
    "olmo2": ("olmo2", COMMON),
    "olmo2-tied-biases": ("olmo2", COMMON | _TIED | {"attention_bias": True}),
    "smollm3": ("smollm3", COMMON | _TIED | {"num_hidden_layers": 5, "pad_token_id": 0}),
    "smollm3-yarn": ("smollm3", COMMON | {"rope_parameters": _YARN_ROPE, "pad_token_id": 0}),
    "smollm3-window": ("smollm3", COMMON | _BIASES | _SMOLLM3_WINDOW),
    "granite": ("granite", COMMON | _GRANITE_SCALES),
    "granite-tied-biases": ("granite", COMMON | _TIED | _BIASES | _GRANITE_SCALES),
    "stablelm": ("stablelm", COMMON | {"use_qkv_bias": True}),
    "stablelm-parallel": ("stablelm", COMMON | _PARALLEL | _HALF_ROTATED),
    "gpt_neox": ("gpt_neox", _NEOX),
    "mixtral": ("mixtral", COMMON | _MIXTRAL),
    "qwen3_moe": ("qwen3_moe", COMMON | _QWEN3_MOE),
    "qwen3_moe-some-dense": ("qwen3_moe", COMMON | _TIED | _QWEN3_MOE | _QWEN3_SOME_DENSE),
    "olmo3": ("olmo3", COMMON | _FIVE_LAYERS | {"rope_parameters": _OLMO3_ROPE}),
    "olmo3-tied-biases": ("olmo3", COMMON | _TIED | _FIVE_LAYERS | {"attention_bias": True}),
    "seed_oss": ("seed_oss", COMMON | {"head_dim": 12, "pad_token_id": 0}),
    "seed_oss-biases": ("seed_oss", COMMON | _BIASES | {"head_dim": 12, "attention_out_bias": True}),
    "gemma": ("gemma", COMMON | _TIED | {"head_dim": 12}),
    "exaone4": ("exaone4", COMMON | _FIVE_LAYERS),
    "exaone4-no-window": ("exaone4", COMMON | _TIED | _FULL_LAYERS | {"rope_parameters": LLAMA3_ROPE}),
    "ernie4_5": ("ernie4_5", COMMON | _TIED | {"head_dim": 12}),
    "ernie4_5-biases": ("ernie4_5", COMMON | {"head_dim": 12, "use_bias": True}),
    "glm4": ("glm4", COMMON | _GLM4),
    "glm4-no-biases": ("glm4", COMMON | _GLM4 | {"attention_bias": False, "head_dim": 16}),
    "arcee": ("arcee", COMMON),
    "arcee-biases": ("arcee", COMMON | _BIASES | {"head_dim": 12, "rope_parameters": _YARN_ROPE}),
    "phi": ("phi", COMMON | {"rope_parameters": _HALF_ROTATED["rope_parameters"]}),
    "hunyuan_v1_dense": ("hunyuan_v1_dense", COMMON | {"head_dim": 12}),
    "hunyuan_v1_dense-alpha": ("hunyuan_v1_dense", COMMON | _TIED | _HUNYUAN_ROPE | {"head_dim": 8}),
    "ministral3": ("ministral3", COMMON | {"head_dim": 12, "rope_parameters": _MINISTRAL3_ROPE}),
    "starcoder2": ("starcoder2", COMMON | _TIED | {"sliding_window": 21, "use_bias": True}),
    "gpt_oss": ("gpt_oss", COMMON | _GPT_OSS),
    "glm4_moe": ("glm4_moe", COMMON | _GLM4_MOE),
    "glm4_moe-groups": ("glm4_moe", COMMON | _GLM4_MOE | _GLM4_MOE_GROUPS),
    "qwen3_5": ("qwen3_5_text", COMMON | _DELTA),
    "qwen3_5_moe": ("qwen3_5_moe_text", COMMON | _TIED | _DELTA | _DELTA_EXPERTS),
    "qwen3_next": ("qwen3_next", COMMON | _DELTA | _DELTA_EXPERTS | {"mlp_only_layers": [1]}),
    "lfm2": ("lfm2", COMMON | _TIED | _LFM2),
    "granitemoehybrid": ("granitemoehybrid", COMMON | _MAMBA),
    "granitemoehybrid-experts": ("granitemoehybrid", COMMON | _TIED | _MAMBA | _MAMBA_EXPERTS),
    "gemma4": ("gemma4_text", COMMON | _GEMMA4 | _GEMMA4_KEYS_AS_VALUES),
    "gemma4-shared": ("gemma4_text", COMMON | _GEMMA4 | _GEMMA4_SHARED),
    "gemma4-experts": ("gemma4_text", COMMON | _GEMMA4 | _GEMMA4_KEYS_AS_VALUES | _GEMMA4_EXPERTS),
    "gemma4_unified": ("gemma4_unified_text", COMMON | _GEMMA4 | _GEMMA4_KEYS_AS_VALUES),
    "gemma3n": ("gemma3n_text", COMMON | _GEMMA3N),
    "gpt_neox-serial": ("gpt_neox", _NEOX | _SERIAL | {"attention_bias": False}),
}

_OLMO3 = {
    "num_hidden_layers": 4, "sliding_window": 9,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
}  # fmt: skip
_OLMO3_YARN = {
    "rope_parameters": {
        "full_attention": _YARN_ROPE | {"attention_factor": 1.1386294361119891},
        "sliding_attention": {"rope_type": "default", "rope_theta": _YARN_ROPE["rope_theta"]},
    }
}

GGUF_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "olmo3": ("olmo3", COMMON | _OLMO3),
    "gemma3n-all-tokens": ("gemma3n_text", COMMON | _GEMMA3N | {"vocab_size_per_layer_input": 131}),
    "olmo3-yarn": ("olmo3", COMMON | _OLMO3 | _OLMO3_YARN),
    "qwen3_next-experts": ("qwen3_next", COMMON | _DELTA | _DELTA_EXPERTS),
}
"""Models that are read from GGUF files only, where they have the architecture of another family, or of which a
converter makes others: it adds rows of zeros to the embeddings of layers for tokens that lack them."""

BLOCK_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_oss-blocks": ("gpt_oss", COMMON | _GPT_OSS | {"hidden_size": 64, "intermediate_size": 96}),
}
"""Models whose matrices are whole blocks of 32 values."""


@dataclass(frozen=True)
class TinyModel:
    case: str
    reference: transformers.PreTrainedModel
    folder: Path

    @property
    def vocab_size(self) -> int:
        return self.reference.config.vocab_size

    def files(self) -> dict[str, Path]:
        return {path.name: path for path in self.folder.iterdir()}

    def open(self) -> Checkpoint:
        return open_checkpoint(self.files())

    def open_reference(self) -> transformers.PreTrainedModel:
        """Return another copy of transformers' model, which may be changed."""
        return transformers.AutoModelForCausalLM.from_pretrained(self.folder, attn_implementation="eager").eval()

    def prompt(self, length: int, seed: int = 0) -> list[int]:
        return np.random.default_rng(seed).integers(0, self.vocab_size, length).tolist()

    @torch.inference_mode()
    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        return self.reference(torch.tensor([tokens])).logits[0].numpy()

    def greedy(self, prompt: Sequence[int], num_tokens: int) -> list[int]:
        tokens = list(prompt)
        for _ in range(num_tokens):
            tokens.append(int(self.logits(tokens)[-1].argmax()))
        return tokens[len(prompt) :]


def make_tiny_model(case: str, folder: Path) -> TinyModel:
    model_type, values = (CASES | GGUF_CASES | BLOCK_CASES)[case]
    torch.manual_seed(sum(case.encode()))
    config = transformers.AutoConfig.for_model(model_type, **values)
    # Eager attention is transformers' simplest code path, in float32 throughout.
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Biases and norms are initialized with 0 and 1, so that a missing one would not be noticed.
            is_norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(is_norm + torch.randn_like(parameter) * (0.3 if parameter.ndim == 1 else 0.15))
        for name, buffer in model.named_buffers():
            if name.endswith("layer_scalar"):
                buffer.copy_(1 + 0.3 * torch.randn_like(buffer))
    model.save_pretrained(folder)
    return TinyModel(case, model, folder)


_METADATA = {
    "context_length": ("max_position_embeddings", "n_positions"),
    "embedding_length": ("hidden_size", "n_embd"),
    "block_count": ("num_hidden_layers", "n_layer"),
    "feed_forward_length": ("intermediate_size", "n_inner"),
    "attention.head_count": ("num_attention_heads", "n_head"),
    "attention.head_count_kv": ("num_key_value_heads",),
    "attention.key_length": ("head_dim",),
    "attention.layer_norm_rms_epsilon": ("rms_norm_eps",),
    "attention.layer_norm_epsilon": ("layer_norm_epsilon", "norm_epsilon", "layer_norm_eps"),
    "attention.sliding_window": ("sliding_window",),
    "expert_count": ("num_local_experts", "num_experts"),
    "expert_used_count": ("num_experts_per_tok",),
    "expert_feed_forward_length": ("moe_intermediate_size",),
    "attention.scale": ("attention_multiplier",),
    "embedding_scale": ("embedding_multiplier",),
    "residual_scale": ("residual_multiplier",),
    "logit_scale": ("logits_scaling",),
    "attn_logit_softcapping": ("attn_logit_softcapping",),
    "final_logit_softcapping": ("final_logit_softcapping",),
    "use_parallel_residual": ("use_parallel_residual",),
}

_ARCHITECTURES = {
    "mistral": "llama",
    "gemma3_text": "gemma3",
    "gpt_neox": "gptneox",
    "mixtral": "llama",
    "qwen3_moe": "qwen3moe",
    "olmo3": "olmo2",
    "phi": "phi2",
    "hunyuan_v1_dense": "hunyuan-dense",
    "gpt_oss": "gpt-oss",
    "gemma3n_text": "gemma3n",
    "gemma4_text": "gemma4",
    "gemma4_unified_text": "gemma4",
    "qwen3_5_text": "qwen35",
    "qwen3_5_moe_text": "qwen35moe",
    "qwen3_next": "qwen3next",
    "glm4_moe": "glm4moe",
    "granitemoehybrid": "granitehybrid",
    "ministral3": "mistral3",
}
_PERMUTED = ("llama", "smollm3", "granite", "arcee", "granitehybrid", "mistral3")


def write_gguf(
    tiny: TinyModel,
    path: Path,
    *,
    quantize: gguf.GGMLQuantizationType | None = None,
    metadata: Mapping[str, Any] | None = None,
    rope_factors: np.ndarray | None = None,
    extra: Mapping[str, np.ndarray] | None = None,
    leave_out: Sequence[str] = (),
) -> Path:
    """Write the model as llama.cpp's converter does: with its names, row order and norms."""
    config = tiny.reference.config.to_dict()
    architecture = _ARCHITECTURES.get(config["model_type"], config["model_type"])
    values: dict[str, Any] = {}
    for key, names in _METADATA.items():
        found = [config[name] for name in names if config.get(name) is not None]
        if found:
            values[f"{architecture}.{key}"] = found[0]
    if architecture == "gpt2":
        values.setdefault("gpt2.feed_forward_length", 4 * config["n_embd"])
    values |= {f"{architecture}.{key}": value for key, value in _layer_metadata(config).items()}
    tensors = _gguf_tensors(tiny, architecture)
    rope = config.get("rope_parameters") or {}
    rope = rope.get("full_attention", rope)
    values |= {f"{architecture}.rope.{key}": value for key, value in _rope_metadata(tiny, rope).items()}
    if rope.get("rope_type") == "longrope":
        for length in ("short", "long"):
            tensors[f"rope_factors_{length}.weight"] = np.array(rope[f"{length}_factor"], np.float32)
    if architecture == "gemma4":
        values.pop("gemma4.rope.dimension_count", None)
        rope_factors = _gemma4_factors(config)
    if rope.get("rope_type") == "llama3" and rope_factors is None:
        rope_factors = llama3_factors(rope, tiny.reference.config.head_dim)
    values |= metadata or {}
    if rope_factors is not None:
        tensors["rope_freqs.weight"] = rope_factors
    tensors |= extra or {}

    writer = gguf.GGUFWriter(path, architecture)
    for key, value in values.items():
        _add(writer, key, value)
    for name, tensor in tensors.items():
        if name in leave_out:
            continue
        if quantize is not None and tensor.ndim == 2:
            writer.add_tensor(name, gguf.quants.quantize(tensor, quantize), raw_dtype=quantize)
        else:
            writer.add_tensor(name, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _layer_metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says about layers of several kinds."""
    kinds = config.get("layer_types") or []
    if config["model_type"] in METADATA:
        return METADATA[config["model_type"]](config)
    if config["model_type"] in ("olmo3", "exaone4") and config["sliding_window"]:
        return {"attention.sliding_window_pattern": [kind == "sliding_attention" for kind in kinds]}
    if config["model_type"] == "gemma3n_text":
        return {
            "altup.active_idx": config["altup_active_idx"],
            "altup.num_inputs": config["altup_num_inputs"],
            "embedding_length_per_layer_input": config["hidden_size_per_layer_input"],
            "attention.shared_kv_layers": config["num_kv_shared_layers"],
            "attention.sliding_window_pattern": [kind == "sliding_attention" for kind in kinds],
            "rope.freq_base_swa": float(config["rope_parameters"]["sliding_attention"]["rope_theta"]),
            "activation_sparsity_scale": [
                torch.distributions.Normal(0, 1).icdf(torch.tensor(share)).item()
                for share in config["activation_sparsity_pattern"]
            ],
        }
    if config["model_type"].startswith("gemma4"):
        return _gemma4_metadata(config)
    if config["model_type"] == "gpt_oss":
        return {"expert_feed_forward_length": config["intermediate_size"]}
    if config["model_type"] == "lfm2":
        inner = 2 * config["intermediate_size"] // 3
        return {
            "shortconv.l_cache": config["conv_L_cache"],
            "attention.head_count_kv": [config["num_key_value_heads"] * (kind != "conv") for kind in kinds],
            "feed_forward_length": -(-inner // config["block_multiple_of"]) * config["block_multiple_of"],
            "attention.layer_norm_rms_epsilon": config["norm_eps"],
        }
    if config["model_type"].startswith("qwen3_5"):
        return delta_metadata(config)
    return {}


def _gemma4_metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    """`Gemma4Model.set_gguf_parameters` of llama.cpp's converter."""
    windowed = [kind == "sliding_attention" for kind in config["layer_types"]]
    full = next(iter(config["per_layer_config"].values()))
    shared, size = config["num_kv_shared_layers"], config["intermediate_size"]
    values = {
        "attention.shared_kv_layers": shared,
        "embedding_length_per_layer_input": config.get("hidden_size_per_layer_input") or 0,
        "attention.sliding_window_pattern": windowed,
        "attention.key_length": full["head_dim"],
        "attention.value_length": full["head_dim"],
        "attention.key_length_swa": config["head_dim"],
        "attention.value_length_swa": config["head_dim"],
        "rope.dimension_count_swa": config["head_dim"],
        "rope.freq_base_swa": float(config["rope_parameters"]["sliding_attention"]["rope_theta"]),
    }
    if "num_key_value_heads" in full:
        heads = config["num_key_value_heads"], full["num_key_value_heads"]
        values["attention.head_count_kv"] = [heads[not flag] for flag in windowed]
    if config["use_double_wide_mlp"]:
        first = len(windowed) - shared
        values["feed_forward_length"] = [size if i < first else 2 * size for i in range(len(windowed))]
    if config.get("enable_moe_block"):
        values["expert_used_count"] = config["top_k_experts"]
    return values


def _gemma4_factors(config: Mapping[str, Any]) -> np.ndarray:
    """Return the divisors of the angles in layers without a window: those of pairs that don't rotate are huge."""
    rope, full = config["rope_parameters"]["full_attention"], next(iter(config["per_layer_config"].values()))
    share = rope["partial_rotary_factor"] if rope["rope_type"] == "proportional" else 1.0
    rotated = int(full["head_dim"] * share / 2)
    return np.array([1.0] * rotated + [1e30] * (full["head_dim"] // 2 - rotated), np.float32)


def _rope_metadata(tiny: TinyModel, rope: Mapping[str, Any]) -> dict[str, Any]:
    config = tiny.reference.config
    if not rope:
        return {}
    values: dict[str, Any] = {"freq_base": float(rope["rope_theta"])}
    head_dim = tiny.reference.config.to_dict().get("head_dim") or config.hidden_size // config.num_attention_heads
    if "alpha" in rope:
        values["freq_base"] *= rope["alpha"] ** (head_dim / (head_dim - 2))
    if "partial_rotary_factor" in rope:
        values["dimension_count"] = int(head_dim * rope["partial_rotary_factor"])
    if rope.get("rope_type") in ("linear", "yarn"):
        values |= {"scaling.type": rope["rope_type"], "scaling.factor": rope["factor"]}
    if rope.get("rope_type") in ("yarn", "longrope"):
        values["scaling.original_context_length"] = rope["original_max_position_embeddings"]
    if rope.get("rope_type") == "yarn":
        values |= {f"scaling.yarn_{bound}": rope[bound] for bound in ("beta_fast", "beta_slow")}
    if rope.get("rope_type") == "longrope":
        values["scaling.attn_factor"] = rope["attention_factor"]
    return values


def llama3_factors(rope: Mapping[str, float], head_dim: int) -> np.ndarray:
    """Return the divisors of Llama 3's scaling, as llama.cpp's converter computes them."""
    low = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    high = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    factors = []
    for frequency in 1.0 / rope["rope_theta"] ** (np.arange(0, head_dim, 2) / head_dim):
        wavelength = 2 * np.pi / frequency
        if wavelength < high:
            factors.append(1.0)
        elif wavelength > low:
            factors.append(rope["factor"])
        else:
            smooth = (rope["original_max_position_embeddings"] / wavelength - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"]
            )
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, np.float32)


def _gguf_tensors(tiny: TinyModel, architecture: str) -> dict[str, np.ndarray]:
    config = tiny.reference.config
    by_name = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(by_name[architecture], config.num_hidden_layers)
    tensors: dict[str, np.ndarray] = {}
    stacks: dict[str, list[np.ndarray]] = {}
    for name, parameter in tiny.reference.state_dict().items():
        if name in ("lm_head.weight", "embed_out.weight") and config.tie_word_embeddings:
            continue
        values = parameter.numpy()
        converted = CONVERTERS[architecture](name, values, config) if architecture in CONVERTERS else None
        if converted is not None:
            tensors |= converted
            continue
        if architecture == "gpt-oss" and ".experts." in name:
            tensors |= _gpt_oss_experts(name, values)
            continue
        if name.endswith((".sinks", ".layer_scalar", ".correct_output_scale")):
            name += ".weight"
        if ".router." in name and name.endswith("scale"):
            part = "ffn_down_exps" if "expert" in name else "ffn_gate_inp"
            tensors[f"blk.{name.split('.')[2]}.{part}.scale"] = values
            continue
        if architecture.startswith("qwen35"):
            name, values = _tiled_delta(name, values, config)
        if ".conv.conv." in name or ".conv1d." in name or "shared_expert_gate" in name:
            values = values.reshape(len(values), -1)
        if architecture in _PERMUTED and ".q_proj." in name:
            values = _interleave(values, config.num_attention_heads)
        if architecture in _PERMUTED and ".k_proj." in name:
            values = _interleave(values, config.num_key_value_heads)
        if architecture == "gpt2" and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
            values = values.T
        is_delta_norm = architecture.startswith(("qwen35", "qwen3next")) and "linear_attn" not in name
        is_gemma_norm = architecture.startswith("gemma") and architecture not in ("gemma3n", "gemma4")
        if (is_gemma_norm or is_delta_norm) and name.endswith("norm.weight"):
            values = values + np.float32(1)
        if ".query_key_value." in name:
            values = _by_part(values, config.num_attention_heads)
        if name.endswith(".gate_up_proj"):
            gates, ups = np.split(values, 2, axis=1)
            layer = f"blk.{name.split('.')[2]}"
            if architecture == "gemma4":
                tensors[f"{layer}.ffn_gate_up_exps.weight"] = values
                continue
            tensors |= {f"{layer}.ffn_gate_exps.weight": gates, f"{layer}.ffn_up_exps.weight": ups}
            continue
        if name.endswith("experts.down_proj"):
            tensors[f"blk.{name.split('.')[2]}.ffn_down_exps.weight"] = values
            continue
        if name.endswith(".mlp.gate.weight"):
            tensors[f"blk.{name.split('.')[2]}.ffn_gate_inp.weight"] = values
            continue
        if ".norms." in name:
            stacks.setdefault(f"{name.split('.norms.')[0]}.weight", []).append(values)
            continue
        if name.startswith("model.altup_"):
            stacks.setdefault(f"{name.rsplit('.', 2)[0]}.weight", []).append(values)
            continue
        tensors[names.get_name(name, try_suffixes=(".weight", ".bias"))] = values
    for name, parts in stacks.items():
        tensors[names.get_name(name, try_suffixes=(".weight",))] = np.stack(parts)
    return tensors


def _gpt_oss_experts(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    layer, kind = f"blk.{name.split('.')[2]}", "bias" if name.endswith("_bias") else "weight"
    values = values if kind == "bias" else values.swapaxes(1, 2)
    if ".down_proj" in name:
        return {f"{layer}.ffn_down_exps.{kind}": values}
    return {f"{layer}.ffn_gate_exps.{kind}": values[:, ::2], f"{layer}.ffn_up_exps.{kind}": values[:, 1::2]}


def _tiled_delta(name: str, values: np.ndarray, config: Any) -> tuple[str, np.ndarray]:
    """Return the name and values of a tensor of a gated delta rule, with llama.cpp's order of the value heads."""
    if ".linear_attn." not in name:
        return name, values
    keys, heads, size = config.linear_num_key_heads, config.linear_num_value_heads, config.linear_value_head_dim

    def tile(rows: np.ndarray, head_size: int) -> np.ndarray:
        return rows.reshape(keys, heads // keys, head_size, -1).swapaxes(0, 1).reshape(rows.shape)

    part = name.split(".linear_attn.")[1].split(".")[0]
    first = 2 * keys * config.linear_key_head_dim
    if part in ("in_proj_qkv", "conv1d"):
        values = np.concatenate([values[:first], tile(values[first:], size)])
    elif part == "in_proj_z":
        values = tile(values, size)
    elif part in ("in_proj_a", "in_proj_b", "A_log", "dt_bias"):
        values = tile(values, 1)
    elif part == "out_proj":
        values = np.ascontiguousarray(tile(np.ascontiguousarray(values.T), size).T)
    if part == "A_log":
        values = -np.exp(values)
    return name.replace(".dt_bias", ".dt_proj.bias"), values


def _by_part(values: np.ndarray, num_heads: int) -> np.ndarray:
    """`GPTNeoXModel.modify_tensors` of llama.cpp's converter: first all queries, then all keys, then all values."""
    parts = values.reshape(num_heads, 3, values.shape[0] // num_heads // 3, *values.shape[1:])
    return np.ascontiguousarray(parts.swapaxes(0, 1)).reshape(values.shape)


def _interleave(values: np.ndarray, num_heads: int) -> np.ndarray:
    """`LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py."""
    halves = values.reshape(num_heads, 2, values.shape[0] // num_heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    adders = {bool: writer.add_bool, float: writer.add_float32, str: writer.add_string, list: writer.add_array}
    adders.get(type(value), writer.add_uint32)(key, value)
