"""The call about the server's log: what it sends and how its reply is read."""

from datetime import datetime
from urllib.parse import urlencode

from llmos.client.call import Call, read_one
from llmos.core.schemas.logs import LogPage


def read_logs(
    request: str | None, version: str | None, level: str | None, since: datetime | None, after: str | None, limit: int
) -> Call[LogPage]:
    if since is not None and since.tzinfo is None:
        since = since.astimezone()
    given = {
        "request": request,
        "version": version,
        "level": level,
        "since": since and since.isoformat(),
        "after": after,
        "limit": limit,
    }
    query = urlencode({name: value for name, value in given.items() if value is not None})
    return Call(method="GET", path=f"/llmos/v1/logs?{query}", read=read_one(LogPage))
