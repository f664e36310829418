"""Lines of the server's log."""

from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class LogPage(Description, frozen=True, kw_only=True):
    data: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """Log lines, oldest first. Each has time, level and event: request (a call), http, sign-in, deployment or
    message."""
    next: str | None = None
    """Send it as `after` for the following lines; null if there is no log yet."""
