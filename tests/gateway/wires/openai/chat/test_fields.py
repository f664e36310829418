"""The fields of a chat request: what they mean, and how invalid ones are rejected."""

import json
from typing import Any

import pytest

from llmos.core.errors import BadRequest
from llmos.gateway.http.requests import decode
from llmos.gateway.wires.openai.chat.fields import ChatRequest
from llmos.security.callers import owner

pytestmark = pytest.mark.shared_gateway

HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def refused(body: bytes | dict[str, Any], kind: Any = ChatRequest) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode(body if isinstance(body, bytes) else json.dumps(body).encode(), kind).call(owner())
    return caught.value


def chat(**more: Any) -> ChatRequest:
    return decode(json.dumps(HELLO | more).encode(), ChatRequest)


@pytest.mark.parametrize(
    "fields",
    [
        {"functions": [{"name": "f"}]},
        {"guided_json": {}},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "alloy", "format": "wav"}},
        {"web_search_options": {}},
        {"mirostat": 2},
        {"repeat_last_n": 64},
        {"think": False},
        {"format": "json"},
        {"prompt": "Hello"},
        {"enable_thinking": True},
        {"reasoning": {"effort": "low"}},
        {"extra_body": {"top_k": 5}},
        {"echo": True},
        {"use_beam_search": True},
    ],
)
def test_unsupported_fields_are_rejected_by_name(fields: dict[str, Any]) -> None:
    (name,) = fields
    error = refused(HELLO | fields)
    assert error.param == name
    assert f"`{name}` is not supported" in error.message


@pytest.mark.parametrize(
    "fields",
    [
        {"store": False},
        {"service_tier": "auto"},
        {"safety_identifier": "x"},
        {"prompt_cache_key": "x"},
        {"parallel_tool_calls": True},
        {"tools": []},
        {"tool_choice": "none"},
        {"response_format": {"type": "text"}},
        {"modalities": ["text"]},
        {"use_beam_search": False, "length_penalty": 1.0, "skip_special_tokens": True, "early_stopping": False},
        {"max_tokens": -1},
        {"max_completion_tokens": -1},
        {"tools": None, "response_format": None, "temperature": None, "stop": None, "seed": None, "zzz": None},
    ],
)
def test_neutral_values_of_unsupported_fields_are_accepted(fields: dict[str, Any]) -> None:
    assert chat(**fields).call(owner()) == chat().call(owner())


def test_an_empty_list_of_messages_is_rejected() -> None:
    assert refused(HELLO | {"messages": []}).param == "messages"


