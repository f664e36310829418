"""config.json -> spec: all variants of published configs are read, and invalid values are rejected by name."""

import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import BadModelFile, LLMOSError, UnsupportedModel
from llmos.engine.architectures import families, family_of_gguf, family_of_model_type, inverse_frequencies
from llmos.engine.encoder_spec import EncoderSpec
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

LLAMA = {
    "model_type": "llama",
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}
GPT2 = {"model_type": "gpt2", "vocab_size": 128, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}

OPTIONAL_KEYS = [
    "num_key_value_heads", "head_dim", "rms_norm_eps", "hidden_act", "tie_word_embeddings", "rope_theta",
    "rope_scaling", "rope_parameters", "attention_bias", "mlp_bias", "sliding_window", "use_sliding_window",
    "max_window_layers", "layer_types", "quantization_config", "n_inner", "layer_norm_epsilon",
    "activation_function", "scale_attn_weights", "partial_rotary_factor", "original_max_position_embeddings",
    "no_rope_layers", "query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping", "layer_norm_eps",
    "logits_scaling", "residual_multiplier", "use_parallel_residual", "qk_layernorm", "rotary_pct",
    "num_experts", "num_local_experts", "num_experts_per_tok", "moe_intermediate_size", "mlp_only_layers",
    "decoder_sparse_step",
]  # fmt: skip
ROPE_KEYS = [
    "rope_type", "type", "factor", "rope_theta", "low_freq_factor", "partial_rotary_factor", "beta_fast", "beta_slow",
    "attention_factor", "mscale", "mscale_all_dim", "short_factor", "long_factor", "full_attention",
    "sliding_attention", "original_max_position_embeddings",
]  # fmt: skip
FAMILIES = [name for name in families() if name != "gpt2"]
GGUF_KEYS = [
    "context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count",
    "attention.head_count_kv", "attention.key_length", "attention.value_length", "rope.dimension_count",
    "attention.layer_norm_rms_epsilon", "attention.sliding_window", "rope.freq_base", "rope.scaling.type",
    "rope.scaling.factor", "rope.scale_linear", "expert_count", "attention.causal", "rope.scaling.attn_factor",
    "rope.scaling.original_context_length", "rope.scaling.yarn_beta_fast", "attn_logit_softcapping", "logit_scale",
    "final_logit_softcapping", "use_parallel_residual", "expert_used_count", "expert_feed_forward_length",
    "expert_gating_func", "expert_weights_scale",
]  # fmt: skip


def spec_of(config, **changes):
    config = {key: value for key, value in (config | changes).items() if value != "absent"}
    return family_of_model_type(config["model_type"]).spec_from_config(config)


def test_absent_values_have_the_defaults_of_transformers():
    spec = spec_of(LLAMA)
    assert (spec.num_kv_heads, spec.head_dim, spec.rope_theta, spec.norm_eps) == (4, 16, 10_000.0, 1e-6)
    assert (spec.tied_head, spec.qkv_bias, spec.sliding_window) == (False, False, None)
    assert spec_of(LLAMA, model_type="qwen3").head_dim == 128
    assert spec_of(LLAMA, model_type="mistral", max_position_embeddings=32768).sliding_window == 4096
    gpt2 = spec_of(GPT2)
    assert (gpt2.intermediate_size, gpt2.tied_head, gpt2.activation) == (256, True, "gelu_tanh")


def test_null_is_absent():
    assert spec_of(LLAMA, num_key_value_heads=None, head_dim=None, rope_scaling=None) == spec_of(LLAMA)
    assert (
        spec_of(LLAMA, model_type="mistral", sliding_window=None, max_position_embeddings=32768).sliding_window is None
    )


def test_old_and_new_rope_keys_give_the_same_spec():
    old = spec_of(
        LLAMA,
        rope_theta=5e5,
        rope_scaling={
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256,
        },
    )
    new = spec_of(
        LLAMA,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 5e5,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256,
        },
    )
    assert old == new
    assert (new.rope_theta, new.rope_factor, new.rope_original_positions) == (5e5, 8.0, 256)


def test_the_oldest_key_for_rope_scaling_is_read():
    spec = spec_of(LLAMA, rope_scaling={"type": "linear", "factor": 2})
    assert (spec.rope_scaling, spec.rope_factor) == ("linear", 2.0)


def test_a_window_as_long_as_the_context_is_none():
    assert spec_of(LLAMA, model_type="mistral", sliding_window=512).sliding_window is None
    assert spec_of(LLAMA, model_type="mistral", sliding_window=511).sliding_window == 511


