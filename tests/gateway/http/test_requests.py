"""What a request's bytes may be, and how a wrong one is refused."""

import json
import re
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.core.errors import BadRequest
from llmos.gateway.http.requests import RequestObject, Variants, decode
from llmos.gateway.wires.llmos.generate.fields import GenerateRequest
from llmos.gateway.wires.openai.chat.fields import ChatRequest
from llmos.gateway.wires.openai.completions.fields import CompletionRequest
from llmos.security.callers import owner

HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def refused(body: bytes | dict[str, Any], kind: Any = ChatRequest) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode(body if isinstance(body, bytes) else json.dumps(body).encode(), kind).call(owner())
    return caught.value


def chat(**more: Any) -> ChatRequest:
    return decode(json.dumps(HELLO | more).encode(), ChatRequest)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"hello", "not valid JSON"),
        (b'{"model": ', "not valid JSON"),
        (b'{"model": "m"} {}', "not valid JSON"),
        (b'{"temperature": NaN}', "not valid JSON"),
        (b'{"model": "\\ud800"}', "not valid JSON"),
        (b'{"model": "\xff\xfe"}', "UTF-8"),
        (b"\xff", "not valid JSON"),
        (b"[" * 1_000_000, "nested too deeply"),
        (b'{"a":' * 1_000_000, "nested too deeply"),
        (b"[]", "must be a JSON object; this one is an array"),
        (b'"text"', "a string"),
        (b"null", "null"),
        (b"1e999", "not valid JSON"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_rejected_with_the_reason(body: bytes, reason: str) -> None:
    assert reason in refused(body).message


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"temperature": "hot"}, "temperature", "expected number, got string"),
        ({"n": 1.5}, "n", "expected integer, got number"),
        ({"n": True}, "n", "expected integer, got boolean"),
        ({"n": 0}, "n", ">= 1"),
        ({"stream": "yes"}, "stream", "expected boolean"),
        ({"model": 7}, "model", "expected string"),
        ({"stop": [1]}, "stop[0]", "expected string"),
        ({"seed": 2**70}, "seed", "<= "),
        ({"logit_bias": {"x": 1}}, "logit_bias", "expected integer"),
        ({"messages": "Hello"}, "messages", "expected array"),
        ({"messages": {"role": "user", "content": "x"}}, "messages", "expected array"),
        ({"stream_options": []}, "stream_options", "expected object"),
        ({"messages": ["Hello"]}, "messages[0]", "expected object"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "missing"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing"),
        ({"messages": [*HELLO["messages"], {"role": "user", "content": 5}]}, "messages[1].content", "string | array"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type", "missing"),
        ({"stream_options": {"include_usage": 1}, "stream": True}, "stream_options.include_usage", "expected boolean"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs", "<= 20"),
    ],
)
def test_a_wrong_type_names_its_field(fields: dict[str, Any], param: str, reason: str) -> None:
    error = refused(HELLO | fields)
    assert error.param is not None
    assert error.param.startswith(param)
    assert reason in error.message
    assert param in error.message


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_a_missing_field_is_named(missing: str) -> None:
    error = refused({name: value for name, value in HELLO.items() if name != missing})
    assert error.param == missing
    assert "missing" in error.message


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [("temprature", "temperature"), ("max_token", "max_tokens"), ("topp", "top_p"), ("tool", "tools")],
)
def test_an_unknown_field_is_rejected_with_the_nearest_one(unknown: str, meant: str) -> None:
    error = refused(HELLO | {unknown: 1})
    assert error.param == unknown
    assert f"`{meant}`" in error.message


def test_an_unknown_field_without_a_similar_one_is_rejected_without_a_suggestion() -> None:
    assert "Leave it out" in refused(HELLO | {"zzzzzz": 1}).message


@pytest.mark.parametrize(
    "fields",
    [
        {"functions": [{"name": "f"}]},
        {"guided_json": {}},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "alloy", "format": "wav"}},
        {"verbosity": "low"},
        {"web_search_options": {}},
        {"store": True},
        {"service_tier": "flex"},
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
        {"metadata": {"a": "b"}},
        {"store": False},
        {"service_tier": "auto"},
        {"safety_identifier": "x"},
        {"prompt_cache_key": "x"},
        {"parallel_tool_calls": True},
        {"tools": []},
        {"tool_choice": "none"},
        {"response_format": {"type": "text"}},
        {"modalities": ["text"]},
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


@pytest.mark.parametrize(
    ("prompt", "texts", "tokens"),
    [
        ("a", ["a"], [None]),
        (["a", "b"], ["a", "b"], [None, None]),
        ([1, 2, 3], [None], [[1, 2, 3]]),
        ([[1, 2], [3]], [None, None], [[1, 2], [3]]),
        (["a", [1]], ["a", None], [None, [1]]),
    ],
)
def test_a_completion_prompt_has_four_forms(prompt: Any, texts: Any, tokens: Any) -> None:
    prompts = decode(json.dumps({"model": "m", "prompt": prompt}).encode(), CompletionRequest).call(owner()).prompts
    assert [each.text for each in prompts] == texts
    assert [each.tokens for each in prompts] == tokens


