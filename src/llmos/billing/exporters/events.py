"""Events: what a receiver is told of an entry of the ledger. Knows no database and no network.

The id follows from the entry, so that a receiver that gets an event twice counts it once. An entry is one CloudEvent
(https://cloudevents.io), which OpenMeter's meters take their numbers from; Lago has a metric for each code, so there an
entry is one event for each thing that it counts.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from llmos.billing.entries import MEASURES
from llmos.core.money import format_decimal, format_nanos

KINDS = ("openmeter", "lago", "cloudevents")

SUBJECTS = ("project", "key", "user")

DEFAULT_TYPES = {"openmeter": "llmos.usage", "lago": "llmos", "cloudevents": "llmos.usage"}
DEFAULT_SOURCE = "llmos"

_MAX_REASON = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """An entry of the ledger, or a reversal, whose numbers are negative."""

    number: int
    """The number of the entry in the ledger."""
    call_id: str
    line: int
    request_id: str
    at: int
    """Seconds since 1970."""
    project: str
    key_id: str
    user: str
    """Empty without one, and for a person who was erased."""
    route: str
    version: str
    app: str
    operation: str
    outcome: str
    is_background: bool
    measures: Mapping[str, int]
    cost_nanos: int | None
    currency: str
    price_version: int | None
    reversal_of: str

    @property
    def key(self) -> str:
        return f"{self.call_id}/{self.line}"


@dataclass(frozen=True, kw_only=True, slots=True)
class EventOptions:
    kind: str
    type: str
    source: str
    subject: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    number: int
    """The number of the entry that it is about."""
    body: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """The form in which a kind of receiver takes events."""

    path: str
    """The path behind the URL."""
    content_type: str
    max_events: int
    """The most events in one request."""
    encode: Callable[[Sequence[Event]], bytes]
    events: Callable[[Line, EventOptions], Sequence[Event]]
    verdicts: Callable[[bytes, int], Mapping[int, str]]
    """(the body of a refusal, number of events) → {index of an event: why it is refused; empty: the receiver has it
    already}. Nothing where the refusal names none."""

    def url(self, base: str) -> str:
        return base if base.rstrip("/").endswith(self.path) else base.rstrip("/") + self.path


def probe_event(options: EventOptions, id: str, now: datetime) -> Event:
    """Return an event that counts nothing: its type, or code, ends in `test`."""
    at = int(now.timestamp())
    if options.kind == "lago":
        return Event(number=0, body=_lago_event(id, "llmos-test", f"{options.type}_test", at, {"value": "0"}))
    tried = EventOptions(kind=options.kind, type=f"{options.type}.test", source=options.source, subject=options.subject)
    return Event(number=0, body=_cloud_event(id, tried, "llmos-test", at, {}))


def reason_of(body: bytes, status: int | None) -> str:
    """Return what a receiver said about a refusal, in one line."""
    text = re.sub(r"\s+", " ", "".join(char if char.isprintable() else " " for char in body.decode(errors="replace")))
    return f"{status}: {text.strip()}"[:_MAX_REASON] if text.strip() else f"The receiver answered with {status}."


def _subject(line: Line, options: EventOptions) -> str:
    if options.subject == "key" and line.key_id:
        return line.key_id
    if options.subject == "user" and line.user:
        return f"{line.project}/{line.user}"
    return line.project


def _cloud_events(line: Line, options: EventOptions) -> Sequence[Event]:
    data = {
        **{name: line.measures[name] for name in MEASURES if name != "replica_micros"},
        "replica_seconds": format_decimal(line.measures["replica_micros"], 6),
        "cost": format_nanos(line.cost_nanos or 0),
        "currency": line.currency,
        "price_version": line.price_version,
        **_facts(line),
        "is_background": line.is_background,
        "request_id": line.request_id,
        "reversal_of": line.reversal_of,
    }
    return [Event(number=line.number, body=_cloud_event(line.key, options, _subject(line, options), line.at, data))]


def _cloud_event(id: str, options: EventOptions, subject: str, at: int, data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "specversion": "1.0",
        "id": id,
        "source": options.source,
        "type": options.type,
        "subject": subject,
        "time": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "datacontenttype": "application/json",
        "data": data,
    }


def _lago_events(line: Line, options: EventOptions) -> Sequence[Event]:
    counted = {name: str(line.measures[name]) for name in MEASURES if name != "replica_micros" and line.measures[name]}
    if line.measures["replica_micros"]:
        counted["replica_seconds"] = format_decimal(line.measures["replica_micros"], 6)
    if line.cost_nanos:
        counted["cost"] = format_nanos(line.cost_nanos)
    facts = {name: value for name, value in _facts(line).items() if value}
    subject = _subject(line, options)
    return [
        Event(
            number=line.number,
            body=_lago_event(
                f"{line.key}/{name}",
                subject,
                f"{options.type}_{name}",
                line.at,
                {"value": value, **facts, **({"currency": line.currency} if name == "cost" else {})},
            ),
        )
        for name, value in counted.items()
    ]


def _lago_event(id: str, subject: str, code: str, at: int, properties: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "transaction_id": id,
        "external_subscription_id": subject,
        "code": code,
        "timestamp": at,
        "properties": properties,
    }


def _facts(line: Line) -> dict[str, str]:
    return {
        "project": line.project,
        "key": line.key_id,
        "route": line.route,
        "version": line.version,
        "app": line.app,
        "operation": line.operation,
        "outcome": line.outcome,
    }


def _lago_verdicts(body: bytes, num_events: int) -> Mapping[int, str]:
    """Read {"error_details": {"3": {"transaction_id": ["value_already_exist"]}}}; of one event, it may lack the "3"."""
    try:
        details = msgspec.json.decode(body)["error_details"]
        if num_events == 1 and not any(key.isdecimal() for key in details):
            details = {"0": details}
        found = {int(key): each for key, each in details.items() if key.isdecimal() and int(key) < num_events}
        return {index: _lago_reason(each) for index, each in found.items()}
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return {}


def _lago_reason(errors: Mapping[str, Sequence[str]]) -> str:
    if errors == {"transaction_id": ["value_already_exist"]}:
        return ""
    return "; ".join(f"{name}: {', '.join(codes)}" for name, codes in errors.items())[:_MAX_REASON]


def _encode_batch(events: Sequence[Event]) -> bytes:
    return msgspec.json.encode([each.body for each in events])


def _encode_lago(events: Sequence[Event]) -> bytes:
    return msgspec.json.encode({"events": [each.body for each in events]})


_CLOUD_EVENTS = Format(
    path="",
    content_type="application/cloudevents-batch+json",
    max_events=100,
    encode=_encode_batch,
    events=_cloud_events,
    verdicts=lambda body, num_events: {},
)

FORMATS: Mapping[str, Format] = {
    "openmeter": replace(_CLOUD_EVENTS, path="/api/v1/events"),
    "cloudevents": _CLOUD_EVENTS,
    "lago": Format(
        path="/api/v1/events/batch",
        content_type="application/json",
        max_events=100,
        encode=_encode_lago,
        events=_lago_events,
        verdicts=_lago_verdicts,
    ),
}
