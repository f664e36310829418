"""The real server with the real model, started as a user starts it, called by the official client."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import ollama
import openai
import pytest

from llmos.core.config import load_settings
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers
from support.default_model import pull_stored
from support.real_server import KEY, Running, lines_until, serving, start

pytestmark = pytest.mark.process

HELLO: Any = [{"role": "user", "content": "Name three colors."}]
LONG: dict[str, Any] = {"model": "dialogue", "prompt": "Once", "max_tokens": 4000, "extra_body": {"ignore_eos": True}}


@pytest.fixture
def client(running: Running) -> Iterator[openai.OpenAI]:
    with running.openai() as client:
        yield client


def test_the_server_becomes_ready_and_requires_its_key(running: Running) -> None:
    ready = httpx.get(f"{running.url}/health/ready").json()
    assert ready == {"status": "ready", "models": [{"version": "smollm2@1", "state": "ready"}]}
    path = running.home / "keys" / "owner"
    assert (path.read_text().strip(), path.stat().st_mode & 0o777) == (KEY, 0o600)


def test_a_plain_and_a_streamed_answer_are_the_same(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "dialogue", "messages": HELLO, "temperature": 0, "max_tokens": 40}
    plain = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert len(text) > 20
    assert plain.choices[0].message.content == text
    first, second = plain.usage, chunks[-1].usage
    assert first is not None
    assert second is not None
    assert (second.prompt_tokens, second.completion_tokens) == (first.prompt_tokens, first.completion_tokens)
    # The second time all of the prompt's whole blocks were there already.
    assert second.prompt_tokens_details is not None
    assert second.prompt_tokens_details.cached_tokens == (second.prompt_tokens - 1) // 16 * 16
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert reasons == [plain.choices[0].finish_reason]
    assert plain.model == chunks[0].model == "smollm2@1"


def test_every_endpoint_returns_the_same_continuation(client: openai.OpenAI, running: Running) -> None:
    asked: dict[str, Any] = {"model": "smollm2", "temperature": 0, "max_tokens": 12}
    text = client.completions.create(prompt="The sky is", **asked).choices[0].text
    body = asked | {"prompt": "The sky is", "raw": True}
    generated = httpx.post(f"{running.url}/llmos/v1/generate", json=body, headers={"x-api-key": KEY}, timeout=60).json()
    assert generated["text"] == text
    echoed = client.completions.create(prompt=["The sky is", "The sky is"], echo=True, **asked)
    assert [choice.text for choice in echoed.choices] == [f"The sky is{text}"] * 2


def test_usage_counts_the_computed_tokens(client: openai.OpenAI) -> None:
    by_length = client.completions.create(
        model="dialogue", prompt=[11, 12, 13], max_tokens=9, extra_body={"ignore_eos": True}
    )
    assert by_length.choices[0].finish_reason == "length"
    assert by_length.usage is not None
    assert (by_length.usage.prompt_tokens, by_length.usage.completion_tokens) == (3, 9)
    several = client.completions.create(
        model="dialogue", prompt=[[11], [12, 13]], n=2, max_tokens=5, extra_body={"ignore_eos": True}
    )
    assert several.usage is not None
    assert (several.usage.prompt_tokens, several.usage.completion_tokens) == (3, 20)


def test_a_stored_conversation_uses_as_many_tokens_as_a_sent_one(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "dialogue", "temperature": 0}
    first = client.responses.create(**asked, input="Name three colors.", max_output_tokens=12)
    second = client.responses.create(
        **asked, input="And a fourth?", max_output_tokens=12, previous_response_id=first.id
    )
    sent: Any = [
        *HELLO, {"role": "assistant", "content": first.output_text}, {"role": "user", "content": "And a fourth?"},
    ]  # fmt: skip
    completion = client.chat.completions.create(**asked, messages=sent, max_tokens=12)
    assert second.output_text == completion.choices[0].message.content
    assert second.usage is not None
    assert completion.usage is not None
    assert second.usage.input_tokens == completion.usage.prompt_tokens
    assert second.usage.output_tokens == completion.usage.completion_tokens
    *_, last = client.responses.create(
        **asked, input="And a fourth?", max_output_tokens=12, previous_response_id=first.id, stream=True
    )
    assert last.type in ("response.completed", "response.incomplete")
    assert last.response.output_text == second.output_text
    assert last.response.usage is not None
    assert last.response.usage.output_tokens == second.usage.output_tokens
    assert last.response.usage.input_tokens_details.cached_tokens == (second.usage.input_tokens - 1) // 16 * 16


def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "dialogue", "prompt": "1, 2, 3, 4,", "temperature": 0, "max_tokens": 30}
    free = client.completions.create(**asked).choices[0].text
    stopped = client.completions.create(**asked, stop=free[4:7]).choices[0]
    assert (stopped.text, stopped.finish_reason) == (free[: free.index(free[4:7])], "stop")


def test_the_seed_determines_the_text(client: openai.OpenAI) -> None:
    def text(seed: int) -> str:
        return (
            client.completions.create(model="dialogue", prompt="Once upon a time", max_tokens=20, seed=seed)
            .choices[0]
            .text
        )

    assert text(7) == text(7) != text(8)


def test_the_choices_of_one_request_differ(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="dialogue", messages=HELLO, n=3, max_tokens=16, seed=1, stream=True)
    texts = ["", "", ""]
    for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert len(set(texts)) == 3


def test_the_likeliest_token_is_the_one_that_is_taken_at_temperature_0(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(
        model="dialogue", messages=HELLO, temperature=0, max_tokens=8, logprobs=True, top_logprobs=3
    )
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert len(logprobs.content) == 8
    for token in logprobs.content:
        assert [top.logprob for top in token.top_logprobs] == sorted(
            (t.logprob for t in token.top_logprobs), reverse=True
        )
        assert token.top_logprobs[0].token == token.token
    assert "".join(token.token for token in logprobs.content) == completion.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_over_the_context_window_is_rejected_with_both_numbers(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="dialogue", prompt=[11] * 9000, stream=stream)
    assert caught.value.code == "context_length_exceeded"
    assert "9,000" in caught.value.message
    assert "8,192" in caught.value.message


@pytest.mark.parametrize(
    "fields",
    [{"temperature": 9}, {"top_p": 2}, {"logit_bias": {"99999999": 1}}, {"presence_penalty": 5}, {"stop": [""]}],
)
def test_the_engine_names_the_field_that_it_rejects(client: openai.OpenAI, fields: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="dialogue", messages=HELLO, max_tokens=1, **fields)
    assert caught.value.param in fields


def test_hanging_up_stops_the_sequence(client: openai.OpenAI, running: Running) -> None:
    stream = client.completions.create(**LONG, stream=True)
    next(iter(stream))
    assert running.replica()["load"]["num_running"] == 1
    stream.close()
    running.wait_until_idle()
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).completions.create(**LONG)
    running.wait_until_idle()
    load = running.replica()["load"]
    assert load["num_free_blocks"] == running.replica()["ready"]["num_blocks"]


def test_ollamas_client_counts_what_the_engine_counted(running: Running, client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "dialogue", "messages": HELLO}
    usage = client.chat.completions.create(**asked, temperature=0, max_tokens=40).usage
    assert usage is not None
    with ollama.Client(host=running.url, headers={"Authorization": f"Bearer {KEY}"}) as other:
        options = {"temperature": 0, "num_predict": 40}
        plain = other.chat("dialogue:latest", HELLO, options=options)
        *pieces, last = other.chat("dialogue:latest", HELLO, options=options, stream=True)
        assert "".join(piece.message.content or "" for piece in pieces) == plain.message.content
        for answer in (plain, last):
            assert (answer.prompt_eval_count, answer.eval_count) == (usage.prompt_tokens, usage.completion_tokens)
        stream = other.generate("dialogue", "Once", raw=True, options={"num_predict": 4000}, stream=True)
        next(stream)
        stream.close()
        running.wait_until_idle()
        with pytest.raises(ollama.ResponseError, match="repeat_penalty is 200") as caught:
            other.chat("dialogue", HELLO, options={"num_predict": 9000, "repeat_penalty": 200})
        assert caught.value.status_code == 400
        [each] = [model for model in other.ps().models if model.model == "dialogue:latest"]
        assert each.context_length == 8192
        assert "<|im_start|>" in (other.show("dialogue").template or "")


def test_a_model_is_loaded_on_its_first_call(client: openai.OpenAI, running: Running) -> None:
    completion = client.completions.create(model="twin", prompt="Once", max_tokens=2)
    assert completion.model == "twin@1"
    assert running.replica("twin@1")["state"] == "ready"


def test_a_killed_replica_fails_only_its_own_streams(client: openai.OpenAI, running: Running) -> None:
    stream = iter(client.completions.create(**LONG, stream=True))
    next(stream)
    os.kill(running.replica()["pid"], signal.SIGKILL)
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert caught.value.code == "replica_failed"
    assert client.completions.create(model="dialogue", prompt="Once", max_tokens=2).choices[0].text
    assert running.replica()["restarts"] == 1


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_sigterm_finishes_running_answers_and_exits(home: Path) -> None:
    with serving(home) as running, running.openai() as client:
        pid = running.replica()["pid"]
        stream = client.completions.create(**LONG | {"max_tokens": 60}, stream=True)
        chunks = [next(iter(stream))]
        running.process.send_signal(signal.SIGTERM)
        chunks += stream
        assert chunks[-1].choices[0].finish_reason == "length"
        assert running.process.wait(60) == 0
        assert not is_alive(pid)
        with pytest.raises(openai.APIConnectionError):
            client.models.list()


def test_a_server_whose_output_nobody_reads_goes_on_and_ends(home: Path) -> None:
    with serving(home) as running, httpx.Client(base_url=running.url) as client:
        for _ in range(400):  # Each has a line of the log; together they are more than a pipe holds.
            assert client.get(f"/{'nowhere' * 40}").status_code == 401
        assert running.end() == 0


def test_a_second_signal_ends_it_at_once(home: Path) -> None:
    with serving(home) as running, running.openai() as client:
        pid = running.replica()["pid"]
        stream = iter(client.completions.create(**LONG | {"max_tokens": 8000}, stream=True))
        next(stream)
        running.process.send_signal(signal.SIGTERM)
        lines_until(running.process, "Shutting down")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 1
        assert not is_alive(pid)
        with pytest.raises((openai.APIError, httpx.HTTPError)):
            list(stream)


def test_a_killed_server_loses_and_doubles_no_line_of_a_batch(tmp_path: Path, smollm2_path: Path) -> None:
    """Two kills in the middle of the answers, and everything is there once, the same as a live call says."""
    pull_stored(open_registry(load_settings({"LLMOS_HOME": str(tmp_path)})), smollm2_path)
    asked: dict[str, Any] = {"model": "dialogue", "prompt": "Once", "max_tokens": 20, "temperature": 0}
    line = {"method": "POST", "url": "/v1/completions", "body": asked}
    lines = [json.dumps({"custom_id": f"{i}", **line}) for i in range(36)]
    batch_id = ""
    for num_answers in (1, 12):
        with serving(tmp_path) as running, running.openai() as client:
            if not batch_id:
                file = client.files.create(file=("lines.jsonl", "\n".join(lines).encode()), purpose="batch")
                batch_id = client.batches.create(
                    input_file_id=file.id, endpoint="/v1/completions", completion_window="24h"
                ).id
            while (counts := client.batches.retrieve(batch_id).request_counts) is None or (
                counts.completed < num_answers
            ):
                pass
            assert counts.completed < 36
            running.process.kill()
    with serving(tmp_path) as running, running.openai() as client:
        while (batch := client.batches.retrieve(batch_id)).status != "completed":
            assert batch.status in ("in_progress", "finalizing")
        live = client.completions.create(**asked).choices[0].text
        answers = [json.loads(each) for each in client.files.content(batch.output_file_id or "").text.splitlines()]
        assert sorted(int(answer["custom_id"]) for answer in answers) == list(range(36))
        assert {answer["response"]["body"]["choices"][0]["text"] for answer in answers} == {live}
        assert batch.usage is not None
        assert batch.usage.output_tokens == 36 * 20
        assert running.end() == 0


def test_serve_prints_its_address_and_an_example(home: Path) -> None:
    process = start(home, "--port", "0")
    said = lines_until(process, "Ready")
    command = re.search(r"^curl .*\n.*$", said, re.MULTILINE)
    assert command, said
    answer = subprocess.run(["bash", "-c", f"{command[0]} -sS"], capture_output=True, text=True, timeout=120)
    assert '"chat.completion"' in answer.stdout, answer.stderr
    # On another port than the one that commands ask by default, it says how they find it.
    assert re.search(r"export LLMOS_ENDPOINT=http://127\.0\.0\.1:\d+$", said, re.MULTILINE)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    process.communicate()


def test_a_signal_during_loading_exits_cleanly(home: Path) -> None:
    process = start(home, "--port", "0")
    lines_until(process, "Loading")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_an_unknown_model_is_one_line_and_status_2(home: Path) -> None:
    process = start(home, "smolm2", "--port", "0")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "smollm2" in said
    assert "Traceback" not in said


def test_a_port_in_use_is_one_line_and_status_2(running: Running, home: Path) -> None:
    process = start(home, "--port", running.url.rpartition(":")[2])
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--port" in said
    assert "Traceback" not in said


def test_a_model_that_cannot_be_loaded_ends_the_server_with_the_reason(tmp_path: Path, smollm2_path: Path) -> None:
    registry = open_registry(load_settings({"LLMOS_HOME": str(tmp_path)}))
    version = Transfers(registry).import_path(smollm2_path, "broken")
    (blob,) = registry.files(version).values()
    blob.unlink()
    process = start(tmp_path, "broken", "--port", "0")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Ready" not in said
    assert "Traceback" not in said
    assert "broken@1 can't be loaded" in said
