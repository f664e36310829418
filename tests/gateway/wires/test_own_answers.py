"""Answers of LLMOS can be sent back to it, in every format, with the results of the calls in it."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.engine.messages import Delta, ToolCallDelta
from support.examples import examples
from support.fake_backend import FakeModel, Script

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]

USER = "What time is it?"
SCHEMA = {"type": "object", "properties": {"zone": {"type": "string"}}}

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
INTEGERS = st.one_of(st.integers(), st.just(31415926535897932384626433832795))
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
ARGUMENTS = st.dictionaries(WORDS, VALUES, max_size=3).map(lambda value: json.dumps(value, ensure_ascii=False))
PIECES = st.lists(
    st.one_of(WORDS.map(lambda text: ("text", text)), ARGUMENTS.map(lambda text: ("call", text))), max_size=4
)
"""The output of the model, in this order: text, and the arguments of calls."""

Written = list[tuple[str, str]]


def script(written: Written, *, reasoning: str, is_cut: bool) -> Script:
    """Return the deltas of an answer. `is_cut`: max_tokens ends it in the last call."""
    deltas: Script = [Delta(id="any", reasoning=reasoning, num_output_tokens=1)] if reasoning else []
    num_calls = 0
    for i, (kind, text) in enumerate(written):
        is_last = i == len(written) - 1
        if kind == "text":
            deltas.append(Delta(id="any", text=text, num_output_tokens=i + 2))
            continue
        half = len(text) // 2
        deltas.append(Delta(id="any", tool_calls=[ToolCallDelta(num_calls, f"call_{num_calls}", "clock", text[:half])]))
        if not (is_cut and is_last):
            deltas.append(Delta(id="any", tool_calls=[ToolCallDelta(num_calls, arguments=text[half:])]))
        num_calls += 1
    reason: Any = "length" if is_cut else "tool_calls" if num_calls else "stop"
    return [*deltas, Delta(id="any", finish_reason=reason, num_output_tokens=len(written) + 3)]


class Talk:
    """A conversation in one format: a request, and the next one with the answer and the results of its calls."""

    path: str
    streamed = False

    def ask(self) -> dict[str, Any]:
        raise NotImplementedError

    def read(self, reply: httpx.Response) -> Any:
        return reply.json()

    def again(self, answer: Any) -> dict[str, Any]:
        raise NotImplementedError


class Chat(Talk):
    path = "/v1/chat/completions"

    def ask(self) -> dict[str, Any]:
        tools = [{"type": "function", "function": {"name": "clock", "parameters": SCHEMA}}]
        return {"model": "dialogue", "messages": [{"role": "user", "content": USER}], "tools": tools}

    def again(self, answer: Any) -> dict[str, Any]:
        message = answer["choices"][0]["message"]
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "noon"} for call in message.get("tool_calls", [])
        ]
        return {"messages": [*self.ask()["messages"], message, *results]}


class Messages(Talk):
    path = "/v1/messages"

    def ask(self) -> dict[str, Any]:
        tools = [{"name": "clock", "input_schema": SCHEMA}]
        return {
            "model": "dialogue", "max_tokens": 99, "messages": [{"role": "user", "content": USER}], "tools": tools,
        }  # fmt: skip

    def again(self, answer: Any) -> dict[str, Any]:
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": "noon"}
            for block in answer["content"]
            if block["type"] == "tool_use"
        ]
        next_turn = {"role": "user", "content": results or "And now?"}
        return {"messages": [*self.ask()["messages"], {"role": "assistant", "content": answer["content"]}, next_turn]}


class StreamedMessages(Messages):
    streamed = True

    def read(self, reply: httpx.Response) -> Any:
        """Return the message, put together as Anthropic's clients do."""
        blocks: list[dict[str, Any]] = []
        inputs: dict[int, str] = {}
        for line in reply.text.splitlines():
            event = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {"type": None}
            if event["type"] == "content_block_start":
                blocks.append(event["content_block"])
            elif event["type"] == "content_block_delta":
                delta, block = event["delta"], blocks[event["index"]]
                for name in ("text", "thinking"):
                    block.update({name: block[name] + delta[name]} if name in delta else {})
                inputs[event["index"]] = inputs.get(event["index"], "") + delta.get("partial_json", "")
        for index, text in inputs.items():
            if blocks[index]["type"] == "tool_use":
                blocks[index]["input"] = _object(text)
        return {"content": blocks}


