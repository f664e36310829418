"""The names that other people's programs are written against. A change here breaks them: say so in CHANGELOG."""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

import llmos
from llmos import client
from llmos.client.calls import CallOptions, ChatOptions, JSONModel, Sampling

SAMPLING = {
    "max_tokens": "int",
    "min_tokens": "int",
    "temperature": "float",
    "top_p": "float",
    "top_k": "int",
    "min_p": "float",
    "repetition_penalty": "float",
    "presence_penalty": "float",
    "frequency_penalty": "float",
    "logit_bias": "dict[int, float]",
    "seed": "int",
    "stop": "str | collections.abc.Sequence[str]",
    "stop_token_ids": "collections.abc.Sequence[int]",
    "ignore_eos": "bool",
}


def parameters_of(function: Any) -> list[str]:
    """The parameters with their defaults and without their types: `name`, `name=default`, `*` before keywords."""
    signature = inspect.signature(function)
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    bare = signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)
    return str(bare).strip("()").split(", ")


def test_the_package_offers_these_names() -> None:
    assert sorted(llmos.__all__) == ["AsyncClient", "Client", "LLMOSError", "__version__"]
    assert all(getattr(llmos, name) for name in llmos.__all__)


def test_the_client_room_offers_these_names() -> None:
    assert sorted(client.__all__) == [
        "Answer", "AsyncClient", "AsyncModel", "AsyncStream", "Client", "DeploymentInfo", "Embeddings",
        "Likelihood", "Model", "ModelInfo", "RouteInfo", "Stream", "TokenCount", "ToolCall", "Usage",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [client.Client, client.AsyncClient])
def test_a_client_takes_these_options(kind: Any) -> None:
    assert parameters_of(kind) == [
        "endpoint=None", "*", "api_key=None", "ca=None", "timeout_seconds=600.0", "connect_timeout_seconds=5.0",
        "max_retries=2", "transport=None",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [client.Model, client.AsyncModel])
def test_a_model_takes_these_calls(kind: Any) -> None:
    assert parameters_of(kind.generate_text) == ["self", "prompt", "*", "raw=False", "stream=False", "**sampling"]
    assert parameters_of(kind.embed) == [
        "self", "texts", "*", "dimensions=None", "truncate=False", "prompt_name=None",
    ]  # fmt: skip
    assert parameters_of(kind.chat) == ["self", "messages", "*", "stream=False", "**sampling"]


def test_these_are_the_sampling_options() -> None:
    assert {
        name: str(hint.__name__ if type(hint) is type else hint) for name, hint in Sampling.__annotations__.items()
    } == SAMPLING


def test_these_are_the_other_options_of_a_call() -> None:
    others = CallOptions.__annotations__.keys() - Sampling.__annotations__.keys()
    assert {name: CallOptions.__annotations__[name] for name in others} == {
        "priority": int, "user": str, "cache_salt": str, "regex": str, "choice": Sequence[str],
        "format": Mapping[str, Any] | JSONModel | Literal["json"],
    }  # fmt: skip


def test_these_are_the_further_options_of_a_conversation() -> None:
    assert ChatOptions.__annotations__.keys() - CallOptions.__annotations__.keys() == {
        "tools", "tool_choice", "parallel_tool_calls",
    }  # fmt: skip


def test_the_engine_knows_every_sampling_option_of_the_client() -> None:
    from llmos.engine.messages import SamplingParams

    assert set(SAMPLING) <= set(SamplingParams.__struct_fields__)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (
            client.Answer,
            ["id", "text", "model", "version", "finish_reason", "usage", "reasoning", "tool_calls", "warnings"],
        ),
        (client.ToolCall, ["id", "name", "arguments"]),
        (client.Embeddings, ["vectors", "model", "version", "usage"]),
        (
            client.Usage,
            ["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cost", "currency"],
        ),
    ],
)
def test_results_have_these_fields_and_cannot_be_changed(kind: Any, fields: list[str]) -> None:
    assert [field.name for field in dataclasses.fields(kind)] == fields
    assert kind.__dataclass_params__.frozen


@pytest.mark.parametrize("kind", [client.Stream, client.AsyncStream])
def test_a_stream_has_these_properties_and_can_be_closed(kind: Any) -> None:
    properties = {name for name, member in inspect.getmembers(kind) if isinstance(member, property)}
    assert properties == {
        "answer", "id", "text", "model", "version", "finish_reason", "usage", "reasoning", "tool_calls", "warnings",
    }  # fmt: skip
    assert hasattr(kind, "close")


def public_names(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("blocking", "asynchronous"), [(client.Client, client.AsyncClient), (client.Model, client.AsyncModel)]
)
def test_both_clients_can_do_the_same(blocking: type, asynchronous: type) -> None:
    assert public_names(blocking) == public_names(asynchronous)