@pytest.mark.parametrize("prompt", [[], [[]], [1, "a"], [[1], 2], [-1], [2**31], [1.5], {}, 5, [["a"]]])
def test_an_invalid_prompt_is_rejected(prompt: Any) -> None:
    assert (refused({"model": "m", "prompt": prompt}, CompletionRequest).param or "").startswith("prompt")


@pytest.mark.parametrize(
    "fields",
    [{"suffix": "end"}, {"best_of": 3}, {"echo": True, "logprobs": 1}, {"prompt": ["x"] * 600, "n": 2}],
)
def test_a_completion_rejects_unsupported_fields(fields: dict[str, Any]) -> None:
    assert refused({"model": "m", "prompt": "x"} | fields, CompletionRequest).param in fields


def test_completions_have_the_defaults_of_openai() -> None:
    call = decode(b'{"model": "m", "prompt": "x", "best_of": 1, "suffix": null}', CompletionRequest).call(owner())
    assert call.sampling.params.max_tokens == 16
    assert call.sampling.params.temperature == 1.0


def test_generate_uses_the_chat_template_unless_the_prompt_is_raw() -> None:
    (prompt,) = decode(b'{"model": "m", "prompt": "x"}', GenerateRequest).call(owner()).prompts
    assert (prompt.text, prompt.user_text, prompt.messages) == (None, "x", None)
    (raw,) = decode(b'{"model": "m", "prompt": "x", "raw": true}', GenerateRequest).call(owner()).prompts
    assert (raw.text, raw.user_text, raw.messages) == ("x", None, None)


@pytest.mark.parametrize("field", ["n", "messages", "logprobs", "echo"])
def test_generate_names_the_endpoint_that_supports_a_field(field: str) -> None:
    assert "/v1/" in refused({"model": "m", "prompt": "x", field: 2}, GenerateRequest).message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*ChatRequest.__struct_fields__, "tools", "store", "x"]), json_values),
    st.sampled_from([ChatRequest, CompletionRequest, GenerateRequest]),
)
def test_any_json_object_is_accepted_or_rejected_with_a_message(fields: dict[str, Any], kind: Any) -> None:
    complaint = ""
    try:
        decode(json.dumps(HELLO | fields).encode(errors="surrogatepass"), kind).call(owner())
    except BadRequest as error:
        complaint = error.message
    assert complaint[-1:] in ("", ".", "?")


class Circle(RequestObject, tag_field="type", tag="circle", kw_only=True):
    radius: float

    harmless = frozenset({"colour"})


class Group(RequestObject, tag_field="type", tag="group", kw_only=True):
    shapes: list[Circle]

    variants: ClassVar = {"shapes": Variants({"circle": Circle})}


class Drawing(RequestObject, kw_only=True):
    shapes: str | list[Circle | Group]
    frame: Circle | None = None

    variants: ClassVar = {
        "shapes": Variants({"circle": Circle, "group": Group}, {"photo": "draw it."}),
        "frame": Variants({"circle": Circle}, {"": "Only circles frame."}, default="circle"),
    }


def test_objects_of_several_kinds_are_distinguished_by_their_type() -> None:
    circle = {"type": "circle", "radius": 1, "colour": "red"}
    drawing = decode(
        json.dumps({"shapes": [circle, {"type": "group", "shapes": [circle]}], "frame": {"radius": 2}}).encode(),
        Drawing,
    )
    assert drawing == Drawing(shapes=[Circle(radius=1), Group(shapes=[Circle(radius=1)])], frame=Circle(radius=2))


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"shapes": [{"type": "photo"}]}, "shapes[0].type", "is 'photo': draw it"),
        ({"shapes": [{"type": "zigzag"}]}, "shapes[0].type", "accepts circle, group"),
        ({"shapes": [{"type": ["circle"]}]}, "shapes[0].type", "accepts circle, group"),
        ({"shapes": [{"radius": 1}]}, "shapes[0].type", "missing"),
        ({"shapes": [1]}, "shapes[0]", "expected object"),
        ({"shapes": 1}, "shapes", "expected string | array"),
        ({"shapes": [{"type": "circle", "radios": 1}]}, "shapes[0].radios", "`radius`"),
        ({"shapes": [{"type": "group", "shapes": [{"type": "circle"}]}]}, "shapes[0].shapes[0].radius", "missing"),
        ({"shapes": [{"type": "group", "shapes": [{"type": "group"}]}]}, "shapes[0].shapes[0].type", "accepts circle"),
        ({"shapes": "", "frame": {"type": "square"}}, "frame.type", "Only circles"),
        ({"shapes": "", "frame": {"radius": "wide"}}, "frame.radius", "expected number"),
    ],
)
def test_an_unknown_type_is_rejected_with_its_path(fields: dict[str, Any], param: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(reason)) as caught:
        decode(json.dumps(fields).encode(), Drawing)
    assert caught.value.param == param
