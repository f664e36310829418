"""Messages and runs of applications, for tests of what is kept of them."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from llmos.core.ids import new_id
from llmos.core.schemas.turns import Message
from llmos.data.apps.journal import Entry
from llmos.data.apps.runs import Lease, NewRun

LEASE = "0123456789abcdef"
OTHER_LEASE = "fedcba9876543210"

_numbers = count()


class MovedClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def question(text: str = "Where is AB123456?") -> dict[str, Any]:
    return {"role": "user", "content": text}


def answer(text: str = "On its way.") -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def calling(*ids: str) -> dict[str, Any]:
    """An answer that calls a tool, once for each id."""
    calls = [{"id": id, "type": "function", "function": {"name": "order_status", "arguments": "{}"}} for id in ids]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def result(id: str, text: str = "shipped") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": text}


def new_run(session_id: str | None = None, *, lease: str = LEASE, **fields: Any) -> NewRun:
    given = {"id": new_id("run"), "lease": lease, "lease_seconds": 30, "app": "support", "input": question()} | fields
    return NewRun(session_id=session_id, **given)


def lease(text: str = LEASE) -> Lease:
    return Lease(lease=text, seconds=30)


def entry(key: str, state: Any = "done", **fields: Any) -> Entry:
    return Entry(**{"key": key, "kind": "step", "name": "look_up", "state": state} | fields)


def said(message: Message) -> Entry:
    """An answer of the model."""
    return entry(f"model-{next(_numbers)}", kind="model", name="dialogue", result=message)


def returned(message: Message) -> Entry:
    """The result of a tool."""
    return entry(f"tool-{next(_numbers)}", kind="tool", name="order_status", result=message)
