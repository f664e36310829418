"""Reading the descriptions of a server, including invalid ones."""

import json
from datetime import UTC, datetime

import pytest

from llmos.core.errors import ProviderFailed
from llmos.deployments.providers.open_inference.server import OpenInferenceServer
from llmos.deployments.providers.provider_model import Provider

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 12, 1, tzinfo=UTC)
TENSOR = {"name": "text_input", "datatype": "BYTES", "shape": [-1]}
METADATA = json.dumps({"name": "m", "versions": ["1"], "platform": "p", "inputs": [TENSOR], "outputs": [TENSOR]})


class Answers:
    """Answers by path, and keeps the paths that were asked for."""

    def __init__(self, **answers: tuple[int, str]) -> None:
        self.answers, self.asked = answers, list[str]()

    async def __call__(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        self.asked.append(path)
        status, text = self.answers.get(path.rpartition("/")[2], (404, '{"error": "Not found"}'))
        return status, text.encode()


def server(answers: Answers) -> OpenInferenceServer:
    provider = Provider(name="far", kind="open-inference", base_url="http://far", created_at=NOW, updated_at=NOW)
    return OpenInferenceServer(provider, answers)


async def test_a_description_is_read_once_until_a_request_fails() -> None:
    far = server(answers := Answers(m=(200, METADATA)))
    described = await far.describe("m")
    assert (described.is_streamed, described.required) == (False, frozenset()), "it has no configuration to read"
    assert await far.describe("m") is described
    assert answers.asked == ["/v2/models/m", "/v2/models/m/config"]
    far.forget("m")
    assert await far.describe("m") == described
    assert len(answers.asked) == 4


@pytest.mark.parametrize("text", ["<html>", "[]", "{}", '{"inputs": [{"name": 1}], "outputs": []}'])
async def test_a_server_of_another_protocol_is_named(text: str) -> None:
    with pytest.raises(ProviderFailed, match="does not answer like an API of the kind open-inference"):
        await server(Answers(m=(200, text))).describe("m")


async def test_a_model_that_is_missing_or_not_ready_says_why() -> None:
    listed = [
        {"name": "broken", "state": "UNAVAILABLE", "reason": "Internal: ValueError: x\n\nAt:\n  model.py(1)"},
        {"name": "model-a", "state": "READY"},
    ]
    far = server(Answers(index=(200, json.dumps(listed)), v2=(200, "{}")))
    assert await far.models() == ["model-a"]
    with pytest.raises(ProviderFailed, match=r"is not ready: Internal: ValueError: x\. Load it there first"):
        await far.describe("broken")
    with pytest.raises(ProviderFailed, match="Did you mean model-a"):
        await far.describe("model-b")
    with pytest.raises(ProviderFailed, match="There is no model 'model-a' at the provider far"):
        await server(Answers(index=(200, "<html>"))).describe("model-a")