@pytest.mark.parametrize(
    ("changes", "window"),
    [
        ({"use_sliding_window": False, "sliding_window": 32}, None),
        ({"use_sliding_window": True, "sliding_window": None}, None),
        ({"use_sliding_window": True, "sliding_window": 32, "max_window_layers": 0}, 32),
        ({"use_sliding_window": True, "sliding_window": 32, "max_window_layers": 28}, None),
        ({"use_sliding_window": True, "sliding_window": 32, "layer_types": ["sliding_attention"] * 2}, 32),
    ],
)
def test_qwen_uses_its_window_only_if_enabled(changes, window):
    assert spec_of(LLAMA, model_type="qwen2", **changes).sliding_window == window


def test_a_window_may_apply_to_some_layers_only():
    spec = spec_of(LLAMA, model_type="qwen2", use_sliding_window=True, sliding_window=32, max_window_layers=1)
    assert [spec.window_of(i) for i in range(2)] == [None, 32]


@pytest.mark.parametrize("no_rope_layers", [[1], [1, 2], "no", [1, None], {}])
def test_an_invalid_list_of_rotated_layers_is_rejected(no_rope_layers):
    with pytest.raises(BadModelFile, match="no_rope_layers must have 1 or 0 for each of 2 layers"):
        spec_of(LLAMA, model_type="smollm3", no_rope_layers=no_rope_layers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_experts_per_tok": 9}, "A token uses 9 experts, but there are only 8"),
        ({"num_experts": 0}, "num_experts is 0"),
        ({"num_experts": 1 << 20}, "num_experts is 1048576; it must be a whole number from 1 to 1,024"),
        ({"mlp_only_layers": "all"}, "mlp_only_layers must be a list of layer indexes"),
        ({"moe_intermediate_size": -1}, "moe_intermediate_size is -1"),
    ],
)
def test_invalid_experts_are_named(changes, message):
    with pytest.raises(BadModelFile) as refused:
        spec_of(LLAMA, **{"model_type": "qwen3_moe", "num_experts": 8} | changes)
    assert message in refused.value.message


LONGROPE = {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rope_scaling": LONGROPE | {"long_factor": [2.0] * 7}}, "7 long factors for 8 pairs"),
        ({"rope_scaling": LONGROPE | {"short_factor": [1.0, "x"]}}, "short_factor is 'x'"),
        ({"rope_scaling": LONGROPE | {"short_factor": 3}}, "short_factor is 3; it must be a list of at most 1,024"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}, "rope_theta": 1.0}, "theta is 1; yarn needs one above 1"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 0.5}}, "yarn rope scaling blends from 1 to 0.5"),
        ({"partial_rotary_factor": 0.2}, "3 values of each head are rotated"),
    ],
)
def test_an_invalid_rope_is_named(changes, message):
    with pytest.raises(BadModelFile) as refused:
        spec_of(LLAMA, model_type="phi3", original_max_position_embeddings=64, **changes)
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("scaling", "attention_factor"),
    [
        ({}, 1.1386294),
        ({"attention_factor": 1.5}, 1.5),
        ({"mscale": 2.0, "mscale_all_dim": 1.0}, (0.1 * 2 * math.log(4) + 1) / 1.1386294),
    ],
)
def test_yarn_has_the_attention_factor_of_its_config(scaling, attention_factor):
    spec = spec_of(LLAMA, rope_scaling={"rope_type": "yarn", "factor": 4.0} | scaling)
    assert spec.rope_attention_factor == pytest.approx(attention_factor, rel=1e-6)
    assert (spec.rope_original_positions, spec.rope_high_frequency_factor) == (512, 32.0)


@pytest.mark.parametrize("name", ["hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads"])
@pytest.mark.parametrize("value", [0, -1, 1 << 40, 10**400, 2.0, "64", True, [64], {"a": 1}, math.nan])
def test_an_invalid_size_is_named(name, value):
    with pytest.raises(BadModelFile, match=rf"config\.json: {name} is .*; it must be a whole number from 1 to"):
        spec_of(LLAMA, **{name: value})


