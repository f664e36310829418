"""The log probabilities of prompts: OpenAI's `echo` with `logprobs`, and vLLM's `prompt_logprobs`."""

from typing import Any

import httpx
import pytest

from llmos.engine.messages import Delta, Rated, TokenLogprob, TokenScore
from llmos.gateway.wires.openai.completions.answers import CompletionLogprobs
from llmos.gateway.wires.openai.completions.logprobs import ChoiceLogprobs
from support.fake_backend import FakeModel, token
from support.scripted import events

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]

# The fake model's tokens are characters: a has the log probability -1, b -2 and so on.
ECHO: dict[str, Any] = {"model": "dialogue", "prompt": "bad", "echo": True, "logprobs": 1, "max_tokens": 0}
SCORED = {
    "tokens": ["b", "a", "d"],
    "token_logprobs": [None, -1.0, -4.0],
    "top_logprobs": [None, {"a": -1.0}, {"a": -1.0, "d": -4.0}],
    "text_offset": [0, 1, 2],
}


async def test_max_tokens_of_zero_scores_the_prompt_alone(http: httpx.AsyncClient, model: FakeModel) -> None:
    completion = (await http.post("/v1/completions", json=ECHO)).json()
    (choice,) = completion["choices"]
    assert choice == {"index": 0, "text": "bad", "logprobs": SCORED, "finish_reason": "length"}
    assert completion["usage"]["completion_tokens"] == 0
    (request,) = model.requests
    assert (request.sampling.max_tokens, request.prompt_logprobs, request.echo) == (0, 1, True)


def answer(model: FakeModel, text: str) -> None:
    """Let the model answer with " e" behind the echoed prompt."""
    model.enqueue(
        Delta(id="x", text=f"{text} e", logprobs=[token(" ", -0.5), token("e", -0.25)], num_output_tokens=2),
        Delta(id="x", finish_reason="stop", num_output_tokens=3),
    )


async def test_the_answer_goes_on_behind_the_prompt(http: httpx.AsyncClient, model: FakeModel) -> None:
    expected = {
        "tokens": [*SCORED["tokens"], " ", "e"],
        "token_logprobs": [*SCORED["token_logprobs"], -0.5, -0.25],
        "top_logprobs": [*SCORED["top_logprobs"], {" ": -0.5}, {"e": -0.25}],
        "text_offset": [0, 1, 2, 3, 4],
    }
    answer(model, "bad")
    (choice,) = (await http.post("/v1/completions", json=ECHO | {"max_tokens": 5})).json()["choices"]
    assert (choice["text"], choice["logprobs"]) == ("bad e", expected)
    answer(model, "bad")
    chunks = events((await http.post("/v1/completions", json=ECHO | {"max_tokens": 5, "stream": True})).text)
    streamed = [chunk["choices"][0] for chunk in chunks]
    assert [(each["text"], each["logprobs"]) for each in streamed] == [("bad e", expected), ("", None)]


async def test_every_choice_of_every_prompt_begins_with_its_own(http: httpx.AsyncClient, model: FakeModel) -> None:
    asked = ECHO | {"prompt": ["ab", [99, 97, 98]], "n": 2}
    choices = (await http.post("/v1/completions", json=asked)).json()["choices"]
    assert [(each["index"], each["text"], each["logprobs"]["token_logprobs"]) for each in choices] == [
        (0, "ab", [None, -2.0]),
        (1, "ab", [None, -2.0]),
        (2, "cab", [None, -1.0, -2.0]),
        (3, "cab", [None, -1.0, -2.0]),
    ]
    chunks = events((await http.post("/v1/completions", json=asked | {"stream": True})).text)
    streamed = [chunk["choices"][0] for chunk in chunks]
    assert sorted(streamed, key=lambda each: each["index"]) == choices


async def test_vllms_prompt_logprobs_are_beside_the_text_of_each_choice(
    http: httpx.AsyncClient, model: FakeModel
) -> None:
    asked = {"model": "dialogue", "prompt": "bad", "prompt_logprobs": 2, "max_tokens": 1}
    (choice,) = (await http.post("/v1/completions", json=asked)).json()["choices"]
    likely = {"logprob": -1.0, "rank": 1, "decoded_token": "a"}, {"logprob": -2.0, "rank": 2, "decoded_token": "b"}
    assert (choice["text"], choice["logprobs"]) == ("Hello", None)
    assert choice["prompt_logprobs"] == [
        None,
        {"97": likely[0], "98": likely[1]},
        {"100": {"logprob": -4.0, "rank": 4, "decoded_token": "d"}, "97": likely[0], "98": likely[1]},
    ]
    assert list(choice["prompt_logprobs"][2]) == ["100", "97", "98"], "the prompt's own token comes first"


