"""Parsing of requests: the bytes of a body become a struct, or an error that names the field."""

import json
import re
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.core.errors import BadRequest
from llmos.gateway.http.requests import RequestObject, Variants, convert, decode, decode_object
from llmos.gateway.wires.llmos.generate.fields import GenerateRequest
from llmos.gateway.wires.openai.chat.fields import ChatRequest
from llmos.gateway.wires.openai.completions.fields import CompletionRequest
from llmos.security.callers import owner
from support.examples import examples

HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def refused(body: bytes | dict[str, Any], kind: Any = ChatRequest) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode(body if isinstance(body, bytes) else json.dumps(body).encode(), kind).call(owner())
    return caught.value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"hello", "not valid JSON"),
        (b'{"model": ', "not valid JSON"),
        (b'{"model": "m"} {}', "not valid JSON"),
        (b'{"temperature": NaN}', "not valid JSON"),
        (b'{"model": "\xff\xfe"}', "UTF-8"),
        (b"\xff", "not valid JSON"),
        (b"[" * 1_000_000, "nested too deeply"),
        (b'{"a":' * 1_000_000, "nested too deeply"),
        (b"[]", "must be a JSON object; this one is an array"),
        (b'"text"', "a string"),
        (b"null", "null"),
        (b"1e999", "not valid JSON: number out of range."),
    ],
)
def test_a_body_that_is_not_a_json_object_is_rejected_with_the_reason(body: bytes, reason: str) -> None:
    assert reason in refused(body).message


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (r"\ud83d", "\ufffd"),
        (r"\ud83d and more", "\ufffd and more"),
        (r"\udc00\ud83d\ude00\uD83D", "\ufffd😀\ufffd"),
        (r"\\ud83d \ud83d", "\\ud83d \ufffd"),
        (r"\\\ud83d\"\n", '\\\ufffd"\n'),
        (r"\ud83d\u0041", "\ufffdA"),
    ],
)
def test_half_a_surrogate_pair_becomes_the_replacement_character(sent: str, read: str) -> None:
    """JavaScript programs that cut a text inside an emoji send one, and keep it in the history of the conversation."""
    body = b'{"model": "m", "messages": [{"role": "user", "content": "%b"}]}' % sent.encode()
    assert decode(body, ChatRequest).messages[0].content == read


def test_only_fields_that_are_taken_are_suggested() -> None:
    assert refused(HELLO | {"predictions": 1}).message == "There is no field `predictions`. Leave it out."


@pytest.mark.parametrize(
    ("fields", "param", "accepted"),
    [
        ({"response_format": {"type": "json"}}, "response_format.type", "json_object, json_schema, text"),
        ({"reasoning_effort": "ultra"}, "reasoning_effort", "high, low, max, medium, minimal, none, xhigh"),
    ],
)
def test_a_value_that_is_none_of_a_fields_names_them(fields: dict[str, Any], param: str, accepted: str) -> None:
    error = refused(HELLO | fields)
    assert (error.param, error.message.partition("; ")[2]) == (param, f"it accepts {accepted}.")


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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(150), deadline=None)
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


def test_a_type_that_is_null_is_missing() -> None:
    drawing = decode(b'{"shapes": "", "frame": {"type": null, "radius": 2}}', Drawing)
    assert drawing == Drawing(shapes="", frame=Circle(radius=2))


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"shapes": [{"type": "photo"}]}, "shapes[0].type", "is 'photo': draw it"),
        ({"shapes": [{"type": "zigzag"}]}, "shapes[0].type", "accepts circle, group"),
        ({"shapes": [{"type": ["circle"]}]}, "shapes[0].type", "accepts circle, group"),
        ({"shapes": [{"radius": 1}]}, "shapes[0].type", "missing"),
        ({"shapes": [{"type": None, "radius": 1}]}, "shapes[0].type", "missing"),
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


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("limit=1&limit=2", "`limit` is given twice"),
        ("state=null", "`state` is 'null'"),
        ("limit=many", "`limit` is wrong"),
        ("after=job%00", "NUL"),
        ("limitt=1", "Did you mean `limit`?"),
    ],
)
async def test_an_ambiguous_query_is_refused(http: httpx.AsyncClient, query: str, reason: str) -> None:
    reply = await http.get(f"/llmos/v1/jobs?{query}")
    assert reply.status_code == 400
    assert reason in reply.json()["error"]["message"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path", ["/llmos/v1/rollouts/abc", "/llmos/v1/rollouts/1.5/history", f"/llmos/v1/rollouts/{2**63}"]
)
async def test_a_path_with_a_value_of_another_type_leads_to_nothing(http: httpx.AsyncClient, path: str) -> None:
    reply = await http.get(path)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (404, "not_found", "id")
    assert path in error["message"]


_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.one_of(st.none(), st.floats(0, 2), st.integers(0, 2)),
    "max_tokens": st.one_of(st.none(), st.integers(-1, 100), st.just(1.0), st.just("1")),
    "stop": st.one_of(st.text(), st.lists(st.text()), st.none()),
    "logit_bias": st.dictionaries(st.sampled_from(["1", "7", "x"]), st.integers(-5, 5)),
    "stream": st.one_of(st.booleans(), st.none()),
    "store": st.booleans(),
    "metadata": st.dictionaries(st.text(max_size=3), st.integers()),
    "tools": st.lists(
        st.sampled_from(
            [
                {"type": "function", "function": {"name": "f"}},
                {"type": "web_search"},
                {"function": {"name": "f"}},
                {"type": "function", "function": {"name": "f", "strict": None}, "cache_control": {}},
            ]
        ),
        max_size=2,
    ),
    "unknown": st.just(1),
}


@settings(max_examples=examples(200))
@given(fields=st.fixed_dictionaries({}, optional=_VALUES), content=st.one_of(st.text(), st.none()))
def test_a_body_that_is_read_at_once_is_read_as_field_by_field(fields: dict[str, Any], content: str | None) -> None:
    body = json.dumps({**HELLO, "messages": [{"role": "user", "content": content}], **fields}).encode()

    def read(reader: Any) -> Any:
        try:
            return reader()
        except BadRequest as error:
            return error.message, error.param

    assert read(lambda: decode(body, ChatRequest)) == read(lambda: convert(decode_object(body), ChatRequest))
