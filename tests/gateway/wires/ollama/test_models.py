"""Lists, details, copies and removals of models through the official client."""

from typing import Any

import httpx
import ollama
import pytest

from llmos.gateway.services import Services
from support.scripted import KEY, MINILM, FakePool, FakeRegistry, FakeStatus, FakeVersion

HELLO: Any = [{"role": "user", "content": "Hello"}]


def test_tags_lists_routes_and_models(client: ollama.Client, registry: FakeRegistry) -> None:
    route, model = client.list().models
    assert (route.model, model.model) == ("dialogue:latest", "smollm2:latest")
    assert model.digest == registry.versions[0].digest.removeprefix("sha256:")
    assert model.size == 98_000_000
    assert model.details is not None
    assert (model.details.family, model.details.format) == ("llama", "gguf")
    assert (model.details.parameter_size, model.details.quantization_level) == ("135.00M", "Q4_1")


def test_show_returns_the_metadata_of_the_files(client: ollama.Client, registry: FakeRegistry) -> None:
    registry.versions = [FakeVersion(sampling={"temperature": 0.2, "top_p": 0.9})]
    shown = client.show("dialogue:latest")
    assert shown.modelinfo is not None
    assert (shown.modelinfo["general.architecture"], shown.modelinfo["llama.context_length"]) == ("llama", 8192)
    assert (shown.modelinfo["llama.block_count"], shown.modelinfo["general.parameter_count"]) == (30, 135_000_000)
    assert (shown.template, shown.license) == ("{{ messages }}", "Apache-2.0")
    assert shown.parameters == "temperature 0.2\ntop_p 0.9"
    assert shown.capabilities == ["completion", "tools"]
    registry.template = "{{ enable_thinking }}"
    assert client.show("dialogue").capabilities == ["completion", "tools", "thinking"]
    registry.versions.append(MINILM)
    assert client.show("minilm").capabilities == ["embedding"]


def test_ps_lists_running_models(client: ollama.Client, pool: FakePool) -> None:
    assert client.ps().models == []
    client.chat("dialogue", HELLO)
    pool.replicas.append(FakeStatus("gone@1"))
    [running] = client.ps().models
    assert (running.model, running.size, running.size_vram, running.context_length) == ("smollm2@1", 2, 0, 8192)
    assert running.expires_at is not None
    assert running.expires_at.year == 9999


def test_a_copy_is_a_route_to_the_version(client: ollama.Client, services: Services) -> None:
    assert client.copy("dialogue", "mine:latest").status == "success"
    assert services.routes.get("mine").target == "smollm2@1"
    assert client.chat("mine", HELLO).message.content == "Hello"


def test_delete_removes_a_route_or_a_model_and_stops_it(
    client: ollama.Client, pool: FakePool, services: Services
) -> None:
    client.chat("dialogue", HELLO)
    assert client.delete("dialogue").status == "success"
    assert services.routes.list() == []
    assert [replica.state for replica in pool.replicas] == ["ready"]
    assert client.delete("smollm2:latest").status == "success"
    assert services.registry.list() == []
    assert [replica.state for replica in pool.replicas] == ["stopped"]
    with pytest.raises(ollama.ResponseError) as caught:
        client.delete("smollm2")
    assert caught.value.status_code == 404


def test_clients_detect_the_server(served: str) -> None:
    assert httpx.head(served, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    version = httpx.get(f"{served}/api/version", headers={"Authorization": f"Bearer {KEY}"}).json()["version"]
    assert all(part.isdecimal() for part in version.split("."))