class Responses(Talk):
    path = "/v1/responses"

    def ask(self) -> dict[str, Any]:
        tools = [{"type": "function", "name": "clock", "parameters": SCHEMA}]
        return {"model": "dialogue", "input": [{"role": "user", "content": USER}], "tools": tools}

    def results(self, answer: Any) -> list[dict[str, Any]]:
        return [
            {"type": "function_call_output", "call_id": item["call_id"], "output": "noon"}
            for item in answer["output"]
            if item["type"] == "function_call"
        ]

    def again(self, answer: Any) -> dict[str, Any]:
        return {"input": [*self.ask()["input"], *answer["output"], *self.results(answer)]}


class StoredResponses(Responses):
    def again(self, answer: Any) -> dict[str, Any]:
        more = [] if self.results(answer) else [{"role": "user", "content": "And now?"}]
        return {"previous_response_id": answer["id"], "input": [*self.results(answer), *more]}


class Ollama(Talk):
    path = "/api/chat"

    def ask(self) -> dict[str, Any]:
        tools = [{"type": "function", "function": {"name": "clock", "parameters": SCHEMA}}]
        messages = [{"role": "user", "content": USER}]
        return {"model": "dialogue", "messages": messages, "tools": tools, "stream": False}

    def again(self, answer: Any) -> dict[str, Any]:
        results = [
            {"role": "tool", "tool_name": "clock", "content": "noon"} for _ in answer["message"].get("tool_calls", [])
        ]
        return {"messages": [*self.ask()["messages"], answer["message"], *results]}


TALKS = [Chat(), Messages(), StreamedMessages(), Responses(), StoredResponses(), Ollama()]


def _object(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return {}


def expected(written: Written, reasoning: str, *, is_cut: bool) -> tuple[str, str, list[str]]:
    """Return the text, the reasoning and the arguments that the model must see again."""
    texts = "".join(text for kind, text in written if kind == "text")
    arguments = [text for kind, text in written if kind == "call"]
    if is_cut and written and written[-1][0] == "call":
        arguments[-1] = arguments[-1][: len(arguments[-1]) // 2]
    return texts, reasoning, arguments


@pytest.mark.thorough
@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: type(talk).__name__)
@given(written=PIECES, reasoning=st.just("") | WORDS, is_cut=st.booleans())
@settings(
    max_examples=examples(40, fast=10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_an_answer_can_be_sent_back_with_the_results_of_its_calls(
    http: httpx.AsyncClient, model: FakeModel, talk: Talk, written: Written, reasoning: str, is_cut: bool
) -> None:
    model.requests.clear()
    model.scripts.clear()
    model.enqueue(*script(written, reasoning=reasoning, is_cut=is_cut))
    reply = await http.post(talk.path, json={**talk.ask(), **({"stream": True} if talk.streamed else {})})
    assert reply.status_code == 200, reply.text
    again = await http.post(talk.path, json={**talk.ask(), **talk.again(talk.read(reply))})
    assert again.status_code == 200, again.text
    _, second = model.requests
    assert second.messages is not None
    said = second.messages[1]
    text, thought, arguments = expected(written, reasoning, is_cut=is_cut)
    assert said["role"] == "assistant"
    assert (said["content"] or "") == text
    assert said.get("reasoning_content", "") == thought
    seen = [call["function"]["arguments"] for call in said.get("tool_calls", [])]
    assert [_object(each) for each in seen] == [_object(each) for each in arguments]
    if isinstance(talk, Chat | Responses):
        assert seen == [each or "{}" for each in arguments]
    assert [message["role"] for message in second.messages].count("tool") == len(arguments)
