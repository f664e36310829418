"""POST /llmos/v1/likelihood: scores, options against each other, and invalid requests."""

from math import exp
from typing import Any

import httpx
import msgspec
import pytest

from llmos.core.errors import BadRequest
from llmos.core.schemas.likelihood import LikelihoodDescription
from llmos.engine.messages import MAX_CONTINUATIONS
from support.fake_backend import FakeModel

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]

PATH = "/llmos/v1/likelihood"
# The fake model gives a the log probability -1, b -2 and so on.
ASKED: dict[str, Any] = {"model": "dialogue", "prompt": "xyz", "continuations": ["b", "ac"]}


async def post(http: httpx.AsyncClient, **fields: Any) -> Any:
    reply = await http.post(PATH, json={name: each for name, each in (ASKED | fields).items() if each is not None})
    assert reply.status_code == 200, reply.text
    msgspec.json.decode(reply.content, type=LikelihoodDescription, strict=True)
    return reply.json()


async def test_each_continuation_is_scored_behind_the_prompt(http: httpx.AsyncClient, model: FakeModel) -> None:
    model.num_cached_tokens = 2
    reply = await http.post(PATH, json=ASKED | {"top": 2, "user": "ann", "priority": 3, "cache_salt": "s"})
    answer = reply.json()
    assert reply.headers["llmos-version"] == answer["version"] == "smollm2@1"
    assert (answer["object"], answer["model"], answer["prompt"]) == ("likelihood", "dialogue", None)
    assert answer["digest"].startswith("sha256:0123456789abcdef")
    assert answer["id"].startswith("likelihood-")
    assert [(each["index"], each["text"], each["logprob"]) for each in answer["options"]] == [
        (0, "b", -2),
        (1, "ac", -4),
    ]
    assert answer["options"][0]["tokens"] == [
        {
            "id": 98, "text": "b", "bytes": [98], "logprob": -2.0, "rank": 2, "entropy": 0.5,
            "top": [{"id": 97, "text": "a", "logprob": -1.0}, {"id": 98, "text": "b", "logprob": -2.0}],
        }
    ]  # fmt: skip
    assert answer["usage"] == {
        "prompt_tokens": 6, "total_tokens": 6, "prompt_tokens_details": {"cached_tokens": 2}, "computed_tokens": 4,
    }  # fmt: skip
    (command,) = model.rated
    request = command.request
    assert (request.id, request.text, request.priority) == (answer["id"], "xyz", 3)
    assert (command.continuations, command.scores_prompt, command.num_top) == (["b", "ac"], False, 2)
    assert "ann" in request.caller
    assert request.cache_salt


@pytest.mark.parametrize(
    ("normalize", "values", "best"),
    [("none", [-2, -4], 0), ("tokens", [-2, -2], 0), ("bytes", [-2, -2], 0)],
)
async def test_options_are_compared_by_their_normalized_log_probabilities(
    http: httpx.AsyncClient, normalize: str, values: list[float], best: int
) -> None:
    answer = await post(http, normalize=normalize)
    assert [each["logprob"] for each in answer["options"]] == [-2, -4]
    assert [each["normalized_logprob"] for each in answer["options"]] == values
    total = sum(map(exp, values))
    assert [each["probability"] for each in answer["options"]] == pytest.approx([exp(each) / total for each in values])
    assert answer["best_index"] == best


async def test_the_best_option_may_depend_on_the_normalization(http: httpx.AsyncClient) -> None:
    assert (await post(http, continuations=["c", "aaaa"]))["best_index"] == 0
    assert (await post(http, continuations=["c", "aaaa"], normalize="tokens"))["best_index"] == 1


async def test_bytes_are_those_of_utf_8(http: httpx.AsyncClient) -> None:
    option = (await post(http, continuations=["é"], normalize="bytes"))["options"][0]
    assert option["normalized_logprob"] == option["logprob"] / 2
    assert option["tokens"][0]["bytes"] == [195, 169]


async def test_very_unlikely_options_have_probabilities_that_add_up(http: httpx.AsyncClient) -> None:
    answer = await post(http, continuations=["\u0500" * 3, "\u0501" * 3])
    assert [each["probability"] for each in answer["options"]] == pytest.approx([1 / (1 + exp(-3)), 1 / (1 + exp(3))])


