"""A model read from GGUF equals the model read from its Hugging Face folder, tensor by tensor."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from llmos.engine.formats.dequantize import dequantize
from support.tiny_models import write_gguf

GGUF_CASES = [
    "llama", "llama-tied-wide", "llama-head-dim-biases", "llama-llama3-rope-8192", "llama-linear-rope",
    "mistral-window", "mistral-no-window", "qwen2", "qwen3", "qwen3-tied-biases", "gpt2", "gpt2-untied-inner",
    "gemma2", "gemma3", "phi3", "phi3-partial", "phi3-short", "phi3-long", "olmo2", "olmo2-tied-biases", "smollm3",
    "smollm3-yarn", "granite", "granite-tied-biases", "stablelm", "stablelm-parallel", "gpt_neox",
    "mixtral", "qwen3_moe", "olmo3", "olmo3-tied-biases", "seed_oss", "seed_oss-biases", "gemma", "exaone4", "ernie4_5",
    "ernie4_5-biases", "glm4", "glm4-no-biases", "arcee", "arcee-biases", "phi", "hunyuan_v1_dense",
    "hunyuan_v1_dense-alpha", "starcoder2", "gpt_oss", "lfm2", "gemma4", "gemma4-shared", "gemma4-experts",
    "gemma3n-all-tokens",
    "qwen3_next-experts", "glm4_moe", "glm4_moe-groups", "granitemoehybrid", "granitemoehybrid-experts", "ministral3",
]  # fmt: skip


@pytest.fixture(params=GGUF_CASES)
def pair(request, tiny_model_of: Callable, tmp_path: Path) -> tuple[Checkpoint, Checkpoint]:
    """A model from its folder, and from the GGUF file that llama.cpp's converter would write."""
    tiny = tiny_model_of(request.param)
    return tiny.open(), open_checkpoint({"model.gguf": write_gguf(tiny, tmp_path / "model.gguf")})


def test_both_formats_give_the_same_spec(pair):
    from_folder, from_gguf = pair
    family = {"mistral": "llama", "mixtral": "llama", "olmo3": "olmo2"}.get(from_folder.family, from_folder.family)
    for name, value in asdict(replace(from_folder.spec, family=family)).items():
        is_float = isinstance(value, float) or (isinstance(value, tuple) and value and isinstance(value[0], float))
        expected = pytest.approx(value, rel=1e-6) if is_float else value  # GGUF stores float32
        assert getattr(from_gguf.spec, name) == expected, name


def test_both_formats_give_the_same_tensors(pair):
    from_folder, from_gguf = pair
    assert set(from_gguf.tensors) == set(from_folder.tensors) == set(from_folder.spec.tensor_shapes())
    for name, shape in from_folder.spec.tensor_shapes().items():
        tensor = from_gguf.tensors[name]
        assert tensor.shape == from_folder.tensors[name].shape == shape
        assert np.array_equal(dequantize(tensor), dequantize(from_folder.tensors[name])), name


@pytest.mark.parametrize(
    "case",
    ["qwen3_5", "qwen3_5_moe", "qwen3_next-experts", "glm4_moe-groups", "granitemoehybrid-experts", "ministral3"],
)
def test_a_file_whose_tensors_the_converter_takes_apart_gives_the_same_logits(case, tiny_model_of, tmp_path, drive):
    tiny = tiny_model_of(case)
    path = write_gguf(tiny, tmp_path / "model.gguf")
    prompt = tiny.prompt(20)
    logits = drive(open_checkpoint({"model.gguf": path})).step({"a": prompt})["a"]
    np.testing.assert_allclose(logits, tiny.logits(prompt), rtol=1e-3, atol=1e-4)


def test_the_queries_of_a_quantized_llama_keep_their_values(tiny_model_of, tmp_path):
    tiny = tiny_model_of("llama-tied-wide")
    path = write_gguf(tiny, tmp_path / "model.gguf", quantize=gguf.GGMLQuantizationType.Q8_0)
    tensors = open_checkpoint({"model.gguf": path}).tensors
    weight = tiny.reference.state_dict()["model.layers.1.self_attn.q_proj.weight"].numpy()
    assert tensors["layers.1.q.weight"].dtype == "Q8_0"
    expected = gguf.quants.dequantize(
        gguf.quants.quantize(weight, gguf.GGMLQuantizationType.Q8_0), gguf.GGMLQuantizationType.Q8_0
    )
    assert np.array_equal(dequantize(tensors["layers.1.q.weight"]), expected)


def test_rope_factors_other_than_llama_3s_are_rejected(tiny_model_of, tmp_path):
    odd = np.array([1.0, 3.0, 2.0, 9.0], np.float32)
    path = write_gguf(tiny_model_of("llama"), tmp_path / "model.gguf", rope_factors=odd)
    with pytest.raises(UnsupportedModel, match="differently from Llama 3"):
        open_checkpoint({"model.gguf": path})


