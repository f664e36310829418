"""Configs of published models give the models that their authors describe.

An equal number of parameters shows that no tensor is missing, surplus or of the wrong size.
"""

from math import prod
from typing import Any

import numpy as np
import pytest

from llmos.engine.architectures import config_spec, family_of_model_type, inverse_frequencies
from llmos.engine.spec import DecoderSpec

# A real file has 48 factors; their values don't matter here.
_FACTORS = {"short_factor": [1.05] * 48, "long_factor": [1.07 + i for i in range(48)]}

_GEMMA4 = {
    "model_type": "gemma4_text", "attention_bias": False, "attention_dropout": 0.0, "expert_intermediate_size": None,
    "enable_moe_block": False, "final_logit_softcapping": 30.0, "global_head_dim": 512, "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 131072, "num_experts": None,
    "moe_intermediate_size": None, "num_global_key_value_heads": None, "attention_k_eq_v": False, "rms_norm_eps": 1e-06,
    "rope_parameters": {
        "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional"},
        "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
    },
    "sliding_window": 512, "tie_word_embeddings": True, "top_k_experts": None, "use_bidirectional_attention": None,
    "use_double_wide_mlp": False, "vocab_size": 262144, "vocab_size_per_layer_input": 262144,
}  # fmt: skip
_GEMMA4_LARGE = _GEMMA4 | {
    "max_position_embeddings": 262144, "sliding_window": 1024, "use_bidirectional_attention": "vision",
    "attention_k_eq_v": True, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0,
}  # fmt: skip
_GEMMA3N = {
    "model_type": "gemma3n_text", "activation_sparsity_pattern": None, "altup_active_idx": 0, "altup_coef_clip": 120.0,
    "altup_correct_scale": True, "altup_lr_multiplier": 1.0, "altup_num_inputs": 4, "attention_bias": False,
    "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2048,
    "hidden_size_per_layer_input": 256, "laurel_rank": 64, "max_position_embeddings": 32768, "num_attention_heads": 8,
    "num_key_value_heads": 2, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000.0,
    "rope_scaling": None, "rope_theta": 1000000.0, "sliding_window": 512, "vocab_size": 262400,
    "vocab_size_per_layer_input": 262144,
}  # fmt: skip
_FOUR_OF_FIVE = [*["sliding_attention"] * 4, "full_attention"]
_FIVE_OF_SIX = [*["sliding_attention"] * 5, "full_attention"]