async def test_the_prompt_itself_can_be_scored(http: httpx.AsyncClient, model: FakeModel) -> None:
    answer = await post(http, prompt="bad", continuations=None, score_prompt=True, top=1)
    assert (answer["best_index"], answer["options"]) == (None, [])
    assert answer["prompt"]["logprob"] == -5
    first, *rest = answer["prompt"]["tokens"]
    empty = {"logprob": None, "rank": None, "entropy": None, "top": []}
    assert first == {"id": 98, "text": "b", "bytes": [98], **empty}
    assert [(each["text"], each["logprob"], each["rank"], len(each["top"])) for each in rest] == [
        ("a", -1, 1, 1),
        ("d", -4, 4, 1),
    ]
    assert model.rated[0].scores_prompt


async def test_tokens_and_conversations_are_prompts_too(http: httpx.AsyncClient, model: FakeModel) -> None:
    answer = await post(http, prompt=None, tokens=[120, 121], continuations=[[98], "a"])
    assert [each["text"] for each in answer["options"]] == ["b", "a"]
    assert model.rated[-1].request.tokens == [120, 121]
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, {"role": "assistant", "content": "I"}]
    kwargs = {"enable_thinking": False}
    await post(http, prompt=None, messages=messages, continue_final_message=True, chat_template_kwargs=kwargs)
    request = model.rated[-1].request
    assert request.messages == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "I"}]
    assert (request.continue_final_message, request.template_options) == (True, kwargs)


async def test_control_strings_of_a_text_are_tokens_unless_that_is_turned_off(
    http: httpx.AsyncClient, model: FakeModel
) -> None:
    await post(http)
    await post(http, parse_special=False)
    assert [each.request.parse_special for each in model.rated] == [True, False]


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"continuations": []}, "continuations", "send at least one text"),
        ({"continuations": ["a", ""]}, "continuations[1]", "empty text"),
        ({"continuations": ["a", []]}, "continuations[1]", "empty list of tokens"),
        ({"continuations": ["a", 3]}, "continuations[1]", "wrong"),
        ({"continuations": ["a", [-1]]}, "continuations[1][0]", ">= 0"),
        ({"continuations": ["a"] * 10_000}, "continuations", f"10,000 texts; a call takes {MAX_CONTINUATIONS:,}"),
        ({"prompt": None}, "messages", "exactly one of"),
        ({"tokens": [1]}, "tokens", "has `prompt` and `tokens`"),
        ({"top": 21}, "top", "<= 20"),
        ({"normalize": "words"}, "normalize", "none, tokens"),
        ({"continue_final_message": True}, "continue_final_message", "needs `messages`"),
        ({"stream": True}, "stream", "at once"),
        ({"max_tokens": 5}, "max_tokens", "nothing is generated"),
        ({"logprobs": 3}, "logprobs", "send `top`"),
        ({"continuation": ["a"]}, "continuation", "Did you mean `continuations`?"),
        ({"model": "minilm"}, "model", "generates no text"),
    ],
)
async def test_an_invalid_request_is_rejected_by_the_name_of_its_field(
    http: httpx.AsyncClient, model: FakeModel, fields: dict[str, Any], param: str, words: str
) -> None:
    body = {name: each for name, each in (ASKED | fields).items() if each is not None}
    reply = await http.post(PATH, json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, param), error
    assert words in error["message"]
    assert not model.rated


@pytest.mark.parametrize(
    ("fields", "ours", "theirs"),
    [
        ({}, "continuations[1]", "continuations[1]"),
        ({"prompt": None, "tokens": [5]}, "prompt", "tokens"),
        ({}, "num_top", "top"),
    ],
)
async def test_what_the_engine_refuses_has_the_callers_names(
    http: httpx.AsyncClient, model: FakeModel, fields: dict[str, Any], ours: str, theirs: str
) -> None:
    model.rate_errors = [BadRequest(f"`{ours}` is wrong.", param=ours)]
    body = {name: each for name, each in (ASKED | fields).items() if each is not None}
    error = (await http.post(PATH, json=body)).json()["error"]
    assert (error["param"], error["message"]) == (theirs, f"`{theirs}` is wrong.")
