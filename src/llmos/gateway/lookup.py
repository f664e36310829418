"""Which version answers to a name, and what its replica loads: asked by every call, changed a few times a day."""

import asyncio

from llmos.deployments.routes import Routes
from llmos.models.registry import Registry
from llmos.models.versions import Loadable, Version

Found = tuple[Version, Loadable]

MAX_NAMES = 1024


class Lookup:
    """Remembers what names lead to until anybody changes the database. Any thread may ask."""

    def __init__(self, routes: Routes, registry: Registry) -> None:
        self._routes, self._registry = routes, registry
        self._known: dict[str, Found] = {}
        self._state: int | None = None

    async def get(self, name: str) -> Found:
        """Return what the name leads to, reading the database only where that isn't known. Raises ModelNotFound."""
        found = self.remembered(name)
        return await asyncio.to_thread(self.find, name) if found is None else found

    def remembered(self, name: str) -> Found | None:
        """Return what the name leads to where that is known without reading the database."""
        return self._known.get(name) if self._is_current() else None

    def find(self, name: str) -> Found:
        """Read what the name leads to. Raises ModelNotFound, which says what was probably meant."""
        # Into the memory of the state that it was read in: whoever finds another state begins a new one.
        known = self._known if self._is_current() else None
        version = self._routes.resolve(name)
        found = version, self._registry.loadable(version)
        if known is not None and len(known) < MAX_NAMES:
            known[name] = found
        return found

    def _is_current(self) -> bool:
        state = self._registry.database.state()
        if state is None:
            return False
        if state != self._state:
            self._known, self._state = {}, state
        return True
