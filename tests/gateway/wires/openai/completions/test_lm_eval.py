"""Texts are scored through /v1/completions, by the real model: requests of the form that lm-eval 0.4 sends for multiple
choice and perplexity, and its reading of the answers."""

from typing import Any

import httpx
import pytest

from support.real_server import KEY, Running

pytestmark = pytest.mark.process

TEXT = "The quick brown fox jumps over the lazy dog. Grüße aus Köln, 北京 and 🎉!"


@pytest.fixture
def ask(running: Running) -> Any:
    def ask(path: str, **body: Any) -> Any:
        reply = httpx.post(
            running.url + path, json={"model": "smollm2", **body}, headers={"x-api-key": KEY}, timeout=120
        )
        assert reply.status_code == 200, reply.text
        return reply.json()

    return ask


def loglikelihoods(ask: Any, requests: list[tuple[list[int], list[int]]], **more: Any) -> list[tuple[float, bool]]:
    """Return (log probability, whether it is the greedy answer) of each (context, continuation), as lm-eval does it."""
    payload = {"temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
    prompts = [context + continuation for context, continuation in requests]
    completion = ask("/v1/completions", prompt=prompts, **{**payload, **more})
    results = []
    choices = sorted(completion["choices"], key=lambda choice: choice["index"])
    for choice, (context, _) in zip(choices, requests, strict=True):
        # The answer's one token is cut off.
        logprobs = choice["logprobs"]["token_logprobs"][len(context) : -1]
        tops = choice["logprobs"]["top_logprobs"][len(context) : -1]
        is_greedy = all(each == max(top.values()) for each, top in zip(logprobs, tops, strict=True))
        results.append((sum(logprobs), is_greedy))
    return results


def tokens(ask: Any, text: str) -> list[int]:
    return [*ask("/v1/tokenize", prompt=text)["tokens"]]


def test_multiple_choice_has_the_numbers_of_the_likelihood_endpoint(ask: Any) -> None:
    context, options = tokens(ask, "The capital of France is"), [" Paris", " a city", " Rome", " the.<|im_end|>"]
    encoded = [tokens(ask, option) for option in options]
    scored = loglikelihoods(ask, [(context, each) for each in encoded])
    expected = ask("/llmos/v1/likelihood", tokens=context, continuations=encoded)
    assert [logprob for logprob, _ in scored] == pytest.approx(
        [each["logprob"] for each in expected["options"]], rel=1e-12
    )
    assert [is_greedy for _, is_greedy in scored] == [
        all(token["rank"] == 1 for token in option["tokens"]) for option in expected["options"]
    ]
    assert scored[0][1], "the model says Paris"
    assert expected["best_index"] == 0


def test_an_answer_that_ends_at_once_has_a_log_probability_too(ask: Any) -> None:
    """Otherwise lm-eval would cut off the last token of the text itself."""
    context = tokens(ask, "Is a llama an animal? Answer:")
    completion = ask("/v1/completions", prompt=[context], max_tokens=1, echo=True, logprobs=1, temperature=0)
    (choice,) = completion["choices"]
    assert (choice["finish_reason"], choice["logprobs"]["tokens"][-1]) == ("stop", "<|im_end|>")
    assert len(choice["logprobs"]["tokens"]) == len(context) + completion["usage"]["completion_tokens"]
    assert choice["text"] == "Is a llama an animal? Answer:"


def test_perplexity_is_the_same_in_windows_and_through_every_form(ask: Any) -> None:
    """The first token of a text has no context, so lm-eval puts the end-of-text token before it."""
    prefix, text = tokens(ask, "<|endoftext|>"), tokens(ask, TEXT)
    ((total, _),) = loglikelihoods(ask, [(prefix, text)])
    alone = ask("/v1/completions", prompt=prefix + text, max_tokens=0, echo=True, logprobs=0)["choices"][0]
    assert sum(alone["logprobs"]["token_logprobs"][1:]) == pytest.approx(total, rel=1e-12)
    assert alone["text"].endswith(TEXT)
    rated = ask("/llmos/v1/likelihood", tokens=prefix + text, score_prompt=True)["prompt"]
    assert rated["logprob"] == pytest.approx(total, rel=1e-12)
    vllm = ask("/v1/completions", prompt=prefix + text, max_tokens=1, prompt_logprobs=0)["choices"][0]
    assert sum(next(iter(each.values()))["logprob"] for each in vllm["prompt_logprobs"][1:]) == pytest.approx(
        total, rel=1e-12
    )
    windows = [(prefix, text[:16]), (text[15:16], text[16:])]
    assert sum(logprob for logprob, _ in loglikelihoods(ask, windows)) < 0
    assert -6 < total / len(text) < -1


def test_a_generated_answer_is_scored_as_it_was_generated(ask: Any) -> None:
    asked: dict[str, Any] = {"prompt": "The capital of France is", "max_tokens": 12, "temperature": 0, "logprobs": 2}
    (choice,) = ask("/v1/completions", **asked)["choices"]
    (option,) = ask("/llmos/v1/likelihood", prompt=asked["prompt"], continuations=[choice["text"]], top=2)["options"]
    assert [token["text"] for token in option["tokens"]] == choice["logprobs"]["tokens"]
    assert [token["logprob"] for token in option["tokens"]] == choice["logprobs"]["token_logprobs"]
    for token, top in zip(option["tokens"], choice["logprobs"]["top_logprobs"], strict=True):
        assert {each["text"]: each["logprob"] for each in token["top"]} == top


def test_the_positions_of_a_prompts_tokens_are_those_in_its_text(ask: Any) -> None:
    for prompt in (TEXT, tokens(ask, TEXT)):
        (choice,) = ask("/v1/completions", prompt=prompt, max_tokens=2, echo=True, logprobs=0, temperature=0)["choices"]
        logprobs = choice["logprobs"]
        for name, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
            assert name.startswith("bytes:") or choice["text"].startswith(name, offset), (name, offset)


def test_a_stream_begins_with_the_prompt_and_its_log_probabilities(running: Running, ask: Any) -> None:
    asked: dict[str, Any] = {"prompt": "The capital of France is", "max_tokens": 3, "temperature": 0, "logprobs": 1}
    (whole,) = ask("/v1/completions", echo=True, **asked)["choices"]
    chunks = list(running.openai().completions.create(model="smollm2", echo=True, stream=True, **asked))
    assert chunks[0].choices[0].text.startswith("The capital of France is")
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole["text"]
    streamed = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    for name in ("tokens", "token_logprobs", "text_offset"):
        assert [each for one in streamed for each in getattr(one, name)] == whole["logprobs"][name]


def test_a_conversation_is_scored_behind_its_template(ask: Any) -> None:
    messages = [{"role": "user", "content": "Which animal says meow? One word."}]
    scored = ask("/llmos/v1/likelihood", messages=messages, continuations=["Cat", "Dog"], top=3, normalize="bytes")
    assert sum(option["probability"] for option in scored["options"]) == pytest.approx(1)
    generated = ask(
        "/v1/chat/completions", messages=messages, max_tokens=1, temperature=0, logprobs=True, top_logprobs=3
    )["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    assert [each["text"] for each in scored["options"][0]["tokens"][0]["top"]] == [each["token"] for each in generated]
    assert scored["options"][0]["tokens"][0]["top"][0]["logprob"] == pytest.approx(generated[0]["logprob"], rel=1e-12)


def test_a_continuation_that_merges_with_the_prompt_is_refused_with_both_readings(running: Running) -> None:
    body = {"model": "smollm2", "prompt": "I live in Par", "continuations": [" now", "is"]}
    reply = httpx.post(f"{running.url}/llmos/v1/likelihood", json=body, headers={"x-api-key": KEY}, timeout=120)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, "continuations[1]")
    assert "' Paris'" in error["message"]
