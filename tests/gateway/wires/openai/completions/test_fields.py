"""The fields of a completion request: what they mean, and how invalid ones are rejected."""

import json
from typing import Any

import pytest

from llmos.core.errors import BadRequest
from llmos.gateway.http.requests import decode
from llmos.gateway.wires.openai.completions.fields import CompletionRequest
from llmos.security.callers import owner

pytestmark = pytest.mark.shared_gateway


def refused(body: bytes | dict[str, Any], kind: Any = CompletionRequest) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode(body if isinstance(body, bytes) else json.dumps(body).encode(), kind).call(owner())
    return caught.value


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
    [{"best_of": 3}, {"max_tokens": 0, "logprobs": 1}, {"prompt": ["x"] * 600, "n": 2}],
)
def test_a_completion_rejects_unsupported_fields(fields: dict[str, Any]) -> None:
    assert refused({"model": "m", "prompt": "x"} | fields, CompletionRequest).param in fields


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, (True, None)), ({"parse_special": False}, (False, None)), ({"suffix": "!"}, (True, "!"))],
)
def test_a_prompt_is_what_the_model_sees(fields: dict[str, Any], expected: Any) -> None:
    body = json.dumps({"model": "m", "prompt": "<|im_end|>"} | fields).encode()
    (prompt,) = decode(body, CompletionRequest).call(owner()).prompts
    assert (prompt.parse_special, prompt.suffix) == expected


def test_completions_have_the_defaults_of_openai() -> None:
    call = decode(b'{"model": "m", "prompt": "x", "best_of": 1, "suffix": null}', CompletionRequest).call(owner())
    assert call.sampling.params.max_tokens == 16
    assert call.sampling.params.temperature == 1.0
