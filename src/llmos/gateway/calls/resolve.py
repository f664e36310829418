"""What a name leads to, and what its replicas load: asked by every call, changed a few times a day."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llmos.core.errors import BadRequest, LLMOSError, UntrustedModel
from llmos.deployments.providers.remote_model import Answering, RemoteModel
from llmos.deployments.routing.route import Route
from llmos.deployments.routing.routes import Routes
from llmos.models.registry import Registry
from llmos.models.versions.versions import Loadable, Version

MAX_NAMES = 1024


@dataclass(frozen=True, slots=True)
class Here:
    """A Version of this machine."""

    version: Version
    loadable: Loadable


End = Here | RemoteModel
"""What a target is."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a name leads."""

    name: str
    route: Route | None
    ends: Mapping[str, End | LLMOSError]
    """By target: what it is, or why it is nothing. Of a model's own name, the one end."""

    @property
    def main(self) -> str:
        """The target that gets most of the calls."""
        return self.name if self.route is None else self.route.target

    def end(self, target: str) -> End:
        """Raises why the target is nothing."""
        end = self.ends[target]
        if isinstance(end, LLMOSError):
            raise type(end)(end.message, param=end.param)  # An error of its own for every call: it gathers a traceback.
        return end

    def here(self) -> Here:
        """Return what answers most of the calls. Raises BadRequest where that isn't on this machine."""
        end = self.end(self.main)
        if isinstance(end, RemoteModel):
            raise BadRequest(
                f"{self.name} leads to {end.ref}, which runs at {end.provider.name} and not here. That takes"
                " conversations and texts to continue, and nothing else.",
                param="model",
            )
        return end

    def order(self, *, caller: str, user: str, call_id: str) -> list[str]:
        """Return the targets that a call tries, one after another."""
        return [self.name] if self.route is None else self.route.order(caller=caller, user=user, call_id=call_id)


class Lookup:
    """Remembers what names lead to until anybody changes the database. Any thread may ask."""

    def __init__(
        self, routes: Routes, registry: Registry, check_adapter: Callable[[str], None] = lambda ref: None
    ) -> None:
        """`check_adapter`: raises why an adapter must not be used. It is loaded with the request that brings it, where
        the pool doesn't see it."""
        self._routes, self._registry, self._check_adapter = routes, registry, check_adapter
        self._known: dict[str, Way] = {}
        self._state: int | None = None

    async def way(self, name: str) -> Way:
        """Return where the name leads, reading the database only where that isn't known. Raises ModelNotFound."""
        way = self.remembered(name)
        return await asyncio.to_thread(self.find, name) if way is None else way

    async def get(self, name: str) -> tuple[Version, Loadable]:
        """Return what answers most of the calls to a name on this machine. Raises ModelNotFound, and BadRequest where
        that is a provider's model."""
        here = (await self.way(name)).here()
        return here.version, here.loadable

    def remembered(self, name: str) -> Way | None:
        """Return where the name leads if that is known without reading the database."""
        return self._known.get(name) if self._is_current() else None

    def find(self, name: str) -> Way:
        """Read where the name leads. Raises ModelNotFound, which says what was probably meant."""
        self._registry.database.watch()
        # Into the memory of the state that it was read in: whoever finds another state begins a new one.
        known = self._known if self._is_current() else None
        resolution = self._routes.resolve(name)
        way = Way(name, resolution.route, {target: self._end(found) for target, found in resolution.targets.items()})
        if known is not None and len(known) < MAX_NAMES:
            known[name] = way
        return way

    def _end(self, found: Answering | LLMOSError) -> End | LLMOSError:
        if isinstance(found, RemoteModel | LLMOSError):
            return found
        try:
            loadable = self._registry.loadable(found)
            if loadable.adapter is not None:
                self._check_adapter(found.ref)
        except UntrustedModel as error:
            return error
        return Here(found, loadable)

    def _is_current(self) -> bool:
        state = self._registry.database.state()
        if state is None:
            return False
        if state != self._state:
            self._known, self._state = {}, state
        return True
