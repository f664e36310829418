"""Retries: which failures are retried, how often, and after which delay."""

import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from llmos.client.retry import RetryPolicy
from llmos.core.errors import ConnectionFailed, LLMOSError, RateLimited, RequestTimeout, Unavailable


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(model: Any, server: Any, status: int) -> None:
    server.replies(server.error(status, "whatever"), server.json(server.generated))
    assert model.generate_text("Hi").text == "Hello there"
    assert len(server.received) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_lasting_failure_is_not(model: Any, server: Any, status: int) -> None:
    server.replies(server.error(status, "whatever"))
    with pytest.raises(LLMOSError):
        model.generate_text("Hi")
    assert len(server.received) == 1


def test_a_dropped_connection_is_tried_again(model: Any, server: Any) -> None:
    server.replies(server.drop, server.drop, server.json(server.generated))
    assert model.generate_text("Hi").text == "Hello there"
    assert len(server.received) == 3


def test_there_are_two_more_tries_and_growing_waits(model: Any, server: Any, waits: list[float]) -> None:
    server.replies(*[server.error(503, "unavailable", "Loading.")] * 3)
    with pytest.raises(Unavailable, match="Loading"):
        model.generate_text("Hi")
    assert len(server.received) == 3
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1.0


def test_max_retries_can_be_none_at_all(connect: Any, server: Any) -> None:
    server.replies(server.error(503, "unavailable"))
    with pytest.raises(Unavailable):
        connect(max_retries=0).models.list()
    assert len(server.received) == 1


def test_the_servers_retry_after_is_honoured(model: Any, server: Any, waits: list[float]) -> None:
    server.replies(server.error(429, "rate_limit_exceeded", retry_after="7"), server.json(server.generated))
    model.generate_text("Hi")
    assert waits == [7.0]


def test_a_retry_after_may_be_a_date(model: Any, server: Any, waits: list[float]) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server.replies(server.error(503, "unavailable", retry_after=date), server.json(server.generated))
    model.generate_text("Hi")
    assert 0 < waits[0] <= 30


def test_a_retry_after_that_cannot_be_read_is_ignored(model: Any, server: Any, waits: list[float]) -> None:
    server.replies(server.error(503, "unavailable", retry_after="soon"), server.json(server.generated))
    model.generate_text("Hi")
    assert 0.25 <= waits[0] <= 0.5


def test_a_server_that_wants_an_hour_is_not_waited_for(model: Any, server: Any, waits: list[float]) -> None:
    server.replies(server.error(429, "rate_limit_exceeded", retry_after="3600"))
    with pytest.raises(RateLimited) as caught:
        model.generate_text("Hi")
    assert caught.value.retry_after_seconds == 3600
    assert waits == []


def test_a_stream_is_tried_again_before_its_first_piece(model: Any, server: Any) -> None:
    server.replies(
        server.error(503, "unavailable"),
        server.stream({"id": "lost", "text": ""}, then="die"),
        server.pieces("Hel", "lo"),
    )
    stream = model.generate_text("Hi", stream=True)
    assert list(stream) == ["Hel", "lo"]
    assert stream.id == "answer-1"
    assert len(server.received) == 3


def test_an_error_event_before_the_first_piece_is_tried_again(model: Any, server: Any) -> None:
    failed = {"error": {"message": "The replica died.", "code": "replica_failed"}}
    server.replies(server.stream(failed), server.pieces("a"))
    assert list(model.generate_text("Hi", stream=True)) == ["a"]


@pytest.mark.parametrize("then", ["die", "end"])
def test_a_stream_that_breaks_off_after_its_first_piece_is_not(
    model: Any, server: Any, waits: list[float], then: str
) -> None:
    server.replies(server.stream({"id": "answer-1", "text": "Hel"}, then=then), server.pieces("Hello"))
    stream = model.generate_text("Hi", stream=True)
    with pytest.raises(ConnectionFailed, match="was lost during the answer"):
        list(stream)
    assert stream.text == "Hel"
    assert len(server.received) == 1
    assert waits == []


def test_a_connection_lost_after_done_changes_nothing(model: Any, server: Any) -> None:
    server.replies(server.stream({"id": "answer-1", "text": "a"}, server.last_event, "[DONE]", then="die"))
    assert list(model.generate_text("Hi", stream=True)) == ["a"]


@pytest.mark.timing
def test_a_silent_server_times_out_once(connect: Any, server: Any) -> None:
    server.replies(server.json(server.model))
    model = connect(timeout_seconds=2).models.get("dialogue")
    server.received.clear()
    server.replies(server.silence)
    with pytest.raises(RequestTimeout, match=r"sent no data for 2 seconds.*timeout_seconds"):
        model.generate_text("Hi")
    assert len(server.received) == 1


def test_a_missing_server_is_named_with_the_command_that_starts_one(connect: Any, waits: list[float]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connecting is refused
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConnectionFailed, match=f"No server answers at {endpoint} .*`llmos serve`") as raised:
            connect(endpoint=endpoint).models.get("dialogue")
    assert "Errno" not in raised.value.message
    assert len(waits) == 2


def test_jitter_spreads_callers_over_half_of_the_delay() -> None:
    error = Unavailable("x")
    longest = RetryPolicy(jitter=lambda: 0.0, max_retries=9)
    shortest = RetryPolicy(jitter=lambda: 1.0, max_retries=9)
    assert [longest.delay_seconds(error, failures) for failures in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 8.0]
    assert [shortest.delay_seconds(error, failures) for failures in (1, 2, 3, 9)] == [0.25, 0.5, 1.0, 4.0]
    assert longest.delay_seconds(error, 10) is None


def test_a_wait_is_logged_with_its_reason(
    model: Any, server: Any, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="llmos.client")
    limit = server.error(429, "rate_limited", "The key key-1 may make 3 requests a minute.", **{"Retry-After": "20"})
    server.replies(limit, server.json(server.generated))
    assert model.generate_text("Hi").text == "Hello there"
    assert caplog.messages == ["The key key-1 may make 3 requests a minute. Trying again in 20 s."]