async def test_both_forms_show_as_many_tokens_as_each_asks_for(http: httpx.AsyncClient, model: FakeModel) -> None:
    (choice,) = (await http.post("/v1/completions", json=ECHO | {"prompt_logprobs": 0})).json()["choices"]
    assert choice["logprobs"] == SCORED
    assert [each and list(each) for each in choice["prompt_logprobs"]] == [None, ["97"], ["100"]]
    assert model.requests[0].prompt_logprobs == 1


async def test_a_conversation_has_prompt_logprobs_beside_its_choices(http: httpx.AsyncClient, model: FakeModel) -> None:
    asked = {"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}], "prompt_logprobs": 0}
    completion = (await http.post("/v1/chat/completions", json=asked)).json()
    assert completion["choices"][0]["message"]["content"] == "Hello"
    assert [each and [*each] for each in completion["prompt_logprobs"]] == [None, ["101"], ["108"], ["108"], ["111"]]
    plain = await http.post("/v1/chat/completions", json=asked | {"prompt_logprobs": None})
    assert "prompt_logprobs" not in plain.text


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logprobs": None}, "max_tokens"),
        ({"echo": False}, "max_tokens"),
        ({"suffix": "!"}, "suffix"),
        ({"prompt_logprobs": 1, "stream": True}, "prompt_logprobs"),
        ({"prompt_logprobs": -1}, "prompt_logprobs"),
        ({"prompt_logprobs": 21}, "prompt_logprobs"),
    ],
)
async def test_what_cannot_be_scored_is_rejected_by_name(
    http: httpx.AsyncClient, model: FakeModel, fields: dict[str, Any], param: str
) -> None:
    reply = await http.post("/v1/completions", json=ECHO | fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert not model.requests


async def test_a_model_that_sends_no_scores_is_an_error_and_no_wrong_answer(
    http: httpx.AsyncClient, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.fake_backend.rated_prompt", lambda id, *_: Delta(id=id))
    reply = await http.post("/v1/completions", json=ECHO | {"max_tokens": 3})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "replica_failed"), reply.text


def scored(*tokens: str | bytes) -> Rated:
    first, *rest = (each.encode() if isinstance(each, str) else each for each in tokens)
    return Rated(
        id="x",
        prompt_start=(0, first.decode(errors="replace"), first),
        prompt=[TokenScore(1, each.decode(errors="replace"), each, -1.0, 1, 0.5) for each in rest],
    )


def prompt_offsets(rated: Rated, text: str) -> tuple[CompletionLogprobs, ChoiceLogprobs]:
    choice = ChoiceLogprobs()
    return choice.render_prompt(rated, text, 0), choice


@pytest.mark.parametrize(
    ("tokens", "text", "offsets"),
    [
        (["<s>", "Hi", " you"], "Hi you!", [0, 0, 2]),  # the tokenizer begins every prompt with <s>
        ([" Hi", " you"], "Hi you!", [0, 2]),  # its first token has a space that the text hasn't
        (["Hi", "<|end|>", " you"], "Hi you!", [0, 2, 2]),  # a prompt of tokens, whose control tokens have no text
        (["Hi", "<|end|>"], "Hi<|end|>!", [0, 2]),  # and a text that has them
        (["a", b"\xf0\x9f", b"\x98\x80", "b"], "a😀b", [0, 1, 1, 2]),
    ],
)
def test_positions_are_those_in_the_text(tokens: list[str | bytes], text: str, offsets: list[int]) -> None:
    rendered, choice = prompt_offsets(scored(*tokens), text)
    assert rendered.text_offset == offsets
    behind = choice.render([TokenLogprob(7, "!", b"!", -1.0, [])])
    if text.endswith("!"):
        assert behind.text_offset == [len(text) - 1]


def test_the_given_token_is_among_the_likely_ones() -> None:
    top = [(5, "z", b"z", -0.1), (6, "y", b"y", -0.2)]
    rated = Rated(id="x", prompt_start=(0, "a", b"a"), prompt=[TokenScore(9, "k", b"k", float("-inf"), 80, 0.5, top)])
    rendered, _ = prompt_offsets(rated, "ak")
    assert rendered.top_logprobs == [None, {"k": -9999.0}]
    assert ChoiceLogprobs().render_prompt(rated, "ak", 1).top_logprobs == [None, {"z": -0.1, "k": -9999.0}]
