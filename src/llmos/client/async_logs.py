"""The server's log, for asyncio programs: the same call as in logs.py, awaited."""

from datetime import datetime

from llmos.client import log_calls as calls
from llmos.client.async_control import AsyncNoun
from llmos.core.schemas.logs import LogPage


class AsyncLogs(AsyncNoun):
    """The lines of the server's log."""

    async def list(
        self,
        *,
        request: str | None = None,
        version: str | None = None,
        level: str | None = None,
        since: datetime | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> LogPage:
        """Return the last lines, oldest first. request: the id of a request or an answer. version: the calls that it
        answered, and the events of its deployment. level: this one and graver ones. after: `next` of the page before,
        for the lines that came since."""
        return await self._client._request(calls.read_logs(request, version, level, since, after, limit))
