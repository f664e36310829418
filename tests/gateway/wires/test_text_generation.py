"""Chat, completions and generate with a scripted model, complete and streamed."""

from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import BadRequest, PromptTooLong, ReplicaFailed, Unavailable
from llmos.engine.messages import Delta, TokenLogprob
from llmos.gateway.http import sse
from llmos.gateway.http.error_formats import openai_error
from llmos.gateway.wires.llmos.generate.answers import GeneratedAnswer, GeneratedPiece
from llmos.gateway.wires.openai.chat.answers import ChatCompletion, ChatCompletionChunk
from llmos.gateway.wires.openai.completions.answers import Completion
from support.fake_backend import FakeModel, token
from support.scripted import FakeVersion, events

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]

CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}
COMPLETION = {"model": "dialogue", "prompt": "Once"}
PROMPT = {"model": "dialogue", "prompt": "Once"}
HARD = '"\\\n\t\x00\u2028 “é” 你好 👩\u200d💻'
ROUTES = [("/v1/chat/completions", CHAT), ("/v1/completions", COMPLETION), ("/llmos/v1/generate", PROMPT)]


def delta(index: int = 0, **fields: Any) -> Delta:
    return Delta(id="any", index=index, **fields)


def usage(prompt_tokens: int, completion_tokens: int, total_tokens: int, cached_tokens: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": total_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }


_J = {"token": "J", "logprob": -1.5, "bytes": [74]}


async def test_a_conversation_is_answered_by_a_named_version(http: httpx.AsyncClient, model: FakeModel) -> None:
    reply = await http.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == 200
    completion = reply.json()
    assert completion["object"] == "chat.completion"
    assert completion["id"].startswith("chatcmpl-")
    assert completion["model"] == "smollm2@1"
    assert completion["system_fingerprint"] == "fp_0123456789ab"
    assert completion["usage"] == usage(5, 3, 8)
    (choice,) = completion["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert choice["logprobs"] is None
    assert model.requests[0].messages == CHAT["messages"]


async def test_each_choice_keeps_its_text_reason_and_tokens(http: httpx.AsyncClient, model: FakeModel) -> None:
    model.enqueue(
        delta(1, text="one", num_output_tokens=1),
        delta(0, text="zero", finish_reason="length", num_output_tokens=4),
        delta(1, text="!", finish_reason="stop", num_output_tokens=2),
    )
    completion = (await http.post("/v1/chat/completions", json=CHAT | {"n": 2})).json()
    assert [(each["index"], each["message"]["content"], each["finish_reason"]) for each in completion["choices"]] == [
        (0, "zero", "length"),
        (1, "one!", "stop"),
    ]
    assert completion["usage"]["completion_tokens"] == 6


async def test_a_streamed_conversation_is_a_role_then_text_then_a_reason(http: httpx.AsyncClient) -> None:
    reply = await http.post("/v1/chat/completions", json=CHAT | {"stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.text.endswith("data: [DONE]\n\n")
    chunks = events(reply.text)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert all("usage" not in chunk for chunk in chunks)


async def test_streamed_choices_carry_their_index(http: httpx.AsyncClient) -> None:
    chunks = events((await http.post("/v1/chat/completions", json=CHAT | {"stream": True, "n": 3})).text)
    for index in range(3):
        own = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == index]
        assert "".join(each["delta"].get("content", "") for each in own) == "Hello"
        assert own[0]["delta"]["role"] == "assistant"
        assert own[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize(("path", "body"), ROUTES[:2])
async def test_the_usage_of_a_stream_comes_last_and_only_when_asked(
    http: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = events((await http.post(path, json=body | asked)).text)
    assert last["choices"] == []
    assert last["usage"] == usage(5, 3, 8)
    assert all(chunk["usage"] is None for chunk in chunks)


async def test_a_token_that_completes_no_character_sends_nothing(http: httpx.AsyncClient, model: FakeModel) -> None:
    model.enqueue(delta(num_output_tokens=1), delta(text="é", num_output_tokens=2))
    chunks = events((await http.post("/v1/completions", json=COMPLETION | {"stream": True})).text)
    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["é", ""]


async def test_logprobs_of_a_conversation(http: httpx.AsyncClient, model: FakeModel) -> None:
    script = [
        delta(text="Hé", logprobs=[token("H", -0.25, ("J", -1.5)), token("é", float("-inf"))], num_output_tokens=2)
    ]
    expected = [
        {
            "token": "H",
            "logprob": -0.25,
            "bytes": [72],
            "top_logprobs": [{"token": "J", "logprob": -1.5, "bytes": [74]}],
        },
        {"token": "é", "logprob": -9999.0, "bytes": [195, 169], "top_logprobs": []},
    ]
    asked = CHAT | {"logprobs": True, "top_logprobs": 1}
    model.enqueue(*script)
    whole = (await http.post("/v1/chat/completions", json=asked)).json()
    assert whole["choices"][0]["logprobs"] == {"content": expected, "refusal": None}
    model.enqueue(*script)
    chunks = events((await http.post("/v1/chat/completions", json=asked | {"stream": True})).text)
    assert chunks[1]["choices"][0]["logprobs"]["content"] == expected
    assert model.requests[0].sampling.logprobs == 1


async def test_logprobs_of_a_completion_keep_parts_of_characters_apart(
    http: httpx.AsyncClient, model: FakeModel
) -> None:
    def part(data: bytes, *top: bytes) -> TokenLogprob:
        other = [(8, each.decode(errors="replace"), each, -2.0) for each in top]
        return TokenLogprob(7, data.decode(errors="replace"), data, -0.5, other)

    cat = "😀".encode()
    tokens = [part(cat[:2], cat[:2], b"\xf0\x9d"), part(cat[2:], cat[2:], b"\x99\x81"), part("é!".encode()), part(b"?")]
    script = [
        delta(text="", logprobs=tokens[:1], num_output_tokens=1),
        delta(text="😀é!?", logprobs=tokens[1:], num_output_tokens=4),
    ]
    expected = {
        "tokens": ["bytes:\\xf0\\x9f", "bytes:\\x98\\x80", "é!", "?"],
        "token_logprobs": [-0.5] * 4,
        "top_logprobs": [
            {"bytes:\\xf0\\x9f": -2.0, "bytes:\\xf0\\x9d": -2.0},
            {"bytes:\\x98\\x80": -2.0, "bytes:\\x99\\x81": -2.0},
            {"é!": -0.5},
            {"?": -0.5},
        ],
        "text_offset": [0, 0, 1, 3],
    }
    model.enqueue(*script)
    asked = COMPLETION | {"logprobs": 2}
    assert (await http.post("/v1/completions", json=asked)).json()["choices"][0]["logprobs"] == expected
    model.enqueue(*script)
    chunks = events((await http.post("/v1/completions", json=asked | {"stream": True})).text)
    pieces = [each for chunk in chunks if (each := chunk["choices"][0]["logprobs"])]
    assert {name: [item for piece in pieces for item in piece[name]] for name in expected} == expected


@pytest.mark.parametrize(("asked", "max_tokens"), [({}, 99), ({"max_tokens": 7}, 7)])
async def test_a_models_own_limit_applies_where_the_request_sets_none(
    http: httpx.AsyncClient, model: FakeModel, services: Any, asked: dict[str, Any], max_tokens: int
) -> None:
    services.registry.versions = [FakeVersion(sampling={"max_tokens": 99})]
    await http.post("/v1/chat/completions", json=CHAT | asked)
    assert model.requests[0].sampling.max_tokens == max_tokens


async def test_logprobs_of_a_completion_tell_where_each_token_begins(http: httpx.AsyncClient, model: FakeModel) -> None:
    script = [
        delta(text="Hel", logprobs=[token("Hel", -0.25, ("Hel", -0.25), ("Jel", -1.5))], num_output_tokens=1),
        delta(text="lo", logprobs=[token("l", -2.0, ("x", -0.5)), token("o", -1.0)], num_output_tokens=3),
    ]
    expected = {
        "tokens": ["Hel", "l", "o"],
        "token_logprobs": [-0.25, -2.0, -1.0],
        "top_logprobs": [{"Hel": -0.25, "Jel": -1.5}, {"x": -0.5, "l": -2.0}, {"o": -1.0}],
        "text_offset": [0, 3, 4],
    }
    model.enqueue(*script)
    whole = (await http.post("/v1/completions", json=COMPLETION | {"logprobs": 2})).json()
    assert whole["choices"][0]["logprobs"] == expected
    model.enqueue(*script)
    chunks = events((await http.post("/v1/completions", json=COMPLETION | {"logprobs": 2, "stream": True})).text)
    streamed = [chunk["choices"][0]["logprobs"] for chunk in chunks if chunk["choices"][0]["logprobs"]]
    assert {name: [item for part in streamed for item in part[name]] for name in expected} == expected


async def test_every_prompt_of_a_list_gets_its_choices(http: httpx.AsyncClient, model: FakeModel) -> None:
    model.enqueue("a")
    model.enqueue("b")
    completion = (
        await http.post("/v1/completions", json={"model": "dialogue", "prompt": ["A", [1, 2]], "n": 2})
    ).json()
    assert [(each["index"], each["text"]) for each in completion["choices"]] == [(0, "a"), (1, "a"), (2, "b"), (3, "b")]
    assert completion["usage"] == usage(10, 8, 18)
    assert [(each.text, each.tokens) for each in model.requests] == [("A", None), (None, [1, 2])]
    assert len({each.id for each in model.requests}) == 2


async def test_streamed_prompts_of_a_list_carry_their_index(http: httpx.AsyncClient, model: FakeModel) -> None:
    model.enqueue("a", "a")
    model.enqueue("b", "b")
    chunks = events((await http.post("/v1/completions", json=COMPLETION | {"prompt": ["A", "B"], "stream": True})).text)
    texts = {0: "", 1: ""}
    for chunk in chunks:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == {0: "aa", 1: "bb"}


@pytest.mark.parametrize(("path", "body"), ROUTES)
async def test_recommended_sampling_applies_to_missing_fields(
    http: httpx.AsyncClient, model: FakeModel, services: Any, path: str, body: dict[str, Any]
) -> None:
    services.registry.versions = [FakeVersion(sampling={"temperature": 0.2, "top_p": 0.9})]
    await http.post(path, json=body)
    await http.post(path, json=body | {"temperature": 1, "seed": 7})
    recommended, own = (request.sampling for request in model.requests)
    assert (recommended.temperature, recommended.top_p) == (0.2, 0.9)
    assert (own.temperature, own.top_p, own.seed) == (1.0, 0.9, 7)


async def test_echo_is_passed_to_the_engine(http: httpx.AsyncClient, model: FakeModel) -> None:
    await http.post("/v1/completions", json=COMPLETION | {"echo": True})
    assert model.requests[0].echo


async def test_a_generated_answer_has_the_requested_name_and_the_version(http: httpx.AsyncClient) -> None:
    answer = (await http.post("/llmos/v1/generate", json=PROMPT)).json()
    assert answer.pop("id").startswith("gen-")
    assert answer == {
        "object": "answer",
        "text": "Hello",
        "model": "dialogue",
        "version": "smollm2@1",
        "digest": "sha256:" + "0123456789abcdef" * 4,
        "finish_reason": "stop",
        "usage": usage(5, 3, 8),
    }


async def test_a_generated_stream_ends_with_the_fields_of_the_complete_answer(http: httpx.AsyncClient) -> None:
    plain = (await http.post("/llmos/v1/generate", json=PROMPT)).json()
    *pieces, last = events((await http.post("/llmos/v1/generate", json=PROMPT | {"stream": True})).text)
    assert [piece.keys() for piece in pieces] == [{"id", "text"}] * 2
    assert "".join(piece["text"] for piece in [*pieces, last]) == plain["text"]
    for field in ("model", "version", "digest", "finish_reason", "usage"):
        assert last[field] == plain[field]


@pytest.mark.parametrize(("raw", "user_text", "text"), [(False, "Once", None), (True, None, "Once")])
async def test_a_prompt_is_a_user_message_unless_it_is_raw(
    http: httpx.AsyncClient, model: FakeModel, raw: bool, user_text: str | None, text: str | None
) -> None:
    await http.post("/llmos/v1/generate", json=PROMPT | {"raw": raw})
    (request,) = model.requests
    assert (request.messages, request.user_text, request.text) == (None, user_text, text)


@pytest.mark.parametrize(("path", "body"), ROUTES)
@pytest.mark.parametrize("stream", [False, True])
async def test_events_encoded_by_hand_match_their_schemas(
    http: httpx.AsyncClient, model: FakeModel, path: str, body: dict[str, Any], stream: bool
) -> None:
    shape = {
        ("/v1/chat/completions", False): ChatCompletion,
        ("/v1/chat/completions", True): ChatCompletionChunk,
        ("/v1/completions", False): Completion,
        ("/v1/completions", True): Completion,
        ("/llmos/v1/generate", False): GeneratedAnswer,
        ("/llmos/v1/generate", True): GeneratedPiece,
    }[path, stream]
    model.enqueue(
        delta(text='"\\\n\t\x00\u2028 “é” 你好 👩‍💻', logprobs=[token("x", -1.0, ("y", -2.0))], num_output_tokens=1)
    )
    extra: dict[str, Any] = {"stream": stream}
    if path != "/llmos/v1/generate":
        extra["logprobs"] = 1 if path == "/v1/completions" else True
        extra |= {"stream_options": {"include_usage": True}} if stream else {}
    reply = await http.post(path, json=body | extra)
    documents = [msgspec.json.encode(each) for each in events(reply.text)] if stream else [reply.content]
    for document in documents:
        decoded = msgspec.json.decode(document, type=shape)
        spelled_again = msgspec.json.decode(msgspec.json.encode(decoded))
        assert spelled_again == msgspec.json.decode(document)


@pytest.mark.thorough
@given(st.text())
def test_an_event_is_one_line_for_every_reader(text: str) -> None:
    spelled = sse.event({"text": text})
    assert spelled.endswith(b"}\n\n")
    (line,) = spelled[:-2].decode().splitlines()
    assert msgspec.json.decode(line.removeprefix("data: ")) == {"text": text}


@pytest.mark.parametrize(("path", "body"), ROUTES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        PromptTooLong("The prompt has 9,120 tokens; the model accepts 8,192.", param="messages"),
        BadRequest("temperature is 9.", param="temperature"),
        ReplicaFailed("The process died."),
        Unavailable("The server is shutting down.", retry_after_seconds=5),
    ],
)
async def test_an_error_before_the_first_byte_keeps_its_status(
    http: httpx.AsyncClient, model: FakeModel, path: str, body: dict[str, Any], stream: bool, error: Any
) -> None:
    model.enqueue(error)
    reply = await http.post(path, json=body | {"stream": stream})
    assert reply.status_code == error.status
    assert reply.json() == openai_error(error)
    assert reply.headers.get("retry-after") == ("5" if error.retry_after_seconds else None)


@pytest.mark.parametrize(("path", "body"), ROUTES)
async def test_an_error_after_the_first_byte_is_the_last_event(
    http: httpx.AsyncClient, model: FakeModel, path: str, body: dict[str, Any]
) -> None:
    model.enqueue("Hel", ReplicaFailed("The process died."))
    reply = await http.post(path, json=body | {"stream": True})
    assert reply.status_code == 200
    *chunks, last = events(reply.text)
    assert chunks
    assert last == openai_error(ReplicaFailed("The process died."))
    assert "[DONE]" not in reply.text


@pytest.mark.parametrize(("path", "body"), ROUTES)
async def test_an_error_in_the_middle_of_a_plain_answer_has_its_status(
    http: httpx.AsyncClient, model: FakeModel, path: str, body: dict[str, Any]
) -> None:
    model.enqueue("Hel", ReplicaFailed("The process died."))
    reply = await http.post(path, json=body)
    assert reply.status_code == 502
    assert reply.json() == openai_error(ReplicaFailed("The process died."))


async def test_the_other_prompts_of_a_request_end_with_the_one_that_failed(
    http: httpx.AsyncClient, model: FakeModel
) -> None:
    model.enqueue("a", "b", "c")
    model.enqueue(PromptTooLong("The prompt has 9,120 tokens.", param="prompt"))
    reply = await http.post("/v1/completions", json=COMPLETION | {"prompt": ["short", "long"]})
    assert reply.json()["error"]["code"] == "context_length_exceeded"
    assert set(model.closed_early) == {request.id for request in model.requests}


async def test_an_answer_without_a_finish_reason_is_an_error(http: httpx.AsyncClient, model: FakeModel) -> None:
    model.enqueue("Hel", None)
    assert (await http.post("/v1/chat/completions", json=CHAT)).json()["error"]["code"] == "replica_failed"
    model.enqueue(delta(0, text="a", finish_reason="stop", num_output_tokens=1), delta(1, text="b"), None)
    stream = await http.post("/v1/chat/completions", json=CHAT | {"n": 2, "stream": True})
    assert events(stream.text)[-1]["error"]["code"] == "replica_failed"


async def test_an_internal_error_is_a_500_without_details(http: httpx.AsyncClient, model: FakeModel) -> None:
    model.enqueue(ZeroDivisionError("secret"))
    reply = await http.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == 500
    assert reply.json()["error"]["code"] == "internal_error"
    assert "req-" in reply.json()["error"]["message"]
    assert "secret" not in reply.text


async def test_an_internal_error_in_a_stream_ends_it_with_an_error_event(
    http: httpx.AsyncClient, model: FakeModel
) -> None:
    model.enqueue("Hel", ZeroDivisionError("secret"))
    reply = await http.post("/v1/chat/completions", json=CHAT | {"stream": True})
    assert events(reply.text)[-1]["error"]["code"] == "internal_error"
    assert "secret" not in reply.text


@pytest.mark.parametrize(("path", "body"), ROUTES)
async def test_an_unknown_model_is_a_404_with_advice(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    reply = await http.post(path, json=body | {"model": "dialog"})
    assert reply.status_code == 404
    error = reply.json()["error"]
    assert error["code"] == "model_not_found"
    assert "dialogue" in error["message"]
    assert "llmos route set dialog MODEL" in error["message"]


@pytest.mark.parametrize(("path", "body"), ROUTES)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
async def test_the_content_type_of_a_json_body_does_not_matter(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], kind: str
) -> None:
    reply = await http.post(path, content=msgspec.json.encode(body), headers={"content-type": kind})
    assert reply.status_code == 200


@pytest.mark.own_gateway
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), ROUTES)
async def test_usage_counts_cached_tokens(
    http: httpx.AsyncClient, model: FakeModel, path: str, body: dict[str, Any], stream: bool
) -> None:
    model.enqueue(
        delta(text="A", num_output_tokens=1, num_cached_tokens=4),
        delta(text="B", num_output_tokens=2, finish_reason="stop"),
    )
    options = {"stream": True} if stream else {}
    if stream and path.startswith("/v1"):
        options["stream_options"] = {"include_usage": True}  # type: ignore[assignment]
    reply = await http.post(path, json=body | options)
    last = events(reply.text)[-1] if stream else reply.json()
    assert last["usage"] == usage(5, 2, 7, cached_tokens=4)
    assert 'llmos_prompt_tokens_cached_total{model_name="smollm2@1"} 4.0' in (await http.get("/metrics")).text


async def test_the_cached_tokens_of_all_prompts_are_added(http: httpx.AsyncClient, model: FakeModel) -> None:
    for num_cached_tokens in (2, 3):
        model.enqueue(delta(num_output_tokens=1, finish_reason="stop", num_cached_tokens=num_cached_tokens))
    reply = await http.post("/v1/completions", json=COMPLETION | {"prompt": ["Once", "Twice"]})
    assert reply.json()["usage"] == usage(10, 2, 12, cached_tokens=5)


@pytest.mark.parametrize(("path", "body"), ROUTES)
async def test_user_salt_and_priority_reach_the_engine(
    http: httpx.AsyncClient, model: FakeModel, path: str, body: dict[str, Any]
) -> None:
    await http.post(path, json=body)
    await http.post(path, json=body | {"user": "ann", "cache_salt": "team", "priority": -7})
    plain, full = model.requests
    assert (plain.caller, plain.priority) == ("owner\n", 0)
    assert (full.caller, full.priority) == ("owner\nann", -7)
    assert full.cache_salt != plain.cache_salt
    assert "team" not in full.cache_salt, "the caller's salt divides the project's partition, and names none"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"priority": 101}, "priority"),
        ({"priority": -101}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"user": 7}, "user"),
        ({"user": "x" * 513}, "user"),
        ({"cache_salt": ["x"]}, "cache_salt"),
        ({"cache_salt": "x" * 513}, "cache_salt"),
    ],
)
@pytest.mark.parametrize(("path", "body"), ROUTES)
async def test_an_invalid_user_or_priority_is_rejected_by_name(
    http: httpx.AsyncClient, model: FakeModel, path: str, body: dict[str, Any], fields: dict[str, Any], param: str
) -> None:
    reply = await http.post(path, json=body | fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert model.requests == []
