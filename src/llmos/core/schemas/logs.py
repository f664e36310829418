"""Lines of the server's log."""

from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class LogPage(Description, frozen=True, kw_only=True):
    data: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """Oldest first. Each has time, level and event: request (a call), http, sign-in, deployment or message."""
    next: str | None = None
    """Send it as `after` for what comes next; null while there is no log."""