def test_the_parts_of_a_text_are_joined() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    messages = chat(messages=[{"role": "user", "content": parts}]).call(owner()).prompts[0].messages
    assert messages == [{"role": "user", "content": "one\ntwo"}]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f"}},
    ],
)
def test_parts_other_than_text_are_rejected(part: dict[str, Any]) -> None:
    error = refused(HELLO | {"messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}, part]}]})
    assert error.param == "messages[0].content[1].type"
    assert part["type"] in error.message


def test_the_developer_role_becomes_system() -> None:
    call = chat(messages=[{"role": "developer", "content": "Be brief."}, *HELLO["messages"]]).call(owner())
    assert [message["role"] for message in call.prompts[0].messages or []] == ["system", "user"]


@pytest.mark.parametrize("role", ["function", "User", ""])
def test_an_unknown_role_is_rejected(role: str) -> None:
    assert refused(HELLO | {"messages": [{"role": role, "content": "x"}]}).param == "messages[0].role"


def test_an_answer_of_the_openai_client_is_accepted_as_a_message() -> None:
    came_out = {
        "role": "assistant", "content": "Hi", "refusal": None, "annotations": [], "audio": None,
        "function_call": None, "tool_calls": None,
    }  # fmt: skip
    messages = chat(messages=[*HELLO["messages"], came_out, *HELLO["messages"]]).call(owner()).prompts[0].messages
    assert messages is not None
    assert messages[1] == {"role": "assistant", "content": "Hi"}


def test_the_two_names_of_the_token_limit_must_agree() -> None:
    assert chat(max_tokens=7).call(owner()).sampling.params.max_tokens == 7
    assert chat(max_completion_tokens=7).call(owner()).sampling.params.max_tokens == 7
    assert chat(max_completion_tokens=7, max_tokens=7).call(owner()).sampling.params.max_tokens == 7
    assert chat().call(owner()).sampling.params.max_tokens is None
    assert refused(HELLO | {"max_completion_tokens": 7, "max_tokens": 8}).param == "max_tokens"


def test_top_logprobs_requires_logprobs() -> None:
    assert chat().call(owner()).sampling.params.logprobs is None
    assert chat(logprobs=True).call(owner()).sampling.params.logprobs == 0
    assert chat(logprobs=True, top_logprobs=3).call(owner()).sampling.params.logprobs == 3
    assert refused(HELLO | {"top_logprobs": 3}).param == "top_logprobs"


def test_stream_options_require_a_stream() -> None:
    assert refused(HELLO | {"stream_options": {"include_usage": True}}).param == "stream_options"


def test_every_sampling_field_reaches_the_engine() -> None:
    asked = {
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "repetition_penalty": 1.1,
        "presence_penalty": 0.2, "frequency_penalty": 0.3, "seed": 42, "stop_token_ids": [3], "ignore_eos": True,
        "include_stop": True, "min_tokens": 2, "n": 3,
    }  # fmt: skip
    sampling = chat(**asked, logit_bias={"5": -100}, stop="END").call(owner()).sampling.params
    assert {name: getattr(sampling, name) for name in asked} == asked
    assert sampling.logit_bias == {5: -100.0}
    assert sampling.stop == ["END"]


def test_repeat_penalty_is_another_name_of_repetition_penalty() -> None:
    assert chat(repeat_penalty=1.1).call(owner()) == chat(repetition_penalty=1.1).call(owner())
    assert chat(repeat_penalty=1.1, repetition_penalty=1.1).call(owner()).sampling.params.repetition_penalty == 1.1
    assert refused(HELLO | {"repeat_penalty": 1.1, "repetition_penalty": 1.2}).param == "repeat_penalty"


def test_top_k_minus_one_is_vllms_name_of_all_tokens() -> None:
    assert chat(top_k=-1).call(owner()) == chat(top_k=0).call(owner())


@pytest.mark.parametrize("arguments", [None, "", " ", "null", "[]", '""', "{}"])
def test_no_arguments_may_be_written_in_several_ways(arguments: str | None) -> None:
    """Go programs write null, and PHP programs [], where others write {}."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    turns = [*HELLO["messages"], {"role": "assistant", "tool_calls": [call]}]
    result = {"role": "tool", "tool_call_id": "c", "content": None}
    (prompt,) = chat(messages=[*turns, result]).call(owner()).prompts
    assert prompt.messages is not None
    assert prompt.messages[1]["tool_calls"][0]["function"]["arguments"].strip() in ("", "{}")
    assert prompt.messages[2]["content"] == ""


def test_an_earlier_answer_is_taken_back_as_other_servers_name_its_parts() -> None:
    said = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "reasoning": "Hm.",
            "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}],
            "provider_specific_fields": {"refusal": None}, "extra_content": {"google": {}}}  # fmt: skip
    asked = {"role": "user", "content": "Why?", "cache_control": {"type": "ephemeral"}}
    (prompt,) = chat(messages=[*HELLO["messages"], said, asked]).call(owner()).prompts
    assert prompt.messages is not None
    assert prompt.messages[1] == {"role": "assistant", "content": "No.", "reasoning_content": "Hm."}


@pytest.mark.parametrize(("kind", "advice"), [("image_url", "text only"), ("input_text", "it accepts text")])
def test_other_parts_of_a_message_are_rejected_by_their_type(kind: str, advice: str) -> None:
    error = refused(HELLO | {"messages": [{"role": "user", "content": [{"type": kind, "text": "Hello"}]}]})
    assert (error.param, advice in error.message) == ("messages[0].content[0].type", True)
