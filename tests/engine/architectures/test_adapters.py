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
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.compression.merging import merge_adapter
from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.messages import AdapterFiles
from llmos.engine.runner.native import NativeRunner
from support.fakes import FakeTokenizer, run
from support.rated import rate
from support.tiny_models import TinyModel

WEIGHTS = "adapter_model.safetensors"
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
        return open_adapter(self.files, tiny.open().spec, lambda: tiny.open().tensors)

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


DORA_CASES = ["llama-head-dim-biases", "gpt2-untied-inner", "gemma2", "phi3", "gpt_neox", "granite"]


@pytest.mark.parametrize("tiny", DORA_CASES, indirect=True)
def test_dora_gives_the_logits_of_the_merged_model(tiny, drive, tmp_path):
    adapted = Adapted(tiny, tmp_path / "dora", use_dora=True)
    plain = Adapted(tiny, tmp_path / "lora", seed=1)
    driver, prompt = drive(tiny.open()), tiny.prompt(45)
    driver.runner.set_adapter(0, plain.open(tiny))
    driver.runner.set_adapter(3, adapted.open(tiny))
    prompts = {"a": prompt[:3], "b": prompt[:20], "c": prompt[:30]}
    found = with_adapters(driver, prompts, [3, -1, 0])
    rest = with_adapters(driver, {"a": prompt[3:]}, [3])["a"]
    np.testing.assert_allclose(np.concatenate([found["a"], rest]), adapted.logits(prompt), **CLOSE)
    np.testing.assert_allclose(found["b"], tiny.logits(prompts["b"]), **CLOSE)
    np.testing.assert_allclose(found["c"], plain.logits(prompts["c"]), **CLOSE)


def test_trained_lengths_of_dora_are_used_and_needed(llama, drive, tmp_path):
    Adapted(llama, tmp_path, use_dora=True)
    weights = load_file(tmp_path / WEIGHTS)
    longer = {key: values * 1.5 if "magnitude" in key else values for key, values in weights.items()}
    save_file(longer, tmp_path / WEIGHTS)
    files = {path.name: path for path in tmp_path.iterdir()}
    wrapped = peft.PeftModel.from_pretrained(llama.open_reference(), tmp_path)
    driver, prompt = drive(llama.open()), llama.prompt(20)
    driver.runner.set_adapter(0, open_adapter(files, llama.open().spec, lambda: llama.open().tensors))
    with torch.inference_mode():
        expected = wrapped.merge_and_unload().eval()(torch.tensor([prompt])).logits[0].numpy()
    np.testing.assert_allclose(with_adapters(driver, {"a": prompt}, [0])["a"], expected, **CLOSE)
    save_file({key: values for key, values in weights.items() if "magnitude" not in key}, tmp_path / WEIGHTS)
    with pytest.raises(BadModelFile, match=r"lacks the lora_magnitude_vector of layers\.0\.q"):
        open_adapter(files, llama.open().spec)


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
        ({"use_qalora": True}, "use_qalora"),
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


def test_texts_are_scored_with_the_adapter_of_their_request(llama, tmp_path):
    adapted, checkpoint = Adapted(llama, tmp_path), llama.open()
    runner = NativeRunner(checkpoint.spec, checkpoint.tensors, num_blocks=32, weights="f32", kv_dtype="f32")
    engine = Engine(runner, FakeTokenizer(), EngineConfig(), base=lambda: checkpoint.tensors)
    adapter = AdapterFiles("digest", {name: str(path) for name, path in adapted.files.items()})
    prompt, texts = llama.prompt(20), [llama.prompt(6, seed=3), llama.prompt(4, seed=4)]
    outputs = run(engine, rate("plain", prompt, texts), rate("adapted", prompt, texts, adapter=adapter))
    for id, model in (("plain", llama), ("adapted", adapted)):
        for scores, text in zip(outputs[id, 0][-1].continuations, texts, strict=True):
            rows = torch.tensor(model.logits(prompt + text)[len(prompt) - 1 : -1]).log_softmax(-1).numpy()
            expected = rows[range(len(text)), text]
            np.testing.assert_allclose([score.logprob for score in scores], expected, rtol=0, atol=2e-3)


# --- merged into the model


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("llama", {"modules_to_save": ["lm_head", "embed_tokens"]}),
        ("llama", {"use_dora": True}),
        ("qwen2", {"modules_to_save": ["input_layernorm"], "target_modules": ["q_proj"], "use_dora": True}),
        ("gemma2", {"modules_to_save": ["embed_tokens"]}),
        ("gemma2", {"modules_to_save": ["lm_head"]}),
        ("gemma2", {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}),
        ("phi3", {"modules_to_save": ["lm_head"]}),
    ],
)
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`", "ignore:Input and output embeddings are no")
def test_a_merged_model_is_that_of_peft(tiny_model_of, drive, tmp_path, case, options):
    tiny = tiny_model_of(case)
    (tmp_path / "merged").mkdir()
    torch.manual_seed(8)
    options = {"target_modules": "all-linear", "init_lora_weights": False} | options
    wrapped = peft.get_peft_model(tiny.open_reference(), peft.LoraConfig(task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "modules_to_save" in name:
                parameter += torch.randn_like(parameter) * 0.1
    wrapped.save_pretrained(tmp_path / "adapter")
    adapter = {path.name: path for path in (tmp_path / "adapter").iterdir()}
    # Other users of the files get the adapter that peft reads back.
    read = peft.PeftModel.from_pretrained(tiny.open_reference(), tmp_path / "adapter").merge_and_unload().eval()
    merged = open_checkpoint(merge_adapter(tiny.files(), adapter, tmp_path / "merged"))
    prompt = tiny.prompt(30)
    with torch.inference_mode():
        expected = read(torch.tensor([prompt])).logits[0].numpy()
    np.testing.assert_allclose(drive(merged).step({"a": prompt})["a"], expected, **CLOSE)
    assert not np.allclose(expected, tiny.logits(prompt), atol=0.05), "the adapter changes nothing"


def test_an_adapter_that_replaces_modules_says_how_to_merge_it(llama, tmp_path):
    adapted = Adapted(llama, tmp_path, modules_to_save=["lm_head"])
    with pytest.raises(UnsupportedModel, match=r"llmos import PATH --name NEW --merge MODEL"):
        adapted.open(llama)


def test_replaced_modules_of_another_vocabulary_are_rejected(llama, tmp_path):
    Adapted(llama, tmp_path / "adapter", modules_to_save=["lm_head"])
    weights = load_file(tmp_path / "adapter" / WEIGHTS)
    name = next(key for key in weights if "lm_head" in key and "lora" not in key)
    save_file(weights | {name: weights[name][:-1].copy()}, tmp_path / "adapter" / WEIGHTS)
    (tmp_path / "merged").mkdir()
    with pytest.raises(BadModelFile, match=r"replaces head\.weight by tensors of another shape"):
        merge_adapter(
            llama.files(), {path.name: path for path in (tmp_path / "adapter").iterdir()}, tmp_path / "merged"
        )
