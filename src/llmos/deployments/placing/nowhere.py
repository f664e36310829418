"""NoLocalPlacer: starts nothing on this machine, for a server whose replicas all run on nodes."""

from llmos.core.errors import NoNode
from llmos.deployments.placing.placer import PlacementRequest, WorkerProcess


class NoLocalPlacer:
    async def place(self, request: PlacementRequest) -> WorkerProcess:
        model = request.version.partition("@")[0] or "MODEL"
        raise NoNode(
            f"{request.version} isn't deployed on nodes, and this server runs no replicas itself (--without-replicas)."
            f" Deploy it on nodes: llmos deploy {model} --on nodes"
        )