CONFIGS: dict[str, tuple[dict[str, Any], int]] = {
    "gemma-2-2b": (
        {
            "model_type": "gemma2", "attention_bias": False, "attn_logit_softcapping": 50.0, "head_dim": 256,
            "cache_implementation": "hybrid", "final_logit_softcapping": 30.0, "hidden_act": "gelu_pytorch_tanh",
            "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "intermediate_size": 9216,
            "max_position_embeddings": 8192, "num_attention_heads": 8, "num_hidden_layers": 26,
            "num_key_value_heads": 4, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
            "sliding_window": 4096, "vocab_size": 256000,
        },
        2_614_341_888,
    ),
    "gemma-3-1b-it": (
        {
            "model_type": "gemma3_text", "attention_bias": False, "attn_logit_softcapping": None, "head_dim": 256,
            "final_logit_softcapping": None, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152,
            "intermediate_size": 6912, "max_position_embeddings": 32768, "num_attention_heads": 4,
            "num_hidden_layers": 26, "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
            "rope_local_base_freq": 10000, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": 512,
            "sliding_window_pattern": 6, "vocab_size": 262144,
        },
        999_885_952,
    ),
    "gemma-3-270m": (
        {
            "model_type": "gemma3_text", "_sliding_window_pattern": 6, "attention_bias": False, "head_dim": 256,
            "attn_logit_softcapping": None, "final_logit_softcapping": None, "hidden_size": 640,
            "hidden_activation": "gelu_pytorch_tanh", "intermediate_size": 2048, "max_position_embeddings": 32768,
            "layer_types": [*["sliding_attention"] * 5, "full_attention"] * 3, "num_attention_heads": 4,
            "num_hidden_layers": 18, "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
            "rope_local_base_freq": 10000.0, "rope_scaling": None, "rope_theta": 1000000.0, "sliding_window": 512,
            "use_bidirectional_attention": False, "vocab_size": 262144,
        },
        268_098_176,
    ),
    "Phi-3-mini-4k-instruct": (
        {
            "model_type": "phi3", "hidden_act": "silu", "hidden_size": 3072, "intermediate_size": 8192,
            "max_position_embeddings": 4096, "num_attention_heads": 32, "num_hidden_layers": 32,
            "num_key_value_heads": 32, "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-05,
            "rope_scaling": None, "rope_theta": 10000.0, "sliding_window": 2047, "tie_word_embeddings": False,
            "attention_bias": False, "vocab_size": 32064,
        },
        3_821_079_552,
    ),
    "Phi-3-mini-128k-instruct": (
        {
            "model_type": "phi3", "hidden_act": "silu", "hidden_size": 3072, "intermediate_size": 8192,
            "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 32,
            "num_key_value_heads": 32, "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-05,
            "rope_scaling": {"type": "longrope"} | _FACTORS, "rope_theta": 10000.0, "sliding_window": 262144,
            "tie_word_embeddings": False, "vocab_size": 32064,
        },
        3_821_079_552,
    ),
    "Phi-4-mini-instruct": (
        {
            "model_type": "phi3", "hidden_act": "silu", "hidden_size": 3072, "intermediate_size": 8192,
            "max_position_embeddings": 131072, "num_attention_heads": 24, "num_hidden_layers": 32,
            "num_key_value_heads": 8, "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75,
            "rms_norm_eps": 1e-05, "rope_scaling": {"type": "longrope"} | _FACTORS, "rope_theta": 10000.0,
            "sliding_window": 262144, "tie_word_embeddings": True, "vocab_size": 200064,
        },
        3_836_021_760,
    ),
    "OLMo-2-0425-1B": (
        {
            "model_type": "olmo2", "attention_bias": False, "hidden_act": "silu", "hidden_size": 2048,
            "intermediate_size": 8192, "max_position_embeddings": 4096, "num_attention_heads": 16,
            "num_hidden_layers": 16, "num_key_value_heads": 16, "rms_norm_eps": 1e-06, "rope_scaling": None,
            "rope_theta": 500000, "tie_word_embeddings": False, "vocab_size": 100352,
        },
        1_484_916_736,
    ),
    "SmolLM3-3B": (
        {
            "model_type": "smollm3", "attention_bias": False, "hidden_act": "silu", "hidden_size": 2048,
            "intermediate_size": 11008, "layer_types": ["full_attention"] * 36, "max_position_embeddings": 65536,
            "max_window_layers": 28, "mlp_bias": False, "no_rope_layer_interval": 4, "no_rope_layers": [1, 1, 1, 0] * 9,
            "num_attention_heads": 16, "num_hidden_layers": 36, "num_key_value_heads": 4, "rms_norm_eps": 1e-06,
            "rope_scaling": None, "rope_theta": 5000000.0, "sliding_window": None, "use_sliding_window": False,
            "vocab_size": 128256,
        },
        3_075_098_624,
    ),
    "granite-3.1-2b-instruct": (
        {
            "model_type": "granite", "attention_bias": False, "attention_multiplier": 0.015625, "hidden_size": 2048,
            "embedding_multiplier": 12.0, "hidden_act": "silu", "intermediate_size": 8192, "logits_scaling": 8.0,
            "max_position_embeddings": 131072, "mlp_bias": False, "num_attention_heads": 32, "num_hidden_layers": 40,
            "num_key_value_heads": 8, "residual_multiplier": 0.22, "rms_norm_eps": 1e-05, "rope_scaling": None,
            "rope_theta": 5000000.0, "tie_word_embeddings": True, "vocab_size": 49155,
        },
        2_533_531_648,
    ),
    "stablelm-2-1_6b": (
        {
            "model_type": "stablelm", "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 5632,
            "layer_norm_eps": 1e-05, "max_position_embeddings": 4096, "num_attention_heads": 32,
            "num_hidden_layers": 24, "num_key_value_heads": 32, "partial_rotary_factor": 0.25, "rope_theta": 10000,
            "tie_word_embeddings": False, "use_qkv_bias": True, "vocab_size": 100352,
        },
        1_644_515_328,
    ),
    "pythia-160m": (
        {
            "model_type": "gpt_neox", "hidden_act": "gelu", "hidden_size": 768, "intermediate_size": 3072,
            "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "num_attention_heads": 12,
            "num_hidden_layers": 12, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False,
            "use_parallel_residual": True, "vocab_size": 50304,
        },
        162_322_944,
    ),
    "Mixtral-8x7B-v0.1": (
        {
            "model_type": "mixtral", "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
            "max_position_embeddings": 32768, "num_attention_heads": 32, "num_experts_per_tok": 2,
            "num_hidden_layers": 32, "num_key_value_heads": 8, "num_local_experts": 8, "output_router_logits": False,
            "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.02, "sliding_window": None,
            "tie_word_embeddings": False, "vocab_size": 32000,
        },
        46_702_792_704,
    ),
    "Qwen3-30B-A3B": (
        {
            "model_type": "qwen3_moe", "attention_bias": False, "decoder_sparse_step": 1, "head_dim": 128,
            "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 6144, "max_position_embeddings": 40960,
            "max_window_layers": 48, "mlp_only_layers": [], "moe_intermediate_size": 768, "norm_topk_prob": True,
            "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48,
            "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000.0,
            "sliding_window": None, "tie_word_embeddings": False, "use_sliding_window": False, "vocab_size": 151936,
        },
        30_532_122_624,
    ),
    # The parameters of the language model alone, as transformers counts them.
    "gemma-3n-E2B": (
        _GEMMA3N | {
            "intermediate_size": [8192] * 30, "layer_types": _FOUR_OF_FIVE * 6, "num_hidden_layers": 30,
            "num_kv_shared_layers": 10,
        },
        4_435_182_688,
    ),
    "gemma-3n-E4B": (
        _GEMMA3N | {
            "intermediate_size": 16384, "layer_types": _FOUR_OF_FIVE * 7, "num_hidden_layers": 35,
            "num_kv_shared_layers": 15,
        },
        6_835_235_568,
    ),
    "gemma-4-E2B": (
        _GEMMA4 | {
            "hidden_size": 1536, "hidden_size_per_layer_input": 256, "intermediate_size": 6144,
            "layer_types": _FOUR_OF_FIVE * 7, "num_attention_heads": 8,
            "num_hidden_layers": 35, "num_key_value_heads": 1, "num_kv_shared_layers": 20, "use_double_wide_mlp": True,
        },
        4_628_569_379,
    ),
    "gemma-4-E4B": (
        _GEMMA4 | {
            "hidden_size": 2560, "hidden_size_per_layer_input": 256, "intermediate_size": 10240,
            "layer_types": _FIVE_OF_SIX * 7, "num_attention_heads": 8, "num_hidden_layers": 42,
            "num_key_value_heads": 2, "num_kv_shared_layers": 18,
        },
        7_463_013_418,
    ),
    "gemma-4-26B-A4B": (
        _GEMMA4_LARGE | {
            "enable_moe_block": True, "hidden_size": 2816, "intermediate_size": 2112, "layer_types": _FIVE_OF_SIX * 5,
            "moe_intermediate_size": 704, "num_attention_heads": 16, "num_experts": 128,
            "num_global_key_value_heads": 2, "num_hidden_layers": 30, "num_key_value_heads": 8, "top_k_experts": 8,
        },
        25_233_141_790,
    ),
    "gemma-4-31B": (
        _GEMMA4_LARGE | {
            "hidden_size": 5376, "intermediate_size": 21504, "layer_types": _FIVE_OF_SIX * 10,
            "num_attention_heads": 32, "num_global_key_value_heads": 4, "num_hidden_layers": 60,
            "num_key_value_heads": 16,
        },
        30_697_345_340,
    ),
}  # fmt: skip


