"""Lists, details, copies and removals of models through the official client."""

from typing import Any

import httpx
import ollama
import pytest

from llmos.gateway.services import Services
from support.scripted import KEY, MINILM, FakePool, FakeRegistry, FakeStatus, FakeVersion

pytestmark = pytest.mark.shared_gateway

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
    route, model = client.ps().models
    assert (model.model, model.size, model.size_vram, model.context_length) == ("smollm2:latest", 2, 0, 8192)
    assert model.expires_at is not None
    assert model.expires_at.year == 9999
    assert (route.model, route.digest) == ("dialogue:latest", model.digest)


def test_a_name_with_a_tag_gets_no_second_one(client: ollama.Client, services: Services) -> None:
    for name in ("llama3.1:8b", "registry:5000/team/model"):
        services.routes.set(name, "smollm2@1")
    names = [model.model for model in client.list().models]
    assert names == ["dialogue:latest", "llama3.1:8b", "registry:5000/team/model:latest", "smollm2:latest"]
    assert client.chat("llama3.1:8b", HELLO).message.content == "Hello"


def test_ps_and_tags_name_a_model_alike(client: ollama.Client) -> None:
    """Open WebUI compares the field `model` of the two lists to learn which models it can unload, and does it so."""
    client.chat("dialogue", HELLO)
    assert [model.model for model in client.ps().models] == [model.model for model in client.list().models]
    assert client.generate("smollm2:latest", prompt="", keep_alive=0).done_reason == "unload"
    assert client.ps().models == []


def test_ps_names_a_version_that_no_name_leads_to(client: ollama.Client, registry: FakeRegistry) -> None:
    client.chat("smollm2@1", HELLO)
    registry.versions.insert(0, FakeVersion(number=2))
    assert [model.model for model in client.ps().models] == ["smollm2@1"]


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