def test_rope_factors_of_one_are_no_scaling(tiny_model_of, tmp_path):
    path = write_gguf(tiny_model_of("llama"), tmp_path / "model.gguf", rope_factors=np.ones(4, np.float32))
    assert open_checkpoint({"model.gguf": path}).spec.rope_scaling == "none"


def test_rope_factors_of_another_head_size_are_rejected(tiny_model_of, tmp_path):
    path = write_gguf(tiny_model_of("llama"), tmp_path / "model.gguf", rope_factors=np.ones(5, np.float32))
    with pytest.raises(BadModelFile, match=r"rope_freqs\.weight is \[5\]; heads of 8 need \[4\]"):
        open_checkpoint({"model.gguf": path})


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"llama.expert_count": 8, "llama.expert_used_count": 2, "llama.expert_gating_func": 2},
            "aren't chosen by a softmax",
        ),
        (
            {"llama.expert_count": 8, "llama.expert_used_count": 2, "llama.expert_shared_count": 1},
            "an unusual expert_shared_count",
        ),
        ({"llama.attention.causal": False}, "bidirectional attention"),
        ({"llama.attention.value_length": 16}, "values of another size than keys"),
        ({"llama.rope.dimension_count": 4}, "a part of each head"),
        (
            {"llama.rope.scaling.type": "longrope"},
            "rope.scaling.type is 'longrope'; this engine knows none, linear, yarn",
        ),
        (
            {
                "llama.rope.scaling.type": "yarn",
                "llama.rope.scaling.factor": 4.0,
                "llama.rope.scaling.attn_factor": 1.2,
            },
            "yarn rope scaling with an unusual attn_factor",
        ),
        ({"llama.attention.head_count_kv": [2, 1]}, "head_count_kv differs from layer to layer"),
        ({"general.type": "adapter"}, "general.type is 'adapter'"),
    ],
)
def test_an_unsupported_feature_is_rejected_by_name(metadata, message, tiny_model_of, tmp_path):
    path = write_gguf(tiny_model_of("llama"), tmp_path / "model.gguf", metadata=metadata)
    with pytest.raises(UnsupportedModel) as refused:
        open_checkpoint({"model.gguf": path})
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"llama.block_count": 1 << 31}, "llama.block_count is 2147483648; it must be a whole number from 1 to 1,024"),
        ({"llama.embedding_length": "48"}, "llama.embedding_length is '48'"),
        ({"llama.context_length": 0}, "llama.context_length is 0"),
        ({"llama.attention.head_count": 4, "llama.attention.head_count_kv": 3}, "4 attention heads for 3 key-value"),
        ({"llama.rope.freq_base": float("nan")}, "llama.rope.freq_base is nan"),
        ({"llama.attention.layer_norm_rms_epsilon": -1.0}, "layer_norm_rms_epsilon is -1.0"),
        ({"tokenizer.ggml.tokens": ["a"] * 200}, "200 tokens, but token_embd.weight only 131 rows"),
    ],
)
def test_invalid_values_are_named(metadata, message, tiny_model_of, tmp_path):
    path = write_gguf(tiny_model_of("llama"), tmp_path / "model.gguf", metadata=metadata)
    with pytest.raises(BadModelFile) as refused:
        open_checkpoint({"model.gguf": path})
    assert message in refused.value.message


def test_a_list_of_equal_head_counts_is_one_head_count(tiny_model_of, tmp_path):
    path = write_gguf(
        tiny_model_of("llama"), tmp_path / "model.gguf", metadata={"llama.attention.head_count_kv": [2, 2]}
    )
    assert open_checkpoint({"model.gguf": path}).spec.num_kv_heads == 2


def test_a_tensor_that_the_family_does_not_have_is_rejected(tiny_model_of, tmp_path):
    path = write_gguf(
        tiny_model_of("llama"), tmp_path / "model.gguf", extra={"blk.1.attn_sinks.weight": np.ones(6, np.float32)}
    )
    with pytest.raises(UnsupportedModel, match=r"models have no blk\.1\.attn_sinks\.weight"):
        open_checkpoint({"model.gguf": path})


@pytest.mark.parametrize(("case", "architecture"), [("glm4_moe", "glm4moe"), ("qwen3_5", "qwen35")])
def test_layers_that_only_predict_further_tokens_are_left_out(case, architecture, tiny_model_of, tmp_path):
    tiny = tiny_model_of(case)
    metadata = {f"{architecture}.block_count": 4, f"{architecture}.nextn_predict_layers": 1}
    extra = {
        "blk.3.nextn.eh_proj.weight": np.ones((48, 96), np.float32),
        "blk.3.attn_norm.weight": np.ones(48, np.float32),
    }
    path = write_gguf(tiny, tmp_path / "model.gguf", metadata=metadata, extra=extra)
    assert open_checkpoint({"model.gguf": path}).spec.num_layers == tiny.open().spec.num_layers == 3