def spec_of(name: str) -> DecoderSpec:
    config, _ = CONFIGS[name]
    spec = config_spec(family_of_model_type(config["model_type"]), config)
    assert isinstance(spec, DecoderSpec)
    return spec


@pytest.mark.parametrize("name", CONFIGS)
def test_a_published_model_has_the_number_of_parameters_that_its_authors_give(name):
    assert sum(map(prod, spec_of(name).tensor_shapes().values())) == CONFIGS[name][1]


def test_gemma_2_has_its_window_in_every_other_layer():
    spec = spec_of("gemma-2-2b")
    assert [spec.window_of(i) for i in range(4)] == [4096, None, 4096, None]
    assert (spec.attention_softcap, spec.logit_softcap) == (50.0, 30.0)
    assert (spec.score_scale, spec.embedding_multiplier) == (1 / 16, 48.0)


@pytest.mark.parametrize("name", ["gemma-3-1b-it", "gemma-3-270m"])
def test_gemma_3_has_another_theta_in_layers_with_a_window(name):
    spec = spec_of(name)
    assert [spec.window_of(i) for i in range(7)] == [512] * 5 + [None, 512]
    assert [spec.rotation_of(i) for i in range(7)] == [1] * 5 + [0, 1]
    slowest = [frequencies[-1] for frequencies in inverse_frequencies(spec)]
    assert slowest == pytest.approx([1e6 ** -(254 / 256), 1e4 ** -(254 / 256)])


