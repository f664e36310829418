"""llama.cpp's way of writing the tensors and metadata of families that it takes apart or reorders."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]


def qwen3next_tensors(name: str, values: np.ndarray, config: Any) -> Tensors | None:
    """`Qwen3NextModel.modify_tensors`: the parts of in_proj_qkvz, one after another for all key heads."""
    layer = f"blk.{name.split('.')[2]}" if ".layers." in name else ""
    if name.endswith("in_proj_qkvz.weight"):
        keys, heads, key = config.linear_num_key_heads, config.linear_num_value_heads, config.linear_key_head_dim
        served = heads // keys * config.linear_value_head_dim
        ends = np.cumsum([key, key, served])
        parts = np.split(values.reshape(keys, 2 * key + 2 * served, -1), ends, axis=1)
        q, k, v, z = (part.reshape(-1, values.shape[1]) for part in parts)
        return {f"{layer}.attn_qkv.weight": np.concatenate([q, k, v]), f"{layer}.attn_gate.weight": z}
    if name.endswith(".A_log"):
        return {f"{layer}.ssm_a": -np.exp(values)}
    if name.endswith(".dt_bias"):
        return {f"{layer}.ssm_dt.bias": values}
    return None


def glm4moe_tensors(name: str, values: np.ndarray, config: Any) -> Tensors | None:
    if name.endswith("e_score_correction_bias"):
        return {f"blk.{name.split('.')[2]}.exp_probs_b.bias": values}
    return None


def granitehybrid_tensors(name: str, values: np.ndarray, config: Any) -> Tensors | None:
    """`GraniteMoeModel.modify_tensors` and `Mamba2Model.modify_tensors`."""
    layer = f"blk.{name.split('.')[2]}" if ".layers." in name else ""
    if name.endswith("block_sparse_moe.input_linear.weight"):
        gate, up = np.split(values, 2, axis=1)
        return {f"{layer}.ffn_gate_exps.weight": gate, f"{layer}.ffn_up_exps.weight": up}
    if name.endswith(".router.weight"):
        return {f"{layer}.ffn_gate_inp.weight": values}
    kind = "_shexp" if config.num_local_experts else ""
    if name.endswith("shared_mlp.input_linear.weight"):
        gate, up = np.split(values, 2)
        return {f"{layer}.ffn_gate{kind}.weight": gate, f"{layer}.ffn_up{kind}.weight": up}
    if name.endswith("shared_mlp.output_linear.weight"):
        return {f"{layer}.ffn_down{kind}.weight": values}
    if name.endswith(".A_log"):
        return {f"{layer}.ssm_a": -np.exp(values)[:, None]}
    if name.endswith(".mamba.D"):
        return {f"{layer}.ssm_d": values[:, None]}
    if name.endswith(".dt_bias"):
        return {f"{layer}.ssm_dt.bias": values}
    if name.endswith(".conv1d.bias"):
        return {f"{layer}.ssm_conv1d.bias": values}
    if name.endswith(".mamba.norm.weight"):
        return {f"{layer}.ssm_norm.weight": values.reshape(config.mamba_n_groups, -1)}
    return None


CONVERTERS = {
    "qwen3next": qwen3next_tensors,
    "glm4moe": glm4moe_tensors,
    "granitehybrid": granitehybrid_tensors,
}
"""Architecture -> the tensors that a tensor of the folder becomes; None: the same, under its usual name."""


def delta_metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says about gated delta rules."""
    heads, kinds = config["linear_num_value_heads"], config["layer_types"]
    shared = config.get("shared_expert_intermediate_size")
    return {
        "ssm.conv_kernel": config["linear_conv_kernel_dim"],
        "ssm.state_size": config["linear_key_head_dim"],
        "ssm.group_count": config["linear_num_key_heads"],
        "ssm.time_step_rank": heads,
        "ssm.inner_size": heads * config["linear_value_head_dim"],
        "full_attention_interval": 1 + kinds.index("full_attention"),
        **({} if shared is None else {"expert_shared_feed_forward_length": shared}),
    }


def glm4moe_metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "expert_count": config["n_routed_experts"],
        "expert_shared_count": config["n_shared_experts"],
        "leading_dense_block_count": config["first_k_dense_replace"],
        "expert_gating_func": 2,
        "expert_weights_scale": float(config["routed_scaling_factor"]),
        "expert_weights_norm": config["norm_topk_prob"],
        "expert_group_count": config["n_group"],
        "expert_group_used_count": config["topk_group"],
    }


def granitehybrid_metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    attends = [kind not in ("mamba", "linear_attention") for kind in config["layer_types"]]
    return {
        "ssm.conv_kernel": config["mamba_d_conv"],
        "ssm.state_size": config["mamba_d_state"],
        "ssm.group_count": config["mamba_n_groups"],
        "ssm.inner_size": config["mamba_expand"] * config["hidden_size"],
        "ssm.time_step_rank": config["mamba_n_heads"],
        "attention.head_count_kv": [config["num_key_value_heads"] * flag for flag in attends],
        "expert_shared_feed_forward_length": config["shared_intermediate_size"],
        "rope.scaling.finetuned": config["position_embedding_type"] == "rope",
    }


def ministral3_metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    rope = config["rope_parameters"]
    return {
        "rope.scaling.yarn_log_multiplier": float(rope["mscale_all_dim"]),
        "attention.temperature_scale": float(rope["llama_4_scaling_beta"]),
    }


METADATA = {
    "qwen3_next": delta_metadata,
    "glm4_moe": glm4moe_metadata,
    "granitemoehybrid": granitehybrid_metadata,
    "ministral3": ministral3_metadata,
}
"""model_type -> the metadata beyond that of other families."""
