"""ErasureWatch: empties the caches of a project when data of a person are erased in it, by whatever process."""

import asyncio

from llmos.core.database import Database
from llmos.data import queries
from llmos.gateway.calls.record import Record
from llmos.gateway.calls.response_cache import ResponseCache
from llmos.gateway.calls.stages import C
from llmos.security.partitions import Partitions


class ErasureWatch:
    """Belongs to the event loop's thread. Reads the database only when it has changed."""

    def __init__(self, database: Database, cache: ResponseCache, partitions: Partitions) -> None:
        self._database, self._cache, self._partitions = database, cache, partitions
        self._state: int | None = None
        self._newest: int | None = None

    async def __call__(self, call: C, record: Record) -> C:
        """The stage of the pipeline: no call finds what was erased before it."""
        await self.check()
        return call

    async def check(self) -> None:
        """Forget what the caches have of projects with a new erasure. Takes microseconds if nothing has changed."""
        state = self._database.state()
        if state is not None and state == self._state:
            return
        newest, projects = await asyncio.to_thread(self._read)
        self._newest, self._state = newest, state
        for project in projects:
            self._cache.purge(project)
            self._partitions.renew(project)

    def _read(self) -> tuple[int, set[str]]:
        self._database.watch()
        with self._database.session() as session:
            newest = queries.newest_erasure(session)
            projects = set() if self._newest is None else queries.projects_erased_after(session, self._newest)
        return newest, projects
