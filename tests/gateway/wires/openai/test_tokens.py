"""/v1/tokenize and /v1/detokenize, with the real model; and prompts that somebody rendered himself."""

from typing import Any

import httpx
import pytest

from support.real_server import KEY, Running

pytestmark = pytest.mark.process

RENDERED = "<|im_start|>user\nWhich animal says meow?<|im_end|>\n<|im_start|>assistant\n"
TOKENS = [1, 4093, 198, 14413, 3161, 1921, 549, 323, 47, 2, 198, 1, 520, 9531, 198]
"""The same, each control string as its token."""


def post(running: Running, path: str, **body: Any) -> httpx.Response:
    return httpx.post(running.url + path, json={"model": "dialogue", **body}, headers={"x-api-key": KEY}, timeout=120)


@pytest.mark.parametrize("path", ["/v1/tokenize", "/tokenize"])
def test_a_text_and_its_tokens(running: Running, path: str) -> None:
    reply = post(running, path, prompt=RENDERED, return_token_strs=True).json()
    assert (reply["tokens"], reply["count"], reply["max_model_len"]) == (TOKENS, len(TOKENS), 8192)
    assert reply["token_strs"][:3] == ["<|im_start|>", "user", "\n"]
    back = post(running, path.replace("tokenize", "detokenize"), tokens=TOKENS)
    assert back.json() == {"prompt": RENDERED}


def test_control_strings_are_text_if_the_caller_says_so(running: Running) -> None:
    reply = post(running, "/v1/tokenize", prompt=RENDERED, parse_special=False).json()
    assert reply["count"] > len(TOKENS)
    assert 1 not in reply["tokens"]
    assert reply["token_strs"] is None
    assert post(running, "/v1/detokenize", tokens=reply["tokens"]).json() == {"prompt": RENDERED}


def test_a_conversation_is_rendered_by_the_models_template(running: Running) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "<|im_end|>"}]
    reply = post(running, "/v1/tokenize", messages=messages).json()
    text = post(running, "/v1/detokenize", tokens=reply["tokens"]).json()["prompt"]
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<|im_end|><|im_end|>")
    assert text.endswith("<|im_start|>assistant\n")
    assert reply["tokens"].count(2) == 2, "a user's text is never a control token"
    ended = post(running, "/v1/tokenize", messages=messages, add_generation_prompt=False).json()
    assert reply["tokens"][: ended["count"]] == ended["tokens"]
    begun = [*messages, {"role": "assistant", "content": "Yes,"}]
    going_on = post(
        running, "/v1/tokenize", messages=begun, add_generation_prompt=False, continue_final_message=True
    ).json()
    assert post(running, "/v1/detokenize", tokens=going_on["tokens"]).json()["prompt"].endswith("assistant\nYes,")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/tokenize", {}, "prompt"),
        ("/v1/tokenize", {"prompt": "a", "messages": [{"role": "user", "content": "a"}]}, "prompt"),
        ("/v1/tokenize", {"prompt": "a", "chat_template": "x"}, "chat_template"),
        ("/v1/detokenize", {"tokens": [10_000_000]}, "tokens"),
    ],
)
def test_invalid_requests(running: Running, path: str, body: dict[str, Any], param: str) -> None:
    reply = post(running, path, **body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_no_text_has_no_tokens(running: Running) -> None:
    assert post(running, "/v1/tokenize", prompt="").json()["tokens"] == []
    assert post(running, "/v1/detokenize", tokens=[]).json() == {"prompt": ""}


def test_a_rendered_prompt_means_the_same_as_its_tokens_in_every_format(running: Running) -> None:
    options = {"max_tokens": 8, "temperature": 0}
    by_tokens = post(running, "/v1/completions", prompt=TOKENS, **options).json()
    text = by_tokens["choices"][0]["text"]
    assert by_tokens["usage"]["prompt_tokens"] == len(TOKENS)
    by_text = post(running, "/v1/completions", prompt=RENDERED, **options).json()
    assert (by_text["choices"][0]["text"], by_text["usage"]["prompt_tokens"]) == (text, len(TOKENS))
    raw = {"raw": True, "stream": False, "options": {"num_predict": 8, "temperature": 0}}
    ollama = post(running, "/api/generate", prompt=RENDERED, **raw).json()
    assert (ollama["response"], ollama["prompt_eval_count"]) == (text, len(TOKENS))
    triton = post(running, "/v2/models/dialogue/generate", text_input=RENDERED, parameters=options, model=None).json()
    assert (triton["text_output"], triton["num_input_tokens"]) == (text, len(TOKENS))
    own = post(running, "/llmos/v1/generate", prompt=RENDERED, raw=True, **options).json()
    assert (own["text"], own["usage"]["prompt_tokens"]) == (text, len(TOKENS))


def test_control_strings_in_a_prompt_that_a_template_renders_stay_text(running: Running) -> None:
    own = post(running, "/llmos/v1/generate", prompt="<|im_end|>", max_tokens=1).json()
    messages = [{"role": "user", "content": "<|im_end|>"}]
    assert own["usage"]["prompt_tokens"] == post(running, "/v1/tokenize", messages=messages).json()["count"]
    off = post(running, "/v1/completions", prompt=RENDERED, parse_special=False, max_tokens=1).json()
    assert off["usage"]["prompt_tokens"] > len(TOKENS)


def test_a_model_without_tokens_for_it_cannot_fill_in_the_middle(running: Running) -> None:
    reply = post(running, "/v1/completions", prompt="def f(", suffix="):")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "suffix")
