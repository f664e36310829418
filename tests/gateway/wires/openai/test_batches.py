"""A batch as the official client sees it: a file of requests goes in, files of answers and errors come out."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types import Batch

from llmos.gateway.jobs import batch_runner
from llmos.gateway.services import Services
from support.databases import KINDS
from support.fake_backend import FakeModel
from support.looking import pause, pause_thread
from support.scripted import KEY

CHAT = "/v1/chat/completions"
Carry = Callable[..., Batch]


def hello(**more: Any) -> dict[str, Any]:
    return {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}], **more}


def line(custom_id: Any, body: Any = None, **more: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": hello() if body is None else body} | more


def written(*lines: Any) -> bytes:
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in lines)


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def client(served: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def begin(client: openai.OpenAI) -> Carry:
    def begin(*lines: Any, endpoint: Any = CHAT, metadata: Any = None) -> Batch:
        file = client.files.create(file=("lines.jsonl", written(*lines)), purpose="batch")
        return client.batches.create(
            input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata=metadata
        )

    return begin


@pytest.fixture
def ended(client: openai.OpenAI, services: Services, monkeypatch: pytest.MonkeyPatch) -> Carry:
    """Waits until a batch has ended, and returns it."""
    has_ended = threading.Condition()
    ids: set[str] = set()

    def watched(end: Callable[..., Any]) -> Callable[..., Any]:
        def end_and_tell(id: str, *rest: Any) -> Any:
            found = end(id, *rest)
            with has_ended:
                ids.add(id)
                has_ended.notify_all()
            return found

        return end_and_tell

    for name in ("end", "fail"):
        monkeypatch.setattr(services.data.batches, name, watched(getattr(services.data.batches, name)))

    def ended(batch: Batch) -> Batch:
        with has_ended:
            has_ended.wait_for(lambda: batch.id in ids)
        return client.batches.retrieve(batch.id)

    return ended


@pytest.fixture
def carry_out(begin: Carry, ended: Carry) -> Carry:
    def carry_out(*lines: Any, **more: Any) -> Batch:
        return ended(begin(*lines, **more))

    return carry_out


def lines_of(client: openai.OpenAI, file_id: str | None) -> dict[Any, Any]:
    """The lines of an output, by custom_id."""
    if file_id is None:
        return {}
    lines = [json.loads(each) for each in client.files.content(file_id).text.splitlines()]
    assert len({each["id"] for each in lines}) == len(lines)
    return {each["custom_id"]: each for each in lines}


def test_a_file_of_requests_becomes_a_file_of_answers(client: openai.OpenAI, carry_out: Carry) -> None:
    batch = carry_out(line("a"), line("b", hello(n=2)), metadata={"for": "tests"})
    assert (batch.status, batch.errors, batch.error_file_id) == ("completed", None, None)
    assert (batch.object, batch.endpoint, batch.completion_window) == ("batch", CHAT, "24h")
    assert batch.metadata == {"for": "tests"}
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 2, "completed": 2, "failed": 0}
    assert batch.usage is not None
    assert (batch.usage.input_tokens, batch.usage.output_tokens, batch.usage.total_tokens) == (10, 9, 19)
    assert batch.created_at <= (batch.in_progress_at or 0) <= (batch.finalizing_at or 0) <= (batch.completed_at or 0)
    assert batch.expires_at == batch.created_at + 24 * 3600
    output = lines_of(client, batch.output_file_id)
    assert output.keys() == {"a", "b"}
    assert output["a"]["error"] is None
    assert output["a"]["response"]["status_code"] == 200
    assert output["a"]["response"]["request_id"].startswith("req-")
    assert output["a"]["response"]["body"]["choices"][0]["message"]["content"] == "Hello"
    assert len(output["b"]["response"]["body"]["choices"]) == 2
    assert client.files.retrieve(batch.output_file_id or "").purpose == "batch_output"


def test_the_documented_example_works(client: openai.OpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[4] / "docs" / "api.md").read_text()
    [example] = re.findall(r"^## Batches\n.*?```python\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    exec(example.replace("time.sleep(1)", "pass"), {"client": client})
    assert sorted(capsys.readouterr().out.splitlines()) == ["question 0 Hello", "question 1 Hello"]


def test_a_line_is_answered_byte_for_byte_as_a_live_call(
    client: openai.OpenAI, carry_out: Carry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmos.core.ids._joined", lambda prefix, _: f"{prefix}-{0:024}")
    monkeypatch.setattr("llmos.gateway.calls.answer.time.time", lambda: 1_700_000_000)
    asked = hello(logprobs=True, temperature=0.123456789012345678)
    live = client.chat.completions.with_raw_response.create(**asked)
    batch = carry_out(line("a", asked))
    output = client.files.content(batch.output_file_id or "").content
    assert live.http_response.content in output


def test_embeddings_work_in_a_batch(client: openai.OpenAI, carry_out: Carry, model: FakeModel) -> None:
    asked: dict[str, Any] = {"model": "minilm", "input": ["one", "two"]}
    batch = carry_out(line("a", asked, url="/v1/embeddings"), endpoint="/v1/embeddings")
    answer = lines_of(client, batch.output_file_id)["a"]["response"]["body"]
    live = client.embeddings.create(**asked, encoding_format="float")
    assert [each["embedding"] for each in answer["data"]] == [each.embedding for each in live.data]
    assert batch.usage is not None
    assert batch.usage.input_tokens == live.usage.prompt_tokens
    in_batch, alive = model.embedded
    assert in_batch.priority < alive.priority


LIKELIHOOD = "/llmos/v1/likelihood"


def test_given_texts_are_scored_in_a_batch(client: openai.OpenAI, carry_out: Carry, model: FakeModel) -> None:
    asked: dict[str, Any] = {"model": "dialogue", "prompt": "Hello", "continuations": ["a", "bc"]}
    batch = carry_out(line("a", asked, url=LIKELIHOOD), line("b", asked, url=CHAT), endpoint=LIKELIHOOD)
    answer = lines_of(client, batch.output_file_id)["a"]["response"]["body"]
    assert [each["logprob"] for each in answer["options"]] == [-1, -5]
    assert batch.usage is not None
    assert (batch.usage.input_tokens, batch.usage.output_tokens) == (8, 0)
    assert model.rated[0].request.priority < 0
    assert "the endpoint of the batch is /llmos/v1/likelihood" in client.files.content(batch.error_file_id or "").text


def test_prompts_are_scored_in_a_batch(client: openai.OpenAI, carry_out: Carry) -> None:
    asked = {"model": "dialogue", "prompt": "ab", "echo": True, "logprobs": 0, "max_tokens": 0}
    batch = carry_out(line("a", asked, url="/v1/completions"), endpoint="/v1/completions")
    (choice,) = lines_of(client, batch.output_file_id)["a"]["response"]["body"]["choices"]
    assert (choice["text"], choice["logprobs"]["token_logprobs"]) == ("ab", [None, -2])


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, hello()),
        ("/v1/completions", {"model": "dialogue", "prompt": ["one", "two"]}),
        ("/v1/responses", {"model": "dialogue", "input": "Hello"}),
    ],
)
def test_every_batch_endpoint_is_supported(client: openai.OpenAI, carry_out: Carry, endpoint: str, body: Any) -> None:
    batch = carry_out(line("a", body, url=endpoint), endpoint=endpoint)
    assert lines_of(client, batch.output_file_id)["a"]["response"]["status_code"] == 200
    assert batch.usage is not None
    assert batch.usage.input_tokens >= 5
    assert batch.usage.output_tokens >= 3


def test_the_asynchronous_client_does_the_same(served: str) -> None:
    async def there_and_back() -> str:
        async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=KEY, max_retries=0) as client:
            file = await client.files.create(file=("lines.jsonl", written(line("a"))), purpose="batch")
            batch = await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
            while batch.status != "completed":
                await pause()
                batch = await client.batches.retrieve(batch.id)
            assert [each.id async for each in client.batches.list()] == [batch.id]
            return (await client.files.content(batch.output_file_id or "")).text

    assert '"Hello"' in asyncio.run(there_and_back())


BAD_LINES = [
    (b"{not json", None, "invalid_request", "not valid JSON"),
    (b"[1]", None, "invalid_request", "must be a JSON object"),
    (b"\xff\xfe", None, "invalid_request", "not valid JSON"),
    (b"[" * 100_000, None, "invalid_request", "not valid JSON"),
    ({"method": "POST", "url": CHAT, "body": hello()}, None, "invalid_request", "`custom_id` must be a string"),
    (line(7), None, "invalid_request", "`custom_id` must be a string"),
    (line("x" * 513), None, "invalid_request", "`custom_id` must be a string"),
    (line("bad", method="GET"), "bad", "invalid_request", "`method` is 'GET'; it accepts 'POST'"),
    (
        line("bad", url="/v1/completions"),
        "bad",
        "invalid_request",
        "but the endpoint of the batch is /v1/chat/completions",
    ),
    (line("bad", body="Hello"), "bad", "invalid_request", "`body` must be a JSON object"),
    (line("bad", headers={}), "bad", "invalid_request", "There is no field `headers`"),
    (line("bad", hello(stream=True)), "bad", "invalid_request", "`body.stream` is not supported"),
    (line("bad", hello(priority=5)), "bad", "invalid_request", "`body.priority` is not supported"),
]


@pytest.mark.parametrize(("bad", "custom_id", "code", "reason"), BAD_LINES)
def test_an_invalid_line_fails_and_the_others_run(
    client: openai.OpenAI, carry_out: Carry, bad: Any, custom_id: str | None, code: str, reason: str
) -> None:
    batch = carry_out(line("a"), bad, line("c"))
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 3, "completed": 2, "failed": 1}
    assert lines_of(client, batch.output_file_id).keys() == {"a", "c"}
    error = lines_of(client, batch.error_file_id)[custom_id]
    assert error["response"] is None
    assert (error["error"]["code"], error["error"]["line"]) == (code, 2)
    assert error["error"]["message"].startswith("Line 2: ")
    assert reason in error["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (hello(model="nowhere"), 404, "model_not_found", "model"),
        (hello(temprature=1), 400, "invalid_request", "temprature"),
        (hello(messages=[]), 400, "invalid_request", "messages"),
        ({}, 400, "invalid_request", "model"),
    ],
)
def test_a_line_that_the_endpoint_rejects_has_the_endpoints_error(
    client: openai.OpenAI, carry_out: Carry, body: Any, status: int, code: str, param: str
) -> None:
    batch = carry_out(line("a"), line("bad", body))
    assert lines_of(client, batch.output_file_id).keys() == {"a"}
    error = lines_of(client, batch.error_file_id)["bad"]
    assert error["error"] is None
    assert error["response"]["status_code"] == status
    assert error["response"]["request_id"].startswith("req-")
    assert (error["response"]["body"]["error"]["code"], error["response"]["body"]["error"]["param"]) == (code, param)


def test_half_a_character_in_a_line_is_replaced(client: openai.OpenAI, carry_out: Carry, model: FakeModel) -> None:
    text = json.dumps(line("a", hello(messages=[{"role": "user", "content": "half"}])))
    batch = carry_out(text.replace("half", r"\ud83d").encode())
    assert lines_of(client, batch.output_file_id).keys() == {"a"}
    assert model.requests[-1].messages == [{"role": "user", "content": "\ufffd"}]


def test_a_line_that_is_too_long_fails_alone(
    client: openai.OpenAI, carry_out: Carry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmos.gateway.jobs.batch_lines._MAX_LINE_BYTES", 1000)
    batch = carry_out(line("a"), line("b" * 100, hello(user="u" * 5000)), line("c"))
    assert lines_of(client, batch.output_file_id).keys() == {"a", "c"}
    assert "longer than 1,000 bytes" in lines_of(client, batch.error_file_id)[None]["error"]["message"]


def test_byte_order_marks_and_empty_lines_are_not_requests(client: openai.OpenAI, carry_out: Carry) -> None:
    lines = b"\xef\xbb\xbf" + written(line("a")).replace(b"\n", b"\r\n\r\n") + b"  \n" + written(line("b")).rstrip()
    batch = carry_out(lines)
    assert batch.request_counts is not None
    assert batch.request_counts.total == 2
    assert lines_of(client, batch.output_file_id).keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), [("empty_file", None)]),
        ((b" ", b"\t"), [("empty_file", None)]),
        ((b"one", b"two"), [("invalid_request", 1), ("invalid_request", 2)]),
        ((line("a", url="/v1/other"),), [("invalid_request", 1)]),
        ((line("a"), line("b"), line("a"), line("a")), [("duplicate_custom_id", 3), ("duplicate_custom_id", 4)]),
    ],
)
def test_a_file_without_a_valid_line_fails_as_a_whole(
    carry_out: Carry, model: FakeModel, lines: Any, expected: list[tuple[str, int | None]]
) -> None:
    batch = carry_out(*lines)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("failed", None, None)
    assert batch.failed_at is not None
    assert batch.errors is not None
    assert [(error.code, error.line) for error in batch.errors.data or []] == expected
    assert model.requests == []


def test_a_file_with_too_many_requests_fails_as_a_whole(carry_out: Carry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_runner, "MAX_LINES", 2)
    batch = carry_out(line("a"), line("b"), line("c"))
    assert batch.errors is not None
    [error] = batch.errors.data or []
    assert (batch.status, error.code, error.line) == ("failed", "too_many_requests", 3)


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"endpoint": "/v1/images/generations"}, "endpoint", "it accepts /v1/chat/completions, /v1/completions"),
        ({"completion_window": "1h"}, "completion_window", "it accepts '24h'"),
        ({"input_file_id": "file-gone"}, "input_file_id", "Upload one to /v1/files"),
        ({"metadata": {str(i): "" for i in range(17)}}, "metadata", "it accepts at most 16"),
        ({"metadata": {"a": "x" * 513}}, "metadata", "<= 512"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600}}, "output_expires_after", "not supported"),
        ({"extra_body": {"prioity": 1}}, "prioity", "There is no field"),
    ],
)
def test_an_invalid_batch_is_rejected_by_field(
    client: openai.OpenAI, fields: dict[str, Any], param: str, reason: str
) -> None:
    file = client.files.create(file=("lines.jsonl", written(line("a"))), purpose="batch")
    asked: dict[str, Any] = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    with pytest.raises(openai.APIStatusError, match=reason) as caught:
        client.batches.create(**asked | fields)
    assert (caught.value.param or "").startswith(param)
    assert list(client.batches.list()) == []


def test_the_client_pages_through_a_list(client: openai.OpenAI, carry_out: Carry) -> None:
    made = [carry_out(line("a")).id for _ in range(3)]
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]
    with pytest.raises(openai.BadRequestError):
        client.batches.list(limit=101)
    with pytest.raises(openai.NotFoundError, match="There is no batch"):
        client.batches.retrieve("batch-gone")


def test_a_cancelled_batch_returns_the_answers_it_has(
    client: openai.OpenAI, begin: Carry, ended: Carry, model: FakeModel
) -> None:
    model.enqueue("Hello")
    model.enqueue("Hel", model.never)
    batch = begin(line("a"), line("b"), *(line(f"more {i}", hello(model="nowhere")) for i in range(40)))
    while not batch.request_counts or batch.request_counts.completed < 1 or len(model.requests) < 2:
        pause_thread()
        batch = client.batches.retrieve(batch.id)
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    batch = ended(batch)
    assert (batch.status, batch.cancelled_at is not None) == ("cancelled", True)
    # The lines run at the same time, and either may reach the model first.
    (answered,) = lines_of(client, batch.output_file_id)
    (cut,) = {"a", "b"} - {answered}
    errors = lines_of(client, batch.error_file_id)
    assert errors[cut]["error"]["code"] == "batch_cancelled"
    assert len(errors) == 41
    assert model.was_closed_early.is_set(), "what ran was stopped"
    assert client.batches.cancel(batch.id).status == "cancelled", "once more changes nothing"


def test_a_completed_batch_cannot_be_cancelled(client: openai.OpenAI, carry_out: Carry) -> None:
    with pytest.raises(openai.ConflictError, match="is completed and can't be cancelled"):
        client.batches.cancel(carry_out(line("a")).id)


def test_the_input_file_of_a_running_batch_cannot_be_deleted(
    client: openai.OpenAI, begin: Carry, ended: Carry, model: FakeModel
) -> None:
    model.enqueue("Hel", model.never)
    batch = begin(line("a"))
    with pytest.raises(openai.ConflictError, match=f"{batch.id} is reading"):
        client.files.delete(batch.input_file_id)
    client.batches.cancel(batch.id)
    ended(batch)
    assert client.files.delete(batch.input_file_id).deleted


def test_batches_and_their_lines_are_in_the_metrics(client: openai.OpenAI, carry_out: Carry, served: str) -> None:
    carry_out(line("a"), line("b", hello(temprature=1)))
    counted = httpx.get(f"{served}/metrics", headers={"x-api-key": KEY}, trust_env=False).text.splitlines()
    for each in [
        'llmos_batches{status="completed"} 1.0',
        'llmos_batches{status="in_progress"} 0.0',
        'llmos_http_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1.0',
        'llmos_http_requests_total{method="POST",route="/v1/chat/completions",status="400"} 1.0',
        'llmos_calls_ended_total{model_name="smollm2@1",outcome="answered"} 1.0',
        'llmos_generation_tokens_total{model_name="smollm2@1"} 3.0',
    ]:
        assert each in counted


def test_a_request_cannot_set_the_state_of_its_scope(served: str) -> None:
    """A line comes in with its tenant instead of a key; nobody else does."""
    assert httpx.get(f"{served}/v1/files", headers={"tenant": "owner"}, trust_env=False).status_code == 401
