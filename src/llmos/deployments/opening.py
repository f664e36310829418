"""Open the deployments of an installation, with its checks: the limits of cards, and this machine's memory.

Where it is the head of a cluster, replicas follow the nodes that come and go."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmos.core.config import Settings
from llmos.core.errors import InsufficientMemory, LLMOSError
from llmos.deployments.cluster.head import ClusterHead
from llmos.deployments.desired.checks import DeploymentChecks
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.replicas.pool import Pool
from llmos.engine.config import EngineConfig
from llmos.models.cards.cards import Cards
from llmos.models.cards.limits import failed
from llmos.models.policies import Policies
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version


def open_deployments(registry: Registry, settings: Settings, *, runs_replicas: bool = True) -> Deployments:
    """`runs_replicas`: whether replicas may run on this machine, whose memory is compared then."""
    cards, policies = Cards(registry.database), Policies(registry.database)

    def check_card(version: Version) -> Sequence[str]:
        return failed(cards.get(version), policies.all())

    def check_memory(version: Version, options: Mapping[str, Any], num_replicas: int) -> None:
        if not runs_replicas:
            return
        # Imported here because it needs numpy, which most commands about deployments do without.
        from llmos.engine.sizing.fit import check_fits

        config = EngineConfig.from_options({**settings.engine_options, **options})
        try:
            check_fits(registry.loadable(version).files, config, replicas=num_replicas)
        except InsufficientMemory as error:
            raise InsufficientMemory(
                f"{version.ref} is not deployed: {error.message} See: llmos fit {version.ref}"
            ) from None
        except LLMOSError as error:
            if error.param is not None and error.param in options:
                raise
            # An error of the model itself is reported by its replica.

    return Deployments(registry.database, registry, checks=DeploymentChecks(card=check_card, memory=check_memory))


def follow_nodes(head: ClusterHead, pool: Pool) -> None:
    """Let the pool move replicas away from nodes that leave, and use those that come."""

    def follow() -> None:
        for node in [node for node in head.nodes.values() if node.is_leaving]:
            pool.vacate(node.name)
        pool.retry_pending()

    head.on_change = follow
