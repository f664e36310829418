"""Overview: what is deployed, from the database, joined with what runs, from the pool of this process."""

import asyncio
from collections.abc import Mapping

from llmos.core.errors import NotFound
from llmos.core.schemas.deployments import DeploymentDescription
from llmos.deployments.descriptions import describe_deployment
from llmos.deployments.desired.deployment import Deployment
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.desired.reconciler import Reconciler
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.replicas.status import VersionStatus
from llmos.deployments.routing.routes import Routes
from llmos.models.registry import Registry


class Overview:
    """Belongs to the event loop's thread, as the pool does."""

    def __init__(
        self, deployments: Deployments, routes: Routes, registry: Registry, pool: Pool, reconciler: Reconciler
    ) -> None:
        self._deployments, self._routes, self._registry = deployments, routes, registry
        self._pool, self._reconciler = pool, reconciler

    async def list(self) -> list[DeploymentDescription]:
        """Describe every Version that is deployed or was loaded, the deployed ones first."""
        deployed = {each.ref: each for each in await asyncio.to_thread(self._deployments.list)}
        loaded = {status.version: status for status in self._pool.status()}
        return [
            describe_deployment(ref, deployed.get(ref), loaded.get(ref), self._reconciler.problem(ref))
            for ref in {**deployed, **loaded}
        ]

    async def describe(self, ref: str) -> DeploymentDescription:
        deployment = await self.deployment(ref)
        status = next((status for status in self._pool.status() if status.version == ref), None)
        return describe_deployment(ref, deployment, status, self._reconciler.problem(ref))

    async def resolve(self, name: str) -> str:
        """Return the reference of the Version whose replicas answer for `name`: a Route or a reference. A Version that
        was removed and still runs is found by its own. Raises ModelNotFound."""
        if name in self.running():
            return name
        version = await asyncio.to_thread(self._routes.resolve_local, name)
        return (await asyncio.to_thread(self._registry.loadable, version)).version.ref

    async def deployment(self, ref: str) -> Deployment | None:
        """Return what is wanted of a Version, None if it isn't deployed."""
        try:
            return await asyncio.to_thread(self._deployments.get, ref)
        except NotFound:
            return None

    def running(self) -> Mapping[str, VersionStatus]:
        """Return the Versions that have replicas."""
        return {status.version: status for status in self._pool.status() if status.state != "stopped"}

    def check_running(self, ref: str) -> None:
        """Raise NotFound unless the Version has replicas."""
        if ref not in (running := self.running()):
            raise NotFound(f"{ref} isn't running. Running: {', '.join(running) or 'nothing'}.", param="name")
