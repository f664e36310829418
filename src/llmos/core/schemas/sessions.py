"""Sessions: the conversations of applications."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class AppSessionDescription(Description, frozen=True, kw_only=True):
    """A conversation of one application."""

    id: str = ""
    app: str = ""
    name: str = ""
    """The name that the application gave the session, such as the id of its user."""
    num_turns: int = 0
    num_tokens: int = 0
    """The tokens of the last prompt and its answer, as the model counted them."""
    first_turn: int = 0
    """The index of the first turn that prompts still contain."""
    summary: str | None = None
    """The summary of the turns before `first_turn`, if the application wrote one."""
    live_run: str | None = None
    """The id of the run that is in progress; null if there is none."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None


class TurnDescription(Description, frozen=True, kw_only=True):
    """A question and all messages up to its complete answer."""

    index: int = 0
    run: str | None = None
    messages: list[dict[str, Any]] = msgspec.field(default_factory=list)
    created_at: datetime | None = None
