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
    "gpt_neox-serial": ("gpt_neox", _NEOX | _SERIAL | {"attention_bias": False}),
}

_OLMO3 = {
    "num_hidden_layers": 4, "sliding_window": 9,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
}  # fmt: skip
_OLMO3_YARN = {"rope_parameters": _YARN_ROPE | {"attention_factor": 1.1386294361119891}}

GGUF_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "olmo3": ("olmo3", COMMON | _OLMO3),
    "olmo3-yarn": ("olmo3", COMMON | _OLMO3 | _OLMO3_YARN),
}
"""Models that are read from GGUF files only, where they have the architecture of another family."""


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
    model_type, values = (CASES | GGUF_CASES)[case]
    torch.manual_seed(sum(case.encode()))
    config = transformers.AutoConfig.for_model(model_type, **values)
    # Eager attention is transformers' simplest code path, in float32 throughout.
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Biases and norms are initialized with 0 and 1, so that a missing one would not be noticed.
            is_norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(is_norm + torch.randn_like(parameter) * (0.3 if parameter.ndim == 1 else 0.15))
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
    "expert_count": ("num_local_experts",),
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
}
_PERMUTED = ("llama", "smollm3", "granite")


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
    tensors = _gguf_tensors(tiny, architecture)
    rope = config.get("rope_parameters") or {}
    rope = rope.get("full_attention", rope)
    values |= {f"{architecture}.rope.{key}": value for key, value in _rope_metadata(tiny, rope).items()}
    if rope.get("rope_type") == "longrope":
        for length in ("short", "long"):
            tensors[f"rope_factors_{length}.weight"] = np.array(rope[f"{length}_factor"], np.float32)
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


def _rope_metadata(tiny: TinyModel, rope: Mapping[str, Any]) -> dict[str, Any]:
    config = tiny.reference.config
    if not rope:
        return {}
    values: dict[str, Any] = {"freq_base": float(rope["rope_theta"])}
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
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
        if architecture in _PERMUTED and ".q_proj." in name:
            values = _interleave(values, config.num_attention_heads)
        if architecture in _PERMUTED and ".k_proj." in name:
            values = _interleave(values, config.num_key_value_heads)
        if architecture == "gpt2" and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
            values = values.T
        if architecture.startswith("gemma") and name.endswith("norm.weight"):
            values = values + np.float32(1)
        if ".query_key_value." in name:
            values = _by_part(values, config.num_attention_heads)
        if name.endswith(".gate_up_proj"):
            gates, ups = np.split(values, 2, axis=1)
            layer = f"blk.{name.split('.')[2]}"
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
        tensors[names.get_name(name, try_suffixes=(".weight", ".bias"))] = values
    for name, parts in stacks.items():
        tensors[names.get_name(name, try_suffixes=(".weight",))] = np.stack(parts)
    return tensors


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
