"""Keys that change the mathematics are used or refused by name; harmless keys don't keep a published model out."""

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.architectures import config_spec, families, family_of_model_type
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.checkpoint.ignored_keys import FILE_NAME, format_ignored_keys
from support.tiny_models import CASES, make_tiny_model, write_gguf

CLOSE = {"rtol": 1e-3, "atol": 1e-4}
LLAMA = {
    "model_type": "llama",
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


def spec_of(ignored=(), **changes):
    config = LLAMA | changes
    return config_spec(family_of_model_type(config["model_type"]), config, ignored)


def write_variant(tiny, folder, *, ignored=(), change=lambda tensors: tensors, **config):
    """Write a copy of a tiny model with other values in its config.json, and return its files."""
    folder.mkdir(exist_ok=True)
    whole = json.loads((tiny.folder / "config.json").read_text()) | config
    whole = {key: value for key, value in whole.items() if value != "absent"}
    (folder / "config.json").write_text(json.dumps(whole))
    save_file(change(load_file(tiny.folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
    if ignored:
        (folder / FILE_NAME).write_text(format_ignored_keys(ignored))
    return {path.name: path for path in folder.iterdir()}


def reference_logits(folder, prompt):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.inference_mode():
        return model(torch.tensor([prompt])).logits[0].numpy()


# --- config.json


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attn_logit_softcapping", 5.0),
        ("final_logit_softcapping", 30.0),
        ("clip_qkv", 8.0),
        ("logit_scale", 0.0625),
        ("embedding_multiplier", 12.0),
        ("use_qk_norm", True),
        ("rope_interleaved", True),
        ("sliding_window", 9),
        ("partial_rotary_dims", 8),
        ("num_local_experts", 8),
        ("a_flag_that_nobody_knows", False),
    ],
)
def test_a_field_that_the_family_does_not_know_is_refused_by_name(key, value):
    with pytest.raises(UnsupportedModel, match=rf"config.json has {key} \(.*in llama models nor .* --ignore {key}\."):
        spec_of(**{key: value})
    assert spec_of(ignored=[key], **{key: value}) == spec_of()


@pytest.mark.parametrize("value", [None, [], {}, ""])
def test_a_null_or_empty_field_is_the_same_as_none(value):
    assert spec_of(attn_logit_softcapping=value) == spec_of()


def test_a_neutral_value_is_harmless():
    assert spec_of(logit_scale=1, clip_qkv=None, use_qk_norm=False, partial_rotary_factor=1.0) == spec_of()


def test_a_nested_field_is_named_with_its_section():
    scaling = {"rope_type": "linear", "factor": 4.0, "ramp": 2}
    with pytest.raises(UnsupportedModel, match=r"rope_scaling\.ramp \(2\).*--ignore rope_scaling\.ramp\."):
        spec_of(rope_scaling=scaling)
    assert spec_of(["rope_scaling.ramp"], rope_scaling=scaling).rope_scaling == "linear"


def test_values_of_another_kind_of_scaling_are_refused():
    with pytest.raises(UnsupportedModel, match=r"rope_parameters\.factor"):
        spec_of(rope_parameters={"rope_type": "default", "rope_theta": 1e4, "factor": 8.0})


def test_all_unknown_fields_are_named():
    with pytest.raises(UnsupportedModel, match=r"has alpha .*, beta .*--ignore alpha --ignore beta"):
        spec_of(alpha=1, beta="x")


DEFAULTS_THAT_NOBODY_RUNS = {
    "glm4_moe": {"head_dim": 128},
    "granitemoehybrid": {"num_hidden_layers": 2, "layer_types": ["mamba", "attention"]},
}
"""Values in the place of defaults with which a model can't run."""

FAMILY_OF_TEXT = {
    "gemma3": "gemma3_text", "gemma3n": "gemma3n_text", "gemma4": "gemma4_text", "mistral3": "mistral",
    "gemma4_unified": "gemma4_unified_text", "qwen3_5": "qwen3_5_text", "qwen3_5_moe": "qwen3_5_moe_text",
}  # fmt: skip
"""Types of models with pictures -> the type of the language model in them."""


@pytest.mark.parametrize("name", families())
def test_every_field_that_transformers_writes_is_known(name):
    options = DEFAULTS_THAT_NOBODY_RUNS.get(name, {})
    config = transformers.AutoConfig.for_model("xlm-roberta" if name == "xlm_roberta" else name, **options)
    spec = config_spec(family_of_model_type(name), json.loads(config.to_json_string(use_diff=False)))
    assert spec.family == FAMILY_OF_TEXT.get(name, name)


def test_heads_of_some_layers_of_a_kind_are_refused():
    config = json.loads(transformers.AutoConfig.for_model("gemma4_text").to_json_string(use_diff=False))
    config["per_layer_config"]["05"]["head_dim"] = 128
    with pytest.raises(UnsupportedModel, match="layers of one kind with heads that differ"):
        config_spec(family_of_model_type("gemma4_text"), config)
    config["per_layer_config"] = {"03": {"intermediate_size": 7}}
    with pytest.raises(UnsupportedModel, match=r"per_layer_config\.03\.intermediate_size"):
        config_spec(family_of_model_type("gemma4_text"), config)


# --- rotary positions


@pytest.mark.parametrize("top", ["absent", 10_000.0])
def test_theta_within_rope_scaling_counts(top, tiny_model_of, tmp_path, drive):
    tiny = tiny_model_of("llama")
    scaling = {"rope_type": "default", "rope_theta": 500_000.0}
    files = write_variant(tiny, tmp_path / "m", rope_parameters="absent", rope_scaling=scaling, rope_theta=top)
    prompt = tiny.prompt(60)
    logits_LV = drive(open_checkpoint(files)).step({"a": prompt})["a"]
    np.testing.assert_allclose(logits_LV, reference_logits(tmp_path / "m", prompt), **CLOSE)


def test_sections_that_differ_are_refused():
    with pytest.raises(UnsupportedModel, match="both rope_parameters and rope_scaling"):
        spec_of(rope_parameters={"rope_theta": 5.0}, rope_scaling={"type": "linear", "factor": 2.0})


def test_dynamic_scaling_is_none_within_the_context(tiny_model_of, tmp_path, drive):
    tiny = tiny_model_of("llama")
    scaling = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    files = write_variant(tiny, tmp_path / "m", rope_parameters=scaling)
    prompt = tiny.prompt(250)
    logits_LV = drive(open_checkpoint(files)).step({"a": prompt})["a"]
    np.testing.assert_allclose(logits_LV, reference_logits(tmp_path / "m", prompt), **CLOSE)


def test_dynamic_scaling_of_another_original_context_is_refused():
    with pytest.raises(UnsupportedModel, match="dynamic rope scaling with other original positions"):
        spec_of(rope_scaling={"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 128})
    with pytest.raises(UnsupportedModel, match=r"rope_scaling\.alpha"):
        spec_of(rope_scaling={"type": "dynamic", "factor": 2.0, "alpha": 1000.0})


def test_flat_rope_parameters_of_gemma_3_are_refused(tiny_model_of, tmp_path):
    files = write_variant(
        tiny_model_of("gemma3"),
        tmp_path / "m",
        rope_parameters={"rope_type": "default", "rope_theta": 50_000.0},
        rope_local_base_freq=5_000.0,
    )
    with pytest.raises(UnsupportedModel, match="rope_parameters that don't say which kind of layer"):
        open_checkpoint(files)


# --- windows


@pytest.mark.parametrize("case", ["mistral-window", "mixtral", "phi3"])
def test_layer_types_say_which_layers_have_the_window(case, tiny_model_of, tmp_path):
    kinds = ["sliding_attention", "full_attention"]
    files = write_variant(tiny_model_of(case), tmp_path / "m", layer_types=kinds, sliding_window=9)
    spec = open_checkpoint(files).spec
    assert [spec.window_of(0), spec.window_of(1)] == [9, None]


def test_a_mistral_with_layer_types_computes_what_ministral_does(tiny_model_of, tmp_path, drive):
    tiny = tiny_model_of("mistral-window")
    kinds = ["sliding_attention", "full_attention"]
    files = write_variant(tiny, tmp_path / "m", layer_types=kinds, sliding_window=9)
    model = transformers.MinistralForCausalLM.from_pretrained(tmp_path / "m", attn_implementation="eager").eval()
    prompt = tiny.prompt(60)
    with torch.inference_mode():
        expected_LV = model(torch.tensor([prompt])).logits[0].numpy()
    np.testing.assert_allclose(drive(open_checkpoint(files)).step({"a": prompt})["a"], expected_LV, **CLOSE)


def test_a_family_without_windows_refuses_layers_with_one():
    with pytest.raises(UnsupportedModel, match="layers with a sliding window"):
        spec_of(layer_types=["sliding_attention", "full_attention"])
    assert spec_of(layer_types=["full_attention"] * 2) == spec_of()


# --- heads


@pytest.mark.parametrize(
    "architecture",
    [
        "LlamaForSequenceClassification", "LlamaForTokenClassification", "LlamaForQuestionAnswering",
        "LlamaForRewardModel",
    ],
)  # fmt: skip
def test_a_head_of_classes_is_refused_by_name(architecture):
    with pytest.raises(UnsupportedModel, match=f"the head of a {architecture} instead of one for text"):
        spec_of(architectures=[architecture])


def test_a_head_of_classes_is_found_by_its_tensors_too(tiny_model_of, tmp_path):
    head = np.ones((1, 48), np.float32)
    files = write_variant(
        tiny_model_of("qwen3-tied-biases"), tmp_path / "m", change=lambda tensors: tensors | {"score.weight": head}
    )
    with pytest.raises(UnsupportedModel, match=r"score\.weight, a head for classes or rewards"):
        open_checkpoint(files)


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "LlamaModel", "LLaMAForCausalLM", "GPT2LMHeadModel"])
def test_the_head_of_a_language_model_is_not_refused(architecture):
    assert spec_of(architectures=[architecture]) == spec_of()


def test_a_tied_model_with_a_head_of_its_own_uses_it(tiny_model_of, tmp_path, drive):
    tiny = tiny_model_of("qwen3-tied-biases")
    embed = load_file(tiny.folder / "model.safetensors")["model.embed_tokens.weight"]
    head = embed.copy()
    head[-1] += 1.0  # only the last row differs
    files = write_variant(tiny, tmp_path / "m", change=lambda tensors: tensors | {"lm_head.weight": head})
    checkpoint = open_checkpoint(files)
    assert not checkpoint.spec.tied_head
    prompt = tiny.prompt(20)
    logits_LV = drive(checkpoint).step({"a": prompt})["a"]
    np.testing.assert_allclose(logits_LV[:, :-1], tiny.logits(prompt)[:, :-1], **CLOSE)
    assert np.abs(logits_LV[:, -1] - tiny.logits(prompt)[:, -1]).max() > 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_copy_of_the_embedding_as_head_stays_tied(dtype, tiny_model_of, tmp_path):
    def change(tensors):
        embed = tensors["model.embed_tokens.weight"].astype(np.float16)
        return tensors | {"model.embed_tokens.weight": embed, "lm_head.weight": embed.astype(dtype)}

    files = write_variant(tiny_model_of("llama-tied-wide"), tmp_path / "m", change=change)
    assert open_checkpoint(files).spec.tied_head


# --- GGUF


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention.scale", 0.5),
        ("logit_scale", 4.0),
        ("embedding_scale", 3.0),
        ("attn_logit_softcapping", 5.0),
        ("attention.clamp_kqv", 1.0),
        ("attention.temperature_scale", 0.1),
        ("embedding_length_out", 8),
        ("expert_shared_count", 2),
        ("rope.freq_base_swa", 5.0),
        ("nobody.knows", "x"),
    ],
)
def test_a_key_of_the_architecture_that_nobody_knows_is_refused_by_name(key, value, tiny_model_of, tmp_path):
    key = f"llama.{key}"
    path = write_gguf(tiny_model_of("llama"), tmp_path / "model.gguf", metadata={key: value})
    with pytest.raises(UnsupportedModel, match=rf"The file has {key} \(.*--ignore {key}\."):
        open_checkpoint({"model.gguf": path})
    ignored = tmp_path / FILE_NAME
    ignored.write_text(format_ignored_keys([key]))
    assert open_checkpoint({"model.gguf": path, FILE_NAME: ignored}).spec.family == "llama"