@pytest.mark.parametrize("name", ["hidden_size", "vocab_size", "intermediate_size", "max_position_embeddings"])
def test_a_missing_size_is_named(name):
    with pytest.raises(BadModelFile, match=rf"config\.json lacks {name}\."):
        spec_of(LLAMA, **{name: "absent"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 5}, "hidden size 64 is not a multiple of the 5 attention heads"),
        ({"num_key_value_heads": 3}, "4 attention heads for 3 key-value heads"),
        ({"head_dim": 15}, "The head size is 15; rotary positions need an even one"),
        ({"rms_norm_eps": -1e-5}, "rms_norm_eps is -1e-05; it must be a number from 0 to 1"),
        ({"rms_norm_eps": math.inf}, "rms_norm_eps is inf"),
        ({"rms_norm_eps": 10**400}, "rms_norm_eps is 1000"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'; it must be true or false"),
        ({"hidden_act": 3}, "hidden_act is 3; it must be a string"),
        ({"rope_theta": 0}, "rope_theta is 0"),
        ({"rope_scaling": "linear"}, "rope_scaling is 'linear'; it must be a mapping"),
        ({"rope_scaling": {"type": "linear"}}, "config.json: rope_scaling lacks factor"),
        ({"rope_scaling": {"type": "linear", "factor": 0.0}}, "config.json: rope_scaling: factor is 0.0"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling lacks low_freq_factor"),
    ],
)
def test_an_invalid_value_is_named(changes, message):
    with pytest.raises(BadModelFile) as refused:
        spec_of(LLAMA, **changes)
    assert message in refused.value.message


def test_llama3_bounds_in_the_wrong_order_are_rejected():
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 4.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    }
    with pytest.raises(BadModelFile, match="blends from 4 to 4 turns"):
        spec_of(LLAMA, rope_scaling=scaling)


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (LLAMA, {"hidden_act": "relu"}, "hidden_act is 'relu'; this engine knows silu"),
        (LLAMA, {"rope_parameters": {"rope_type": "mrope", "factor": 4.0}}, "rope_type is 'mrope'"),
        (LLAMA, {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial rotary positions"),
        (LLAMA | {"model_type": "gemma2"}, {"use_bidirectional_attention": True}, "bidirectional attention"),
        (LLAMA | {"model_type": "gemma3_text"}, {"attn_logit_softcapping": 50.0}, "a soft cap on attention scores"),
        (
            LLAMA | {"model_type": "gemma3_text"},
            {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 4.0}}},
            "scaled rotary positions in layers with a sliding window",
        ),
        (GPT2, {"activation_function": "relu"}, "activation_function is 'relu'"),
        (GPT2, {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx set to true"),
        (GPT2, {"scale_attn_weights": False}, "scale_attn_weights set to false"),
        (GPT2, {"add_cross_attention": True}, "add_cross_attention set to true"),
    ],
)
def test_an_unsupported_feature_is_rejected_by_name(config, changes, message):
    with pytest.raises(UnsupportedModel) as refused:
        spec_of(config, **changes)
    assert message in refused.value.message


@pytest.mark.parametrize("layer_types", [["full_attention"], "full_attention", [1, 2], [["full_attention"]] * 2])
def test_invalid_layer_types_are_rejected(layer_types):
    with pytest.raises(BadModelFile, match="layer_types must list 2 layers"):
        spec_of(LLAMA, model_type="qwen2", use_sliding_window=True, sliding_window=32, layer_types=layer_types)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ROPE_KEYS, "x"]), inner, max_size=3),
    max_leaves=6,
)


@given(
    config=st.sampled_from([LLAMA | {"model_type": name} for name in FAMILIES] + [GPT2]),
    changes=st.dictionaries(st.sampled_from([*LLAMA, *GPT2, *OPTIONAL_KEYS]), JSON, max_size=3),
)
def test_any_config_gives_a_spec_or_a_clear_error(config, changes):
    with suppress(LLMOSError):
        spec = family_of_model_type(config["model_type"]).spec_from_config(config | changes)
        assert isinstance(spec, DecoderSpec | EncoderSpec)
        if isinstance(spec, DecoderSpec):
            assert all(np.isfinite(each).all() for each in inverse_frequencies(spec))


@given(
    architecture=st.sampled_from([a for name in families() if (a := family_of_model_type(name).GGUF_ARCHITECTURE)]),
    changes=st.dictionaries(st.sampled_from(GGUF_KEYS), JSON, max_size=3),
    factors=st.none() | st.lists(st.floats(width=32), min_size=8, max_size=8),
)
def test_any_metadata_give_a_spec_or_a_clear_error(architecture, changes, factors):
    metadata = {
        "context_length": 512,
        "embedding_length": 64,
        "block_count": 2,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.layer_norm_epsilon": 1e-5,
    }
    tensors = {"token_embd.weight": RawTensor("F32", (128, 64), np.zeros((128, 256), np.uint8))}
    if factors is not None:
        values = np.array(factors, np.float32)
        tensors["rope_freqs.weight"] = RawTensor("F32", (8,), values.view(np.uint8).reshape(1, 32))
    metadata = {f"{architecture}.{key}": value for key, value in (metadata | changes).items()}
    with suppress(LLMOSError):
        spec = family_of_gguf(architecture).spec_from_gguf(metadata, tensors)
        assert isinstance(spec, DecoderSpec | EncoderSpec)
