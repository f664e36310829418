"""Adapters over HTTP: called MODEL:ADAPTER, in the process of their model, several in one batch."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
from safetensors.numpy import save_file

from llmos.core.config import load_settings
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers
from support.default_model import pull_stored
from support.real_server import KEY, Running, serving

pytestmark = pytest.mark.process

HIDDEN, LAYERS = 576, 30


def write_adapter(folder: Path, seed: int) -> Path:
    """A LoRA adapter of smollm2 that makes it talk differently."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    tensors = {}
    for layer in range(LAYERS):
        module = f"base_model.model.model.layers.{layer}.self_attn.o_proj"
        tensors[f"{module}.lora_A.weight"] = rng.normal(0, 0.1, (4, HIDDEN)).astype(np.float32)
        tensors[f"{module}.lora_B.weight"] = rng.normal(0, 0.1, (HIDDEN, 4)).astype(np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "lora_alpha": 8, "r": 4}))
    return folder


@pytest.fixture(scope="module")
def running(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("home")
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    pull_stored(registry, smollm2_path)
    for seed, name in enumerate(("terse", "wordy")):
        Transfers(registry).import_path(write_adapter(home / f"from-{name}", seed), f"smollm2:{name}")
    registry.database.close()
    with serving(home) as running:
        yield running


def say(client: openai.OpenAI, model: str) -> tuple[str, str]:
    reply = client.completions.create(
        model=model, prompt="Once upon a time", max_tokens=24, temperature=0, extra_body={"repetition_penalty": 1}
    )
    return reply.model, reply.choices[0].text


def test_adapters_answer_in_one_process_and_one_batch_as_each_alone(running: Running) -> None:
    names = ["smollm2", "smollm2:terse", "smollm2:wordy"]
    with running.openai() as client, ThreadPoolExecutor(9) as threads:
        alone = {name: say(client, name) for name in names}
        assert [alone[name][0] for name in names] == ["smollm2@1", "smollm2@2", "smollm2@3"]
        assert len({text for _, text in alone.values()}) == 3, "an adapter changes nothing"
        together = list(threads.map(lambda name: (name, say(client, name)), names * 3))
    assert all(alone[name] == said for name, said in together)
    replicas = running.get("/llmos/v1/deployments").json()["data"]
    assert [replica["version"] for replica in replicas] == ["smollm2@1"]


def test_an_adapter_scores_given_texts_itself(running: Running) -> None:
    def score(model: str) -> tuple[str, list[float]]:
        body = {"model": model, "prompt": "Once upon a time", "continuations": [" there was", " a cat"]}
        reply = httpx.post(f"{running.url}/llmos/v1/likelihood", json=body, headers={"x-api-key": KEY}, timeout=120)
        return reply.json()["version"], [option["logprob"] for option in reply.json()["options"]]

    base, terse, again = score("smollm2"), score("smollm2:terse"), score("smollm2")
    assert (base[0], terse[0]) == ("smollm2@1", "smollm2@2")
    assert base == again
    assert base[1] != terse[1]


def test_a_prefix_is_shared_with_the_same_adapter_only(running: Running) -> None:
    prompt = "The same long beginning of a prompt, over and over again. " * 8

    def cached(client: openai.OpenAI, model: str) -> int:
        usage = client.completions.create(model=model, prompt=prompt, max_tokens=1).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        return usage.prompt_tokens_details.cached_tokens or 0

    with running.openai() as client:
        assert cached(client, "smollm2:terse") == 0
        assert cached(client, "smollm2") == 0
        assert cached(client, "smollm2:wordy") == 0
        assert cached(client, "smollm2:terse") > 64


def test_a_name_that_is_no_adapter_names_those_that_there_are(running: Running) -> None:
    with running.openai() as client, pytest.raises(openai.NotFoundError, match="smollm2:terse"):
        say(client, "smollm2:loud")
