"""The requests that both clients send, and their reading of the replies."""

import gc
import struct
import warnings
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from llmos.client import Answer, Client, Usage
from llmos.core.errors import BadRequest, ConnectionFailed, LLMOSError, ModelNotFound, PromptTooLong, ReplicaFailed
from llmos.core.schemas.rollouts import RolloutDescription


def test_a_model_is_asked_for_by_name_and_answers(connect: Any, server: Any) -> None:
    server.replies(server.json(server.model), server.json(server.generated))
    model = connect().models.get("dialogue")
    answer = model.generate_text(prompt="Hi")
    assert (model.name, model.version, model.info.context_length) == ("dialogue", "smollm2@1", 8192)
    assert answer == Answer(
        id="answer-1",
        text="Hello there",
        model="dialogue",
        version="smollm2@1",
        finish_reason="stop",
        usage=Usage(5, 2, 7),
    )
    assert str(answer) == "Hello there"
    assert [(each.method, each.path) for each in server.received] == [
        ("GET", "/llmos/v1/models/dialogue"),
        ("POST", "/llmos/v1/generate"),
    ]


def test_only_what_was_given_is_sent(model: Any, server: Any) -> None:
    server.replies(server.json(server.generated))
    model.generate_text("Hi", max_tokens=3, temperature=0, stop=["\n"], raw=True, seed=None)
    assert server.received[0].body == {
        "model": "dialogue", "prompt": "Hi", "raw": True, "max_tokens": 3, "temperature": 0, "stop": ["\n"],
    }  # fmt: skip


def test_who_asks_and_how_urgently_is_sent_too(model: Any, server: Any) -> None:
    server.replies(server.json(server.generated))
    model.generate_text("Hi", user="ann", priority=5, cache_salt="team")
    body = server.received[0].body
    assert (body["user"], body["priority"], body["cache_salt"]) == ("ann", 5, "team")


def test_the_usage_says_what_was_found_in_the_prefix_cache(model: Any, server: Any) -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 4}}
    server.replies(server.json(server.generated | {"usage": server.usage | details}))
    assert model.generate_text("Hi").usage == Usage(5, 2, 7, cached_tokens=4)


@pytest.mark.parametrize("details", [None, {}, {"cached_tokens": None}])
def test_a_server_that_tells_nothing_of_a_cache_is_understood(model: Any, server: Any, details: Any) -> None:
    server.replies(server.json(server.generated | {"usage": server.usage | {"prompt_tokens_details": details}}))
    assert model.generate_text("Hi").usage == Usage(5, 2, 7)


def test_an_unknown_option_names_the_nearest_and_sends_nothing(model: Any, server: Any) -> None:
    with pytest.raises(TypeError, match=r"no option 'temprature'\. Did you mean 'temperature'"):
        model.generate_text("Hi", temprature=0)
    assert server.received == []


