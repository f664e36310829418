"""Action: a change that somebody asked for, while it is carried out. The audit log records it.

    with acting(Action("key.revoke", project="owner", key="key-3f…", object="key-9c…")):
        keys.revoke(id)   # its transaction also stores the entry of the audit log

The current action is a context variable, which threads that are started with asyncio.to_thread inherit: every method
that changes something would need it as an argument otherwise, only to hand it to its transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Detail = str | int | bool


@dataclass(slots=True)
class Action:
    """An action on an object, for the audit log. Has neither the content of calls nor secrets."""

    name: str
    """NOUN.VERB, such as key.revoke."""
    project: str = ""
    """The project of the key."""
    key: str = ""
    """The id of the key that the request came with; empty for commands on this machine."""
    user: str = ""
    """The user of this machine who ran the command, or the part of the server that decided; empty for a key."""
    object: str = ""
    address: str = ""
    request_id: str = ""
    details: dict[str, Detail] = field(default_factory=dict)
    is_recorded: bool = False
    """An entry of the audit log is stored: with the first transaction of the action."""
    has_ended: bool = False


_current: ContextVar[Action | None] = ContextVar("action", default=None)

_DECISIONS = "decisions"


def current_action() -> Action | None:
    """Return the action that runs and isn't recorded yet, or None."""
    action = _current.get()
    return None if action is None or action.is_recorded or action.has_ended else action


@contextmanager
def acting(action: Action) -> Iterator[Action]:
    """Make it the current action while the body runs."""
    token = _current.set(action)
    try:
        yield action
    finally:
        action.has_ended = True  # Tasks that the body has started may go on in its context.
        _current.reset(token)


@contextmanager
def apart() -> Iterator[None]:
    """Keep the transactions of the body from recording the current action: they only prepare it."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def describe_action(object: str | None = None, /, **details: Detail) -> None:
    """Say what the current action changes, as far as the request doesn't. Does nothing without one."""
    action = _current.get()
    if action is not None:
        action.object = action.object if object is None else object
        action.details |= details


def add_decision(session: "Session", decision: Action) -> None:
    """Record a decision of the server itself, such as a step of a rollout, with the session's transaction."""
    session.info.setdefault(_DECISIONS, []).append(decision)


def decisions_of(session: "Session") -> list[Action]:
    """Return the decisions that were added to the session."""
    decisions: list[Action] = session.info.get(_DECISIONS, [])
    return decisions
