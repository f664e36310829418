"""The server's log: a line for each call, each other request and each event of a deployment."""

import contextlib
import io
import json
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmos.core.errors import ModelNotFound, PromptBlocked, PromptTooLong
from llmos.core.log_files import LogFiles, LogFilter
from llmos.core.log_lines import render_text
from llmos.deployments.desired.deployment import DeploymentEvent
from llmos.gateway.calls.call import ModelCall
from llmos.gateway.calls.record import Recorder
from llmos.gateway.log import Log, LogSink, MessageHandler, current_request, log_deployment_event, messages_logged
from llmos.security.callers import owner
from llmos.security.guardrails.policy import open_policy
from llmos.security.guardrails.screening import Screening

NOW = datetime(2026, 11, 29, 14, 36, 42, tzinfo=UTC)


def clock() -> datetime:
    return NOW


def lines(format: Any, *write: Any) -> list[str]:
    stream = io.StringIO()
    log = Log(format, stream)
    for each in write:
        each(log)
    log.close()
    return stream.getvalue().splitlines()


def a_call(log: Log, *, model: str = "dialogue", user: str = "", error: BaseException | None = None) -> None:
    recorder = Recorder([LogSink(log, clock)], clock=clock)
    call = ModelCall(model=model, caller=owner().on_behalf_of(user, 0), id_prefix="answer")
    with contextlib.suppress(BaseException), recorder.open(call, "generate") as record:
        with recorder.attempt(record, "smollm2") as attempt:
            attempt.version = "smollm2@1"
            attempt.num_prompt_tokens, attempt.num_completion_tokens = 31, 14
        if error is not None:
            raise error


def an_event(log: Log) -> None:
    event = DeploymentEvent(at=NOW, kind="ready", actor="reconciler", reason="Loaded in 0.4 s.")
    log_deployment_event(log, "smollm2@1", event)


def test_a_line_of_text_says_who_asked_what_and_how_it_ended() -> None:
    request, deployment = lines("text", lambda log: a_call(log, user="ann"), an_event)
    before, _, after = request.partition(" answer-")
    assert before == "2026-11-29T14:36:42Z request"
    assert after[24:] == " owner/ann dialogue -> smollm2@1 generate 31+14 tokens 0.00 s 200"
    assert deployment == "2026-11-29T14:36:42Z deployment smollm2@1 ready reconciler: Loaded in 0.4 s."


def test_a_line_of_json_has_the_same_as_fields() -> None:
    request, deployment = map(json.loads, lines("json", a_call, an_event))
    assert {name: request[name] for name in ("event", "key", "model", "version", "prompt_tokens", "status")} == {
        "event": "request", "key": "owner", "model": "dialogue", "version": "smollm2@1", "prompt_tokens": 31,
        "status": 200,
    }  # fmt: skip
    assert (deployment["event"], deployment["deployment"], deployment["kind"]) == ("deployment", "smollm2@1", "ready")


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (PromptTooLong("Too long."), 400, "refused"),
        (ModelNotFound("Nothing here."), 404, "failed"),
        (RuntimeError("a bug"), 500, "failed"),
        (GeneratorExit(), 499, "cancelled"),
    ],
)
def test_a_failure_has_the_status_that_the_caller_got(error: BaseException, status: int, outcome: str) -> None:
    (line,) = map(json.loads, lines("json", lambda log: a_call(log, error=error)))
    assert (line["status"], line["outcome"]) == (status, outcome)


@pytest.mark.parametrize("format", ["text", "json"])
def test_what_a_caller_writes_is_no_line_of_its_own(format: str) -> None:
    name = "x\n2026-11-29T14:36:42Z request\x1b[2J\u2028"
    (line,) = lines(format, lambda log: a_call(log, model=name, user=name))
    assert "\x1b" not in line


def test_off_writes_nothing() -> None:
    assert lines("off", a_call, an_event) == []


def test_a_reader_who_does_not_read_delays_nothing_and_is_told_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmos.gateway.log._MAX_WAITING", 2)
    goes_on, begun = threading.Event(), threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            begun.set()
            goes_on.wait()
            return super().write(text)

    stream = Stuck()
    log = Log("text", stream)
    an_event(log)
    begun.wait()
    for _ in range(5):
        an_event(log)  # two wait, three are lost
    goes_on.set()
    while len(stream.getvalue().splitlines()) < 3:
        pass
    assert "(3 lines before this one are lost)" in stream.getvalue().splitlines()[1]
    log.close()


def test_the_line_of_a_call_names_what_guardrails_found_and_not_the_text() -> None:
    policy = open_policy("support", 3, {"input": [{"guardrail": "pii"}, {"guardrail": "secrets"}]})

    def a_screened_call(log: Log) -> None:
        recorder = Recorder([LogSink(log, clock)], clock=clock)
        call = ModelCall(model="dialogue", caller=owner(), id_prefix="answer")
        with contextlib.suppress(PromptBlocked), recorder.open(call, "generate") as record:
            record.screening = Screening([policy])
            record.screening.screen_prompt(["Mail ann@example.com, the key is AKIAIOSFODNN7EXAMPLE."])

    (text,) = lines("text", a_screened_call)
    assert text.endswith(
        " 400 content_filter redact=support/pii:email:input block=support/secrets:aws_access_key:input"
    )
    (line,) = lines("json", a_screened_call)
    assert json.loads(line)["guardrails"][0] == {
        "policy": "support", "guardrail": "pii", "rule": "email", "verdict": "redact", "side": "input"
    }  # fmt: skip
    assert "example.com" not in text + line
    assert "AKIA" not in text + line


def test_files_get_each_event_also_if_the_stream_is_off(tmp_path: Path) -> None:
    stream, files = io.StringIO(), LogFiles(tmp_path, max_bytes=100_000)
    log = Log("off", stream, files)
    a_call(log, error=PromptTooLong("Too long."))
    a_call(log, error=RuntimeError("a bug"))
    an_event(log)
    log.close()
    assert [each["level"] for each in files.read(LogFilter()).data] == ["warning", "error", "info"]
    assert stream.getvalue() == ""


def test_a_message_of_the_code_has_the_id_of_the_request_that_it_is_about(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, max_bytes=100_000)
    log, logger = Log("text", io.StringIO(), files), logging.getLogger("llmos.test")
    logger.addHandler(handler := MessageHandler(log, clock))
    token = current_request.set("req_7")
    try:
        logger.info("Nobody needs this")
        logger.error("It broke %d times", 2)
    finally:
        current_request.reset(token)
        logger.removeHandler(handler)
        log.close()
    (line,) = files.read(LogFilter(request="req_7")).data
    assert (line["event"], line["level"], line["message"]) == ("message", "error", "It broke 2 times")
    assert render_text(line) == "2026-11-29T14:36:42Z message error req_7 llmos.test It broke 2 times"


def test_a_standard_error_that_nobody_reads_stops_nobody_who_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, begun = threading.Event(), threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            begun.set()
            goes_on.wait()
            return super().write(text)

    stderr = Stuck()
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setattr("llmos.gateway.log._MAX_WAITING", 2)
    with messages_logged(Log("off", io.StringIO())):
        logging.getLogger("llmos.test").warning("The first one is being written")
        begun.wait()
        for name in ("llmos.test", "uvicorn.error", "asyncio", "llmos.test"):
            logging.getLogger(name).warning("A message of %s", name)
        goes_on.set()
    assert stderr.getvalue().splitlines() == [
        "The first one is being written",
        "(2 lines before this one are lost)",
        "A message of llmos.test",
        "A message of uvicorn.error",
    ]