class Person(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("asked", "generating", "chatting"),
    [
        ({"format": {"type": "null"}}, {"json_schema": {"type": "null"}}, {"json": {"type": "null"}}),
        ({"format": Person}, {"json_schema": Person.model_json_schema()}, {"json": Person.model_json_schema()}),
        ({"format": "json"}, {"json_object": True}, {"json_object": True}),
        ({"regex": "a+"}, {"regex": "a+"}, {"regex": "a+"}),
        ({"choice": ("yes", "no")}, {"choice": ["yes", "no"]}, {"choice": ["yes", "no"]}),
    ],
)
def test_a_form_goes_out_as_each_route_calls_it(
    model: Any, server: Any, asked: Any, generating: Any, chatting: Any
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop"}
    chatted = {"id": "chatcmpl-1", "model": "smollm2@1", "choices": [choice], "usage": server.usage}
    server.replies(server.json(server.generated), server.json(chatted))
    model.generate_text("Hi", **asked)
    model.chat([{"role": "user", "content": "Hi"}], **asked)
    assert server.received[0].body["format"] == generating
    assert server.received[1].body["structured_outputs"] == chatting
    assert not {"format", "regex", "choice"} & server.received[1].body.keys()


def test_a_form_that_is_none_is_refused_before_anything_is_sent(model: Any, server: Any) -> None:
    with pytest.raises(TypeError, match="a JSON schema, a pydantic model"):
        model.generate_text("Hi", format=7)
    assert server.received == []


def test_an_answer_reads_its_own_json(model: Any, server: Any) -> None:
    server.replies(
        server.json(server.generated | {"text": '{"a": 1}'}), server.json(server.generated | {"text": '{"a'})
    )
    assert model.generate_text("Hi", format="json").json() == {"a": 1}
    with pytest.raises(ValueError):
        model.generate_text("Hi", format="json").json()


@pytest.mark.parametrize("prompt", ["half a \ud800 pair", "Hi"])
def test_what_json_cannot_carry_is_refused_before_anything_is_sent(model: Any, server: Any, prompt: str) -> None:
    with pytest.raises(BadRequest, match=r"surrogate pair|JSON"):
        model.generate_text(prompt, temperature=float("nan"))
    assert server.received == []


def test_names_that_need_escaping_reach_the_server_whole(connect: Any, server: Any) -> None:
    server.replies(server.json(server.model))
    assert connect().models.get("smollm2@sha256:ab/../c d").name == "smollm2@sha256:ab/../c d"
    assert server.received[0].path == "/llmos/v1/models/smollm2@sha256:ab%2F..%2Fc%20d"


def test_models_are_listed(connect: Any, server: Any) -> None:
    server.replies(server.json({"data": [server.model, {"name": "b", "version": "b@2", "from_a_newer_server": 1}]}))
    listed = connect().models.list()
    assert [(each.name, each.version) for each in listed] == [("smollm2", "smollm2@1"), ("b", "b@2")]
    assert listed[1].info.raw["from_a_newer_server"] == 1


def test_routes_are_listed_set_and_removed(connect: Any, server: Any) -> None:
    route = {"name": "gpt 3", "target": "smollm2", "updated_at": "2026-01-02T12:00:00Z"}
    server.replies(server.json({"data": [route]}), server.json(route), server.json("", status=204))
    client = connect()
    (listed,) = client.routes.list()
    assert listed == client.routes.set("gpt 3", "smollm2")
    assert (listed.name, listed.target) == ("gpt 3", "smollm2")
    assert listed.updated_at == datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert client.routes.remove("gpt 3") is None
    assert [(each.method, each.path, each.body) for each in server.received] == [
        ("GET", "/llmos/v1/routes", None),
        ("PUT", "/llmos/v1/routes/gpt%203", {"target": "smollm2"}),
        ("DELETE", "/llmos/v1/routes/gpt%203", None),
    ]


def test_a_version_is_promoted_looked_at_and_taken_back(connect: Any, server: Any) -> None:
    body = {"id": 7, "version": "new@1", "route": "gpt 3", "state": "starting"}
    event = {"at": "2026-01-02T12:00:00Z", "kind": "began", "reason": "ada asked for it"}
    rows = server.json({"data": [body]})
    server.replies(server.json(body), rows, server.json(body), server.json({"data": [event]}), server.json(body))
    rollouts, rollout = connect().rollouts, RolloutDescription(id=7, version="new@1", route="gpt 3", state="starting")
    assert rollouts.promote("new@1", "gpt 3", steps=[50, 100], gate=None, min_calls=5) == rollout
    assert rollouts.list("gpt 3") == [rollout]
    assert rollouts.get(7) == rollout
    (began,) = rollouts.history(7)
    assert (began.at, began.kind, began.raw) == (datetime(2026, 1, 2, 12, tzinfo=UTC), "began", event)
    assert rollouts.roll_back("gpt 3") == rollout
    asked = {"version": "new@1", "route": "gpt 3", "steps": [50, 100], "min_calls": 5}
    assert [(each.method, each.path, each.body) for each in server.received] == [
        ("POST", "/llmos/v1/rollouts", asked),
        ("GET", "/llmos/v1/rollouts?route=gpt%203", None),
        ("GET", "/llmos/v1/rollouts/7", None),
        ("GET", "/llmos/v1/rollouts/7/history", None),
        ("DELETE", "/llmos/v1/routes/gpt%203/rollout", None),
    ]
    with pytest.raises(TypeError, match=r"no setting 'step' of a rollout\. Settings: steps, gate"):
        rollouts.promote("new@1", "gpt 3", step=[100])


def test_deployments_are_listed(connect: Any, server: Any) -> None:
    server.replies(server.json({"data": [{"version": "smollm2@1", "state": "ready", "pid": 7, "restarts": 1}]}))
    (deployment,) = connect().deployments.list()
    assert (deployment.version, deployment.state, deployment.pid, deployment.restarts) == ("smollm2@1", "ready", 7, 1)


def test_chat_goes_through_the_openai_route(model: Any, server: Any) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    choice = {"index": 0, "message": {"role": "assistant", "content": "你好"}, "finish_reason": "length"}
    server.replies(server.json({"id": "chatcmpl-1", "model": "smollm2@1", "choices": [choice], "usage": server.usage}))
    answer = model.chat(messages, max_tokens=2)
    assert (answer.text, answer.finish_reason, answer.version, answer.model) == (
        "你好", "length", "smollm2@1", "dialogue",
    )  # fmt: skip
    assert server.received[0].path == "/v1/chat/completions"
    assert server.received[0].body == {"model": "dialogue", "messages": messages, "max_tokens": 2}


def test_texts_become_vectors(model: Any, server: Any) -> None:
    rows = [{"index": i, "embedding": b64encode(struct.pack("<ff", i, 0.5)).decode()} for i in range(2)]
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    server.replies(*[server.json({"data": rows, "model": "minilm@1", "usage": usage})] * 2)
    answer = model.embed(["a", "b"])
    assert answer.vectors == [[0.0, 0.5], [1.0, 0.5]]
    assert (answer.version, answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == (
        "minilm@1", "dialogue", 9, 9,
    )  # fmt: skip
    assert server.received[0].path == "/v1/embeddings"
    assert server.received[0].body == {"model": "dialogue", "input": ["a", "b"], "encoding_format": "base64"}
    model.embed(["a", "b"], dimensions=2, truncate=True, prompt_name="query")
    assert server.received[1].body.items() >= {"dimensions": 2, "truncate": True, "prompt_name": "query"}.items()


def test_a_text_that_is_no_list_of_texts_sends_nothing(model: Any, server: Any) -> None:
    with pytest.raises(TypeError, match="a list"):
        model.embed("one text")
    assert server.received == []


@pytest.mark.parametrize("row", [{}, {"embedding": "*"}, {"embedding": "AAA="}, {"embedding": 7}, 7])
def test_vectors_that_are_none_are_called_so(model: Any, server: Any, row: Any) -> None:
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    server.replies(server.json({"data": [row], "model": "minilm@1", "usage": usage}))
    with pytest.raises(LLMOSError):
        model.embed(["a"])


LIKELIHOOD = {
    "id": "likelihood-1", "object": "likelihood", "created": 1, "model": "dialogue", "version": "smollm2@1",
    "digest": None, "best_index": 1, "prompt": None,
    "options": [
        {
            "index": i, "text": text, "logprob": logprob, "normalized_logprob": logprob, "probability": probability,
            "tokens": [
                {"id": 9, "text": text, "bytes": [], "logprob": logprob, "rank": 3, "entropy": 0.5, "top": []}
            ],
        }
        for i, (text, logprob, probability) in enumerate([("no", -2.0, 0.25), ("yes", -1.0, 0.75)])
    ],
    "usage": {
        "prompt_tokens": 9, "total_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}, "computed_tokens": 5,
    },
}  # fmt: skip


def test_given_texts_are_scored_against_each_other(model: Any, server: Any) -> None:
    server.replies(server.json(LIKELIHOOD))
    scored = model.likelihood("Is it?", ["no", "yes"], top=2, normalize="bytes", score_prompt=None)
    assert (scored.best.index, scored.best.text, scored.probabilities) == (1, "yes", [0.25, 0.75])
    assert (scored.options[0].logprob, scored.options[0].tokens[0].rank) == (-2.0, 3)
    assert (scored.usage.prompt_tokens, scored.usage.cached_tokens, scored.usage.computed_tokens) == (9, 4, 5)
    assert (scored.version, scored.raw) == ("smollm2@1", LIKELIHOOD)
    assert server.received[0].path == "/llmos/v1/likelihood"
    assert server.received[0].body == {
        "model": "dialogue", "prompt": "Is it?", "continuations": ["no", "yes"], "top": 2, "normalize": "bytes",
    }  # fmt: skip


MESSAGES = [{"role": "user", "content": "Is it?"}]


@pytest.mark.parametrize(
    ("prompt", "field"), [("Is it?", "prompt"), ((5, 6), "tokens"), (MESSAGES, "messages"), ([], "messages")]
)
def test_the_prompt_of_scored_texts_has_three_forms(model: Any, server: Any, prompt: Any, field: str) -> None:
    server.replies(server.json(LIKELIHOOD))
    model.likelihood(prompt, [(7, 8), "yes"])
    expected = prompt if isinstance(prompt, str) else list(prompt)
    assert server.received[0].body == {"model": "dialogue", field: expected, "continuations": [[7, 8], "yes"]}


def test_scores_of_the_prompt_alone_have_no_best_option(model: Any, server: Any) -> None:
    server.replies(server.json(LIKELIHOOD | {"options": [], "best_index": None}))
    scored = model.likelihood("Is it?", score_prompt=True)
    assert scored.probabilities == []
    with pytest.raises(IndexError, match="only the prompt was scored"):
        _ = scored.best


def test_continuations_that_are_no_list_and_unknown_options_send_nothing(model: Any, server: Any) -> None:
    with pytest.raises(TypeError, match="a list"):
        model.likelihood("Is it?", "yes")
    with pytest.raises(TypeError, match=r"no option 'normalise'\. Did you mean 'normalize'"):
        model.likelihood("Is it?", ["yes"], normalise="bytes")
    assert server.received == []


def test_likelihoods_that_are_none_are_called_so(model: Any, server: Any) -> None:
    server.replies(server.json(LIKELIHOOD | {"options": [{}]}))
    with pytest.raises(ConnectionFailed, match="not one of an LLMOS server"):
        model.likelihood("Is it?", ["yes"])


def test_a_stream_gives_pieces_and_knows_the_answer_at_the_end(model: Any, server: Any) -> None:
    server.replies(server.pieces("Hel", "lo"))
    stream = model.generate_text("Hi", stream=True)
    assert (stream.text, stream.usage, stream.finish_reason) == ("", None, None)
    assert list(stream) == ["Hel", "lo"]
    assert (stream.text, stream.usage, stream.finish_reason) == ("Hello", Usage(5, 2, 7), "stop")
    assert (stream.id, stream.model, stream.version) == ("answer-1", "dialogue", "smollm2@1")
    assert server.received[0].body["stream"] is True


def test_a_streamed_chat_gives_pieces_and_usage(model: Any, server: Any) -> None:
    def chunk(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        return {"id": "c", "model": "smollm2@1", "choices": [{"delta": delta, "finish_reason": finish_reason}]}

    server.replies(
        server.stream(
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "a"}),
            chunk({"content": "b"}),
            chunk({}, "stop"),
            {"id": "c", "model": "smollm2@1", "choices": [], "usage": server.usage},
            "[DONE]",
        )
    )
    stream = model.chat([{"role": "user", "content": "Hi"}], stream=True)
    assert list(stream) == ["a", "b"]
    assert (stream.text, stream.finish_reason, stream.usage, stream.version) == (
        "ab", "stop", Usage(5, 2, 7), "smollm2@1",
    )  # fmt: skip
    assert server.received[0].body["stream_options"] == {"include_usage": True}


def test_line_separators_inside_an_answer_stay_text(model: Any, server: Any) -> None:
    pieces = ["a\u2028b", "\u0085", "c\r\nd", "🙂"]
    server.replies(server.pieces(*pieces))
    assert list(model.generate_text("Hi", stream=True)) == pieces


def test_closing_a_stream_hangs_up(model: Any, server: Any) -> None:
    server.replies(server.endless)
    with model.generate_text("Hi", stream=True) as stream:
        assert next(iter(stream)).startswith("more ")
    assert server.hung_up.wait(timeout=10)
    assert list(stream) == []
    stream.close()


def test_a_connection_serves_again_after_a_stream(model: Any, server: Any) -> None:
    server.replies(server.pieces("a"), server.json(server.generated))
    list(model.generate_text("Hi", stream=True))
    assert model.generate_text("Hi").text == "Hello there"


@pytest.mark.parametrize("stream", [False, True])
def test_the_servers_error_is_raised_with_its_own_words(model: Any, server: Any, stream: bool) -> None:
    server.replies(server.error(400, "context_length_exceeded", "Shorten it by 928 tokens."))
    with pytest.raises(PromptTooLong, match=r"^Shorten it by 928 tokens\.$"):
        model.generate_text("Hi", stream=stream)


def test_an_unset_route_is_a_model_not_found_with_the_servers_advice(connect: Any, server: Any) -> None:
    server.replies(server.error(404, "model_not_found", "There is no gpt-3. Set it: llmos route set gpt-3 MODEL"))
    with pytest.raises(ModelNotFound, match="llmos route set gpt-3 MODEL"):
        connect().models.get("gpt-3")


def test_an_error_in_mid_stream_keeps_the_text_so_far(model: Any, server: Any) -> None:
    failed = {"error": {"message": "The replica died.", "code": "replica_failed"}}
    server.replies(server.stream({"id": "answer-1", "text": "Hel"}, failed))
    stream = model.generate_text("Hi", stream=True)
    with pytest.raises(ReplicaFailed, match="The replica died"):
        list(stream)
    assert stream.text == "Hel"
    assert len(server.received) == 1


@pytest.mark.parametrize("body", ["<html>a wiki</html>", "[]", '{"text": "no id"}', '{"text": 7}', '{"usage": {}}'])
def test_what_is_no_llmos_server_is_called_so(model: Any, server: Any, body: str) -> None:
    server.replies(server.json(body))
    with pytest.raises(ConnectionFailed, match=f"{server.url} is not one of an LLMOS server"):
        model.generate_text("Hi")
    assert len(server.received) == 1


def test_a_stream_that_is_no_event_stream_is_called_so(model: Any, server: Any) -> None:
    server.replies(server.json(server.generated))
    with pytest.raises(ConnectionFailed, match="is not one of an LLMOS server"):
        model.generate_text("Hi", stream=True)


def test_an_unfinished_last_event_is_not_taken_for_an_answer(model: Any, server: Any) -> None:
    without_usage = {name: value for name, value in server.last_event.items() if name != "usage"}
    server.replies(server.stream({"id": "answer-1", "text": "a"}, without_usage, "[DONE]"))
    with pytest.raises(ConnectionFailed, match="is not one of an LLMOS server"):
        list(model.generate_text("Hi", stream=True))


def test_a_redirect_is_not_followed_but_named(connect: Any, server: Any) -> None:
    server.replies(server.json("", status=308, Location="https://elsewhere.example/"))
    with pytest.raises(BadRequest, match=r"redirects to https://elsewhere\.example/"):
        connect().models.list()
    assert len(server.received) == 1


def test_a_proxys_error_page_is_reported_with_its_status(connect: Any, server: Any) -> None:
    server.replies(server.json("<html>", status=403))
    with pytest.raises(Exception, match="answered with status 403 and no LLMOS error"):
        connect().models.list()


def test_a_stream_that_is_dropped_hangs_up(server: Any, no_own_settings: None) -> None:
    server.replies(server.json(server.model), server.endless)
    with Client(server.url) as client:
        stream = client.models.get("dialogue").generate_text("Hi", stream=True)
        next(stream)
        del stream
        gc.collect()
        assert server.hung_up.wait(timeout=10)


def test_a_client_that_is_forgotten_leaves_no_open_socket(server: Any, no_own_settings: None) -> None:
    server.replies(server.json({"data": []}))
    Client(server.url).models.list()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        gc.collect()  # an open socket would make it warn, and pytest makes that an error


TOOLS: Any = [{"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}]


def test_a_conversation_may_have_tools(model: Any, server: Any) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": '{"zone": "Rome"}'}}
    message = {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    server.replies(server.json({"id": "c", "model": "smollm2@1", "choices": [choice], "usage": server.usage}))
    answer = model.chat([], tools=TOOLS, tool_choice="required", parallel_tool_calls=False)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("", "Hm.", "tool_calls")
    [called] = answer.tool_calls
    assert (called.id, called.name, called.json()) == ("call_1", "clock", {"zone": "Rome"})
    assert answer.message == {**message, "content": ""}
    assert server.received[0].body == {
        "model": "dialogue", "messages": [], "tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False,
    }  # fmt: skip
    with pytest.raises(TypeError, match="tools"):
        model.generate_text("Hi", tools=TOOLS)


def test_the_calls_of_a_stream_are_put_together(model: Any, server: Any) -> None:
    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return {"id": "c", "model": "smollm2@1", "choices": [{"delta": delta, "finish_reason": finish_reason}]}

    def call(index: int, arguments: str, **first: Any) -> dict[str, Any]:
        name = {"name": first.pop("name")} if first else {}
        return {"index": index, **first, "function": {"arguments": arguments, **name}}

    server.replies(
        server.stream(
            chunk({"role": "assistant", "content": None}),
            chunk({"reasoning_content": "Hm."}),
            chunk({"tool_calls": [call(0, '{"a"', id="call_1", type="function", name="f")]}),
            chunk({"tool_calls": [call(0, ": 1}"), call(1, "{}", id="call_2", type="function", name="g")]}),
            chunk({}, "tool_calls"),
            {"id": "c", "model": "smollm2@1", "choices": [], "usage": server.usage},
            "[DONE]",
        )
    )
    stream = model.chat([], tools=TOOLS, stream=True)
    assert list(stream) == []
    assert [(each.id, each.name, each.arguments) for each in stream.tool_calls] == [
        ("call_1", "f", '{"a": 1}'), ("call_2", "g", "{}"),
    ]  # fmt: skip
    assert (stream.reasoning, stream.finish_reason) == ("Hm.", "tool_calls")
