"""LoRA adapters change a model as peft does, whatever else is in the batch."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from safetensors.numpy import load_file, save_file

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.checkpoint.adapters import LowRankUpdate, open_adapter
from support.tiny_models import TinyModel

CLOSE = {"rtol": 1e-3, "atol": 2e-4}
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")


class Adapted:
    """A tiny model with a random adapter that peft created and saved."""

    def __init__(self, tiny: TinyModel, folder: Path, seed: int = 0, **options) -> None:
        torch.manual_seed(seed)
        options = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "init_lora_weights": False} | options
        options["fan_in_fan_out"] = tiny.case.startswith("gpt2")
        wrapped = peft.get_peft_model(tiny.open_reference(), peft.LoraConfig(task_type="CAUSAL_LM", **options))
        wrapped.save_pretrained(folder)
        self.model = wrapped.merge_and_unload().eval()
        self.files = {path.name: path for path in folder.iterdir()}

    def open(self, tiny: TinyModel):
        return open_adapter(self.files, tiny.open().spec)

    @torch.inference_mode()
    def logits(self, tokens):
        return self.model(torch.tensor([tokens])).logits[0].numpy()

    def greedy(self, prompt, num_tokens):
        tokens = list(prompt)
        for _ in range(num_tokens):
            tokens.append(int(self.logits(tokens)[-1].argmax()))
        return tokens[len(prompt) :]


ADAPTED_CASES = [
    "llama", "llama-head-dim-biases", "qwen2", "mistral-window", "gpt2-untied-inner", "gemma2", "phi3", "olmo2",
    "granite", "gpt_neox",
]  # fmt: skip


@pytest.fixture(params=ADAPTED_CASES)
def tiny(request, tiny_model_of) -> TinyModel:
    return tiny_model_of(request.param)


@pytest.fixture(scope="module")
def llama(tiny_model_of) -> TinyModel:
    return tiny_model_of("llama")


def with_adapters(driver, tokens, indexes):
    """Run a step in which the sequences have the adapters with these indexes, -1 for none. Return their logits."""
    batch = replace(driver.batch(tokens), adapters=np.array(indexes, np.int32))
    logits = driver.runner.forward(batch).copy()
    return dict(zip(tokens, np.split(logits, batch.starts[1:-1]), strict=True))


def test_an_adapter_gives_the_logits_of_the_merged_model(tiny, drive, tmp_path):
    adapted = Adapted(tiny, tmp_path)
    driver, prompt = drive(tiny.open()), tiny.prompt(45)
    driver.runner.set_adapter(3, adapted.open(tiny))
    found = with_adapters(driver, {"a": prompt[:3]}, [3])["a"]
    rest = with_adapters(driver, {"a": prompt[3:]}, [3])["a"]
    np.testing.assert_allclose(np.concatenate([found, rest]), adapted.logits(prompt), **CLOSE)
    assert not np.allclose(adapted.logits(prompt), tiny.logits(prompt), atol=0.1), "the adapter changes nothing"


def test_32_greedy_tokens_equal_those_of_the_merged_model(tiny, drive, tmp_path):
    adapted = Adapted(tiny, tmp_path, seed=1)
    driver, prompt = drive(tiny.open()), tiny.prompt(30, seed=1)
    driver.runner.set_adapter(0, adapted.open(tiny))
    tokens, last = [], prompt
    for _ in range(32):
        last = [int(with_adapters(driver, {"a": last}, [0])["a"][-1].argmax())]
        tokens += last
    assert tokens == adapted.greedy(prompt, 32)


def test_several_adapters_share_a_batch_with_each_other_and_with_none(llama, drive, tmp_path):
    first = Adapted(llama, tmp_path / "first", seed=2, r=2)
    second = Adapted(llama, tmp_path / "second", seed=3, r=24, use_rslora=True, target_modules=["q_proj", "down_proj"])
    driver = drive(llama.open())
    driver.runner.set_adapter(0, first.open(llama))
    driver.runner.set_adapter(1, second.open(llama))
    prompts = {name: llama.prompt(length, seed=length) for name, length in (("a", 19), ("b", 2), ("c", 33), ("d", 1))}
    found = with_adapters(driver, prompts, [1, 0, -1, 1])
    np.testing.assert_allclose(found["a"], second.logits(prompts["a"]), **CLOSE)
    np.testing.assert_allclose(found["b"], first.logits(prompts["b"]), **CLOSE)
    np.testing.assert_allclose(found["d"], second.logits(prompts["d"]), **CLOSE)
    np.testing.assert_allclose(found["c"], llama.logits(prompts["c"]), **CLOSE)


@pytest.mark.parametrize("drive", ["native"], indirect=True)
def test_rows_with_adapters_and_without_never_depend_on_their_neighbours(llama, drive, tmp_path):
    adapter = Adapted(llama, tmp_path).open(llama)
    prompts = {"a": llama.prompt(37), "b": llama.prompt(90, seed=5)}

    def run(names, numbers):
        driver = drive(llama.open())
        driver.runner.set_adapter(0, adapter)
        return with_adapters(driver, {name: prompts[name] for name in names}, numbers)["a"]

    alone = run("a", [0])
    assert np.array_equal(alone, run("ab", [0, -1]))
    assert np.array_equal(alone, run("ba", [0, 0]))
    plain = drive(llama.open()).step({"a": prompts["a"]})["a"]
    assert np.array_equal(plain, run("ab", [-1, 0]))


def test_a_replaced_adapter_is_no_longer_used(llama, drive, tmp_path):
    driver = drive(llama.open())
    adapter = Adapted(llama, tmp_path).open(llama)
    driver.runner.set_adapter(0, adapter)
    driver.runner.set_adapter(
        0, {"layers.0.q": LowRankUpdate(*(np.zeros_like(x) for x in _parts(adapter["layers.0.q"])))}
    )
    prompt = llama.prompt(8)
    found = with_adapters(driver, {"a": prompt}, [0])["a"]
    np.testing.assert_allclose(found, llama.logits(prompt), **CLOSE)


@pytest.mark.parametrize("pattern", ["q_proj", r"^model.*0\.self_attn\.v_proj", r"layers\.[01]\.mlp\.(up|down)_proj"])
def test_modules_may_have_an_alpha_of_their_own(llama, drive, tmp_path, pattern):
    adapted = Adapted(llama, tmp_path, alpha_pattern={pattern: 24, "o_proj": 2}, rank_pattern={"k_proj": 7})
    driver, prompt = drive(llama.open()), llama.prompt(20)
    driver.runner.set_adapter(0, adapted.open(llama))
    np.testing.assert_allclose(with_adapters(driver, {"a": prompt}, [0])["a"], adapted.logits(prompt), **CLOSE)


def test_one_layer_alone_may_be_adapted(llama, drive, tmp_path):
    adapted = Adapted(llama, tmp_path, layers_to_transform=[1], target_modules=["v_proj", "up_proj"])
    assert set(adapted.open(llama)) == {"layers.1.v", "layers.1.up"}
    driver, prompt = drive(llama.open()), llama.prompt(20)
    driver.runner.set_adapter(0, adapted.open(llama))
    np.testing.assert_allclose(with_adapters(driver, {"a": prompt}, [0])["a"], adapted.logits(prompt), **CLOSE)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"peft_type": "IA3"}, "'IA3'"),
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"kasa_config": {"beta": 1}}, "kasa_config"),
        ({"an_option_to_come": True}, "an_option_to_come"),
        ({"alpha_pattern": {"(q_proj)*": 3}}, "alpha_pattern"),
        ({"alpha_pattern": {".*.*.*q_proj": 3}}, "alpha_pattern"),
    ],
)
def test_an_unsupported_option_is_rejected_by_name(llama, tmp_path, change, reason):
    adapted = Adapted(llama, tmp_path)
    config = json.loads(adapted.files["adapter_config.json"].read_text()) | change
    adapted.files["adapter_config.json"].write_text(json.dumps(config))
    with pytest.raises(UnsupportedModel, match=reason):
        adapted.open(llama)


def test_an_adapter_of_another_model_is_rejected(llama, tiny_model_of, tmp_path):
    other = tiny_model_of("llama-tied-wide")
    with pytest.raises(BadModelFile, match="made for another model"):
        Adapted(other, tmp_path).open(llama)


def test_an_adapter_of_a_missing_layer_is_rejected(llama, tmp_path):
    adapted = Adapted(llama, tmp_path)
    _rename(adapted, lambda key: key.replace("layers.1", "layers.7"))
    with pytest.raises(UnsupportedModel, match=r"layers\.7"):
        adapted.open(llama)


def test_half_a_pair_is_rejected(llama, tmp_path):
    adapted = Adapted(llama, tmp_path)
    path = adapted.files["adapter_model.safetensors"]
    tensors = load_file(path)
    del tensors[next(key for key in tensors if "lora_B" in key)]
    save_file(tensors, path)
    with pytest.raises(BadModelFile, match="only one of lora_A and lora_B"):
        adapted.open(llama)


def test_a_pickled_adapter_is_rejected(llama, tmp_path):
    adapted = Adapted(llama, tmp_path)
    adapted.files["adapter_model.bin"] = adapted.files.pop("adapter_model.safetensors")
    with pytest.raises(BadModelFile, match=r"adapter_model\.bin is not read"):
        adapted.open(llama)


def test_an_adapter_of_the_model_without_its_head_is_read(llama, drive, tmp_path):
    adapted = Adapted(llama, tmp_path)
    prompt = llama.prompt(12)
    expected = adapted.logits(prompt)
    _rename(adapted, lambda key: key.replace("base_model.model.model.", "base_model.model."))
    driver = drive(llama.open())
    driver.runner.set_adapter(0, adapted.open(llama))
    np.testing.assert_allclose(with_adapters(driver, {"a": prompt}, [0])["a"], expected, **CLOSE)


def _rename(adapted, change):
    path = adapted.files["adapter_model.safetensors"]
    tensors = {change(key): value for key, value in load_file(path).items()}
    shutil.copy(path, path.with_suffix(".before"))
    save_file(tensors, path)


def _parts(pair):
    return pair.down, pair.up