def test_gemma_3n_cuts_off_the_gates_of_ten_layers_at_the_upper_twentieth_of_a_normal_distribution():
    spec = spec_of("gemma-3n-E4B")
    assert [spec.gate_cutoff_of(i) for i in (0, 9)] == pytest.approx([1.6448536] * 2)
    assert spec.gate_cutoff_of(10) == -np.inf
    assert {spec.keys_of(i) for i in range(20, 35)} == {18, 19}


def test_gemma_4_has_larger_heads_without_a_window_of_which_a_quarter_rotates():
    spec = spec_of("gemma-4-E2B")
    assert [(spec.window_of(i), spec.head_dim_of(i)) for i in (3, 4)] == [(512, 256), (None, 512)]
    full, windowed = inverse_frequencies(spec)
    assert (len(full), len(windowed), np.count_nonzero(full)) == (256, 128, 64)
    assert full[63] == pytest.approx(1e6 ** -(126 / 512))


def test_the_last_layers_of_gemma_4_e2b_are_wider_and_attend_to_the_keys_of_two_earlier_ones():
    spec = spec_of("gemma-4-E2B")
    assert {spec.keys_of(i) for i in range(15, 35)} == {13, 14}
    assert [spec.keys_of(i) for i in (14, 19, 20)] == [14, 14, 13]
    assert [spec.inner_size_of(i) for i in (14, 15)] == [6144, 12288]


def test_the_large_gemma_4_has_no_values_without_a_window_and_the_experts_beside_a_dense_layer():
    dense, mixed = spec_of("gemma-4-31B"), spec_of("gemma-4-26B-A4B")
    assert [dense.has_values(i) for i in (4, 5)] == [True, False]
    assert [dense.kv_heads_of(i) for i in (4, 5)] == [16, 4]
    assert (mixed.num_experts, mixed.experts_per_token, mixed.expert_size) == (128, 8, 704)
    assert (mixed.shared_expert_size, mixed.norms_experts) == (2112, True)


def test_phi_3_128k_uses_its_long_factors_and_its_short_ones_in_a_short_context():
    config, _ = CONFIGS["Phi-3-mini-128k-instruct"]
    spec = spec_of("Phi-3-mini-128k-instruct")
    plain = spec_of("Phi-3-mini-4k-instruct")
    assert inverse_frequencies(spec)[0] == pytest.approx(
        inverse_frequencies(plain)[0] / config["rope_scaling"]["long_factor"]
    )
    short = spec.for_context_length(4096)
    assert inverse_frequencies(short)[0] == pytest.approx(inverse_frequencies(plain)[0] / 1.05)
    assert spec.rope_attention_factor == short.rope_attention_factor == pytest.approx(1.190238, rel=1e-6)


def test_phi_4_mini_rotates_three_quarters_of_a_head():
    assert (spec_of("Phi-4-mini-instruct").rotary_dim, spec_of("Phi-4-mini-instruct").head_dim) == (96, 128)


def test_smollm3_has_no_positions_in_every_fourth_layer():
    spec = spec_of("SmolLM3-3B")
    assert spec.unrotated_layers == (3, 7, 11, 15, 19, 23, 27, 31, 35)
    assert spec.sliding_window is None
    assert spec.tied_head


def test_granite_scales_embedding_residuals_scores_and_logits():
    spec = spec_of("granite-3.1-2b-instruct")
    assert (spec.embedding_multiplier, spec.residual_multiplier) == (12.0, 0.22)
    assert (spec.score_scale, spec.logit_multiplier) == (1 / 64, 1 / 8)


def test_pythia_rotates_a_quarter_of_a_head_and_is_parallel():
    spec = spec_of("pythia-160m")
    assert (spec.rotary_dim, spec.parallel_residual, spec.activation, spec.gated) == (16, True, "gelu", False)
    assert (spec_of("stablelm-2-1_6b").rotary_dim, spec_of("stablelm-2-1_6b").qkv_bias) == (16, True)


def test_a_token_uses_some_of_the_experts():
    mixtral, qwen = spec_of("Mixtral-8x7B-v0.1"), spec_of("Qwen3-30B-A3B")
    assert (mixtral.num_experts, mixtral.experts_per_token, mixtral.expert_size) == (8, 2, 14336)
    assert (qwen.num_experts, qwen.experts_per_token, qwen.expert_size) == (128, 8, 768)
    assert mixtral.normalizes_experts
    assert qwen.normalizes_experts
    assert qwen.dense_layers == ()
