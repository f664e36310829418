"""Events about an entry: CloudEvents as their specification has them, and Lago's events."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from llmos.billing.entries import MEASURES
from llmos.billing.exporters.events import FORMATS, EventOptions, Line, probe_event, reason_of

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def line(**fields: Any) -> Line:
    measures = dict.fromkeys(MEASURES, 0) | {"num_calls": 1, "input_tokens": 5, "replica_micros": 1_500_000}
    facts: dict[str, Any] = {
        "number": 7, "call_id": "answer-1", "line": 0, "request_id": "req-1", "at": 1_790_000_000, "project": "acme",
        "key_id": "key-1", "user": "ann", "route": "dialogue", "version": "smollm2@1", "app": "",
        "operation": "generate", "outcome": "answered", "is_background": False, "measures": measures,
        "cost_nanos": 12_000, "currency": "EUR", "price_version": 3, "reversal_of": "",
    }  # fmt: skip
    return Line(**facts | fields)


def options(kind: str, **fields: str) -> EventOptions:
    given = {"type": "llmos" if kind == "lago" else "llmos.usage", "source": "llmos", "subject": "project"}
    return EventOptions(kind=kind, **given | fields)


def test_a_cloud_event_has_what_the_specification_asks_for() -> None:
    (event,) = FORMATS["openmeter"].events(line(), options("openmeter"))
    body = dict(event.body)
    data = body.pop("data")
    assert body == {
        "specversion": "1.0",
        "id": "answer-1/0",
        "source": "llmos",
        "type": "llmos.usage",
        "subject": "acme",
        "time": "2026-09-21T14:13:20Z",
        "datacontenttype": "application/json",
    }
    assert (data["num_calls"], data["input_tokens"], data["output_tokens"]) == (1, 5, 0)
    assert (data["replica_seconds"], data["cost"], data["currency"]) == ("1.5", "0.000012", "EUR")
    assert "ann" not in json.dumps(event.body), "names of users are sent only where they are asked for"


def test_a_lago_event_is_about_one_metric() -> None:
    events = FORMATS["lago"].events(line(), options("lago"))
    assert {each.body["code"]: each.body["properties"]["value"] for each in events} == {
        "llmos_num_calls": "1",
        "llmos_input_tokens": "5",
        "llmos_replica_seconds": "1.5",
        "llmos_cost": "0.000012",
    }
    first = events[0].body
    assert (first["transaction_id"], first["external_subscription_id"]) == ("answer-1/0/num_calls", "acme")
    assert first["timestamp"] == 1_790_000_000
    assert events[-1].body["properties"]["currency"] == "EUR"


@pytest.mark.parametrize(
    ("subject", "fields", "expected"),
    [
        ("project", {}, "acme"),
        ("key", {}, "key-1"),
        ("user", {}, "acme/ann"),
        ("user", {"user": ""}, "acme"),
        ("key", {"key_id": ""}, "acme"),
    ],
)
def test_an_event_is_about_a_project_a_key_or_a_user(subject: str, fields: dict[str, str], expected: str) -> None:
    (event,) = FORMATS["cloudevents"].events(line(**fields), options("cloudevents", subject=subject))
    assert event.body["subject"] == expected


def test_a_reversal_takes_its_numbers_back() -> None:
    taken = dict.fromkeys(MEASURES, 0) | {"num_calls": -1, "input_tokens": -5}
    back = line(line=-1, measures=taken, cost_nanos=-12_000, reversal_of="answer-1/0")
    (event,) = FORMATS["openmeter"].events(back, options("openmeter"))
    assert (event.body["id"], event.body["data"]["input_tokens"]) == ("answer-1/-1", -5)
    assert (event.body["data"]["cost"], event.body["data"]["reversal_of"]) == ("-0.000012", "answer-1/0")
    values = {e.body["code"]: e.body["properties"]["value"] for e in FORMATS["lago"].events(back, options("lago"))}
    assert values == {"llmos_num_calls": "-1", "llmos_input_tokens": "-5", "llmos_cost": "-0.000012"}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_test_event_counts_nothing(kind: str) -> None:
    event = probe_event(options(kind), "test-1", NOW)
    assert event.body.get("type", "llmos.usage.test") == "llmos.usage.test"
    assert event.body.get("code", "llmos_test") == "llmos_test"
    assert json.loads(FORMATS[kind].encode([event]))


@pytest.mark.parametrize(
    ("body", "num_events", "expected"),
    [
        (b'{"error_details": {"1": {"transaction_id": ["value_already_exist"]}}}', 2, {1: ""}),
        (b'{"error_details": {"0": {"code": ["metric_not_found"]}}}', 2, {0: "code: metric_not_found"}),
        (b'{"error_details": {"transaction_id": ["value_already_exist"]}}', 1, {0: ""}),
        (b'{"error_details": {"transaction_id": ["value_already_exist"]}}', 2, {}),
        (b'{"error_details": {"9": {"code": ["x"]}}}', 2, {}),
        (b'{"error_details": {"0": {"a": "b"}}}', 1, {0: "a: b"}),
        (b'{"error_details": {"0": 7}}', 1, {}),
        (b'{"error_details": []}', 1, {}),
        (b'{"error_details": [7]}', 1, {}),
        (b'{"error": "cut o', 1, {}),
        (b"[]", 1, {}),
        (b"", 1, {}),
    ],
)
def test_what_lago_says_about_a_refusal_is_read(body: bytes, num_events: int, expected: dict[int, str]) -> None:
    assert FORMATS["lago"].verdicts(body, num_events) == expected


def test_a_reason_is_one_short_line() -> None:
    assert reason_of(b'{"detail":\n "no\x00 time"}', 400) == '400: {"detail": "no time"}'
    assert reason_of(b"\xff" * 2000, 400).startswith("400: ")
    assert len(reason_of(b"x" * 2000, 400)) == 500
    assert reason_of(b"", 422) == "The receiver answered with 422."