def test_a_key_to_ignore_that_the_file_lacks_is_refused_with_the_nearest(tiny_model_of, tmp_path):
    files = write_variant(tiny_model_of("llama"), tmp_path / "m", ignored=["rope_parameter"])
    with pytest.raises(BadModelFile, match=r"'rope_parameter' is to be ignored, but .* Nearest: rope_parameters"):
        open_checkpoint(files)


def test_keys_outside_the_architecture_and_harmless_ones_are_allowed(tiny_model_of, tmp_path):
    harmless = {
        "general.quantized_by": "x", "llama.vocab_size": 131, "llama.rope.scaling.finetuned": True,
        "llama.attention.scale": 0.0, "llama.logit_scale": 1.0, "quantize.imatrix.file": "y", "qwen2.odd": 1,
    }  # fmt: skip
    tiny = tiny_model_of("llama")
    path = write_gguf(tiny, tmp_path / "model.gguf", metadata=harmless)
    plain = write_gguf(tiny, tmp_path / "plain.gguf")
    assert open_checkpoint({"model.gguf": path}).spec == open_checkpoint({"plain.gguf": plain}).spec


@pytest.mark.parametrize("case", ["olmo3", "olmo3-yarn"])
def test_an_olmo_3_that_says_olmo_2_computes_what_transformers_does(case, tmp_path, drive):
    tiny = make_tiny_model(case, tmp_path / "folder")
    windows = [kind == "sliding_attention" for kind in tiny.reference.config.layer_types]
    path = write_gguf(tiny, tmp_path / "model.gguf", metadata={"olmo2.attention.sliding_window_pattern": windows})
    prompt = tiny.prompt(100)
    driver = drive(open_checkpoint({"model.gguf": path}))
    np.testing.assert_allclose(driver.step({"a": prompt})["a"], tiny.logits(prompt), **CLOSE)


def test_the_pattern_of_windows_may_be_a_number_or_a_list(tiny_model_of, tmp_path):
    tiny = tiny_model_of("gemma3")

    def windows(name, pattern):
        path = write_gguf(tiny, tmp_path / name, metadata={"gemma3.attention.sliding_window_pattern": pattern})
        return open_checkpoint({"model.gguf": path}).spec.windowed_layers

    assert windows("a", 3) == (0, 1, 3, 4, 6)
    assert windows("b", [True, False] * 3 + [True]) == (0, 2, 4, 6)
    with pytest.raises(BadModelFile, match="sliding_window_pattern must have true or false for each of 7 layers"):
        windows("c", [True])


@pytest.mark.parametrize("case", CASES)
def test_a_key_is_refused_in_every_family(case, tiny_model_of):
    tiny = tiny_model_of(case)
    config = json.loads((tiny.folder / "config.json").read_text())
    family = family_of_model_type(config["model_type"])
    spec = config_spec(family, config)
    with pytest.raises(UnsupportedModel, match="an_unknown_key"):
        config_spec(family, config | {"an_unknown_key": 2})
    assert config_spec(family, config | {"an_unknown_key": 2}, ["an_unknown_key"]) == spec
