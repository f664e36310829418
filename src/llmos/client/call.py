"""One HTTP request and the reader of its reply. No input or output happens here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from llmos.client.draft import Draft, MalformedReply
from llmos.core.schemas.base import Description, read_description

T = TypeVar("T")
D = TypeVar("D", bound=Description)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call(Generic[T]):
    """One HTTP request and the reader of its reply."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    content: bytes | None = None
    """In place of a body: bytes that are sent as they are."""
    headers: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[Any], T]
    """Turn the decoded JSON of a reply (None if it is empty) into the result. Raises MalformedReply."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DownloadCall:
    """One HTTP request that is answered with bytes."""

    path: str
    method: str = "GET"
    body: Mapping[str, Any] | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamedCall:
    """One HTTP request that is answered with server-sent events, and the reader of one event."""

    method: str
    path: str
    body: Mapping[str, Any]
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str
    read_event: Callable[[Any, Draft], str]
    """Update the draft from an event; return the text that it adds. Raises MalformedReply."""


def json_object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise MalformedReply
    return body


def read_as(kind: type[D], body: dict[str, Any]) -> D:
    try:
        return read_description(kind, body)
    except msgspec.ValidationError:
        raise MalformedReply from None


def read_one(kind: type[D]) -> Callable[[Any], D]:
    return lambda body: read_as(kind, json_object(body))


def read_each(kind: type[D]) -> Callable[[Any], list[D]]:
    def read_list(body: Any) -> list[D]:
        rows = json_object(body).get("data")
        if not isinstance(rows, list):
            raise MalformedReply
        return [read_as(kind, json_object(row)) for row in rows]

    return read_list


def read_nothing(body: Any) -> None:
    """Read the reply of a call that returns nothing."""
