"""Open the deployments of an installation, with its checks: the limits of cards, and this machine's memory.

Where it is the head of a cluster, replicas follow the nodes that come and go."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llmos.core.config import Settings
from llmos.core.errors import BadRequest, InsufficientMemory, LLMOSError
from llmos.deployments.cluster.head import ClusterHead
from llmos.deployments.cluster.nodes import Nodes
from llmos.deployments.desired.checks import DeploymentChecks
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.ray.driver_process import DriverProcess
from llmos.deployments.ray.leases import LINGER_SECONDS, Driver, Leases
from llmos.deployments.ray.placer import forget_node, invitation_for
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


def open_ray(settings: Settings, nodes: Nodes) -> Leases | None:
    """Return the leases of this server on Ray's nodes; None without Ray. Nothing runs yet.

    Raises BadRequest for a Ray of other machines that is not protected.
    """
    if settings.ray_address is None:
        return None
    is_safe = settings.ray_is_protected or settings.allow_insecure_ray or _is_loopback(settings.ray_address)
    if not is_safe:
        raise BadRequest(
            f"Ray at {settings.ray_address} is used without TLS and a token: whoever reaches its ports runs programs on"
            " its nodes and reads what they send. Set RAY_AUTH_MODE=token, RAY_USE_TLS=1 and Ray's other variables"
            " (llmos cluster ray ADDRESS FOLDER makes the files), or, in a network of your own,"
            " LLMOS_ALLOW_INSECURE_RAY=on.",
            param="LLMOS_RAY_ADDRESS",
        )
    return open_leases(DriverProcess(settings.ray_address), nodes, settings.cluster_path)


def _is_loopback(address: str) -> bool:
    host = urlsplit(f"//{address}").hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def open_leases(driver: Driver, nodes: Nodes, cluster: Path, *, linger_seconds: float = LINGER_SECONDS) -> Leases:
    """Return leases whose nodes join the cluster, and leave it with the last of them. `cluster`: the folder."""
    leases = Leases(driver, partial(invitation_for, nodes, cluster), linger_seconds=linger_seconds)
    tasks: set[asyncio.Task[None]] = set()

    def forget(node: str) -> None:
        tasks.add(task := asyncio.create_task(asyncio.to_thread(forget_node, nodes, node)))
        task.add_done_callback(tasks.discard)

    leases.on_unused = forget
    return leases


def follow_nodes(head: ClusterHead, pool: Pool, leases: Leases | None = None) -> None:
    """Let the pool move replicas away from nodes that leave, and use those that come."""

    def follow() -> None:
        for node in [node for node in head.nodes.values() if node.is_leaving]:
            pool.vacate(node.name)
        pool.retry_pending()

    head.on_change = follow
    if leases is not None:
        leases.on_change = pool.retry_pending
