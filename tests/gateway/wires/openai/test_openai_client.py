"""The official client works unchanged: plain and streamed, blocking and asynchronous, with its own error classes."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from llmos.core.errors import PromptTooLong, ReplicaFailed
from llmos.engine.messages import Delta
from llmos.gateway.services import Services
from support.fake_backend import FakeModel, token
from support.scripted import KEY

pytestmark = pytest.mark.shared_gateway

HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def client(served: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def test_a_conversation(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="dialogue", messages=HELLO, user="u", metadata={"a": "b"})
    assert completion.choices[0].message.content == "Hello"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "smollm2@1"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 8
    assert (completion._request_id or "").startswith("req-")


def test_a_streamed_conversation(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="dialogue", messages=HELLO, stream=True, n=2, stream_options={"include_usage": True}
    )
    texts, reasons, usage = {0: "", 1: ""}, {}, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    assert texts == {0: "Hello", 1: "Hello"}
    assert reasons == {0: "stop", 1: "stop"}
    assert usage is not None
    assert usage.total_tokens == 11


def test_the_clients_own_assembly_of_a_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="dialogue", messages=HELLO) as stream:
        for _ in stream:
            pass
        completion = stream.get_final_completion()
    assert completion.choices[0].message.content == "Hello"


def test_logprobs(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue(Delta(id="any", text="Hi", logprobs=[token("Hi", -0.25, ("Ho", -1.5))], num_output_tokens=1))
    completion = client.chat.completions.create(model="dialogue", messages=HELLO, logprobs=True, top_logprobs=1)
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert (logprobs.content[0].token, logprobs.content[0].bytes) == ("Hi", [72, 105])
    assert logprobs.content[0].top_logprobs[0].logprob == -1.5


def test_a_completion_with_fields_that_openai_does_not_have(client: openai.OpenAI, model: FakeModel) -> None:
    completion = client.completions.create(
        model="dialogue", prompt=["Once", "Twice"], stop=["\n"], extra_body={"top_k": 5, "ignore_eos": True}
    )
    assert [choice.text for choice in completion.choices] == ["Hello", "Hello"]
    assert (model.requests[0].sampling.top_k, model.requests[0].sampling.ignore_eos) == (5, True)


def test_a_streamed_completion(client: openai.OpenAI) -> None:
    chunks = list(client.completions.create(model="dialogue", prompt="Once", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Hello"
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["dialogue", "smollm2"]
    assert client.models.retrieve("dialogue").created == 1767312000


@pytest.mark.anyio
async def test_the_asynchronous_client(served: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=KEY) as client:
        completion = await client.chat.completions.create(model="dialogue", messages=HELLO)
        assert completion.choices[0].message.content == "Hello"
        stream = await client.chat.completions.create(model="dialogue", messages=HELLO, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(pieces) == "Hello"
        assert [model.id async for model in client.models.list()] == ["dialogue", "smollm2"]


def test_a_wrong_key_raises_the_clients_authentication_error(served: str) -> None:
    with (
        openai.OpenAI(base_url=f"{served}/v1", api_key="wrong") as client,
        pytest.raises(openai.AuthenticationError, match="LLMOS_HOME/keys/owner") as caught,
    ):
        client.models.list()
    assert caught.value.code == "invalid_api_key"


def test_an_unknown_model_raises_the_clients_not_found_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="dialogue") as caught:
        client.chat.completions.create(model="dialog", messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_prompt_that_is_too_long_raises_the_clients_bad_request_error(
    client: openai.OpenAI, model: FakeModel
) -> None:
    model.enqueue(PromptTooLong("The prompt has 9,120 tokens; the model accepts 8,192.", param="messages"))
    with pytest.raises(openai.BadRequestError, match="9,120") as caught:
        client.chat.completions.create(model="dialogue", messages=HELLO, stream=True)
    assert (caught.value.code, caught.value.type) == ("context_length_exceeded", "invalid_request_error")


def test_an_unsupported_field_raises_the_clients_bad_request_error(client: openai.OpenAI) -> None:
    functions: Any = [{"name": "f", "parameters": {}}]
    with pytest.raises(openai.BadRequestError, match="Send `tools`") as caught:
        client.chat.completions.create(model="dialogue", messages=HELLO, functions=functions)
    assert caught.value.param == "functions"


def test_a_body_that_is_too_large_gets_its_error_while_it_is_sent(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.completions.create(model="dialogue", prompt="x" * 40_000_000)
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")


def test_a_dead_replica_raises_the_clients_server_error(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue(ReplicaFailed("The process died."))
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="dialogue", messages=HELLO)
    assert caught.value.code == "replica_failed"


def test_an_error_in_a_stream_raises_the_clients_api_error(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue("Hel", ReplicaFailed("The process died."))
    stream = client.chat.completions.create(model="dialogue", messages=HELLO, stream=True)
    pieces = []

    def read() -> None:
        for chunk in stream:
            pieces.append(chunk.choices[0].delta.content or "")

    with pytest.raises(openai.APIError, match="The process died") as caught:
        read()
    assert "".join(pieces) == "Hel"
    assert caught.value.code == "replica_failed"


@pytest.mark.own_gateway
def test_a_draining_server_raises_the_clients_server_error(client: openai.OpenAI, services: Services) -> None:
    services.readiness.is_draining = True
    with pytest.raises(openai.InternalServerError) as caught:
        client.models.list()
    assert caught.value.status_code == 503


@pytest.mark.own_gateway
def test_closing_a_stream_stops_the_call(client: openai.OpenAI, model: FakeModel) -> None:
    model.enqueue("Hel", model.never)
    stream = client.chat.completions.create(model="dialogue", messages=HELLO, stream=True)
    next(iter(stream))
    stream.close()
    assert model.was_closed_early.wait(10)
    assert model.closed_early == [model.requests[0].id]
