"""Resolver: from the name that a call asks for to the backends that can answer it.

Every call needs it, and it changes a few times a day: resolutions are cached until the database changes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmos.core.database import Database
from llmos.core.errors import LLMOSError, UntrustedModel
from llmos.deployments.backend import Backend, Backends, Target
from llmos.deployments.routing.route import Route
from llmos.deployments.routing.routes import Routes
from llmos.deployments.served_model import ServedModel
from llmos.gateway.calls.applications import ApplicationRun
from llmos.security.callers import Caller

MAX_NAMES = 1024
"""The limit of cached names."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The backends that a name stands for."""

    name: str
    route: Route | None
    """None for the name of a model."""
    backends: Mapping[str, Backend | LLMOSError]
    """The backend of each target, or why there is none. For a model's name: one backend, under that name."""
    application: ApplicationRun | None = None
    """The run of an application that answers this call; None for models."""

    @property
    def main(self) -> str:
        """The target that gets most of the calls."""
        return self.name if self.route is None else self.route.target

    def served(self) -> Sequence[ServedModel]:
        """Return the models that may answer."""
        return [each.served for each in self.backends.values() if not isinstance(each, LLMOSError)]

    def versions(self) -> Sequence[str]:
        """Return their references, each once."""
        return list(dict.fromkeys(each.ref for each in self.served()))

    def backend(self, target: str) -> Backend:
        """Raises the error that explains why the target has no backend."""
        found = self.backends[target]
        if isinstance(found, LLMOSError):
            # Every call raises its own copy, because exceptions gather tracebacks.
            raise type(found)(found.message, param=found.param)
        return found

    def order(self, caller: Caller, call_id: str) -> list[str]:
        """Return the targets that a call tries, one after another."""
        if self.route is None:
            return [self.name]
        return self.route.order(caller=caller.project, user=caller.user, call_id=call_id)


class Resolver:
    """Resolves names. Any thread may call it."""

    def __init__(self, routes: Routes, backends: Backends, database: Database) -> None:
        self._routes, self._backends, self._database = routes, backends, database
        self._known: dict[str, Resolution] = {}
        self._state: int | None = None

    async def resolve(self, name: str) -> Resolution:
        """Return the name's resolution; reads the database if it isn't cached. Raises ModelNotFound."""
        resolution = self.remembered(name)
        return await asyncio.to_thread(self.find, name) if resolution is None else resolution

    def remembered(self, name: str) -> Resolution | None:
        """Return the resolution if it is known without reading the database."""
        return self._known.get(name) if self._is_current() else None

    def find(self, name: str) -> Resolution:
        """Read the name's resolution from the database. Raises ModelNotFound, with the nearest names."""
        self._database.watch()
        # The entry goes into the cache of the state that it was read in. A newer state begins a new cache.
        known = self._known if self._is_current() else None
        found = self._routes.resolve(name)
        backends = {ref: self._open(target) for ref, target in found.targets.items()}
        resolution = Resolution(name, found.route, backends)
        if known is not None and len(known) < MAX_NAMES:
            known[name] = resolution
        return resolution

    def _open(self, target: Target | LLMOSError) -> Backend | LLMOSError:
        if isinstance(target, LLMOSError):
            return target
        try:
            return self._backends.open(target)
        except UntrustedModel as error:
            return error

    def _is_current(self) -> bool:
        state = self._database.state()
        if state is None:
            return False
        if state != self._state:
            self._known, self._state = {}, state
        return True
