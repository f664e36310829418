"""The log of the servers of this machine's LLMOS_HOME."""

from datetime import datetime
from typing import TYPE_CHECKING

from llmos.core.log_files import LogFiles, LogFilter
from llmos.core.schemas.logs import LogPage

if TYPE_CHECKING:
    from llmos.cli.control.local import LocalControl


class LocalLogs:
    def __init__(self, control: "LocalControl") -> None:
        self._files = LogFiles(control.settings.logs_path, max_bytes=0)

    def list(
        self,
        *,
        request: str | None = None,
        version: str | None = None,
        level: str | None = None,
        since: datetime | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> LogPage:
        wanted = LogFilter(request=request, version=version, level=level, since=since, after=after, limit=limit)
        return self._files.read(wanted)
