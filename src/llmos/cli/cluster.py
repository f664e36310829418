"""llmos cluster init, token, nodes, leave; llmos node: other machines that run replicas for this server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import fields_of, print_json, print_table, readable_size, stderr, stdout
from llmos.core.config import Settings, load_settings
from llmos.core.schemas.nodes import NodeDescription, NodeTokenDescription

if TYPE_CHECKING:
    from llmos.deployments.cluster.joining import Membership

_Minutes = Annotated[int, typer.Option(min=1, help="Time in which the node may join with the token.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Let other machines run replicas for this server.")
    group.command("init")(init)
    group.command("token")(token)
    group.command("nodes")(nodes)
    group.command("leave")(leave)
    group.command("ray")(ray)
    app.add_typer(group, name="cluster")
    app.command("node")(node)


def init(
    listen: Annotated[str, typer.Option(help="Address on which the server listens for nodes.")] = "0.0.0.0",  # noqa: S104
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on which the server listens for nodes.")] = 8001,
    address: Annotated[
        str | None,
        typer.Option(help="Name or address by which nodes reach it. By default this machine's.", show_default=False),
    ] = None,
    minutes: _Minutes = 15,
    as_json: options.AsJson = False,
) -> None:
    """Make this installation the head of a cluster, with a certificate authority of its own in LLMOS_HOME.

    A server that is running listens for nodes within a second. Prints how the first node joins.
    """
    from llmos.deployments.cluster.head import ClusterSettings, make_cluster

    settings = load_settings()
    where = ClusterSettings(listen=listen, address=address or _own_address(), port=port)
    make_cluster(settings.cluster_path, where)
    with open_control(settings) as control:
        made = control.nodes.create_token(minutes=minutes)
    if as_json:
        print_json(made)
        return
    stdout().print(f"The cluster is made. Its authority is in {settings.cluster_path}.")
    _print_token(made)


def token(minutes: _Minutes = 15, as_json: options.AsJson = False) -> None:
    """Make a token with which one node can join, once."""
    with open_control(load_settings()) as control:
        made = control.nodes.create_token(minutes=minutes)
    if as_json:
        print_json(made)
    else:
        _print_token(made)


def nodes(as_json: options.AsJson = False) -> None:
    """List the nodes, with their free memory and the current state of their connections."""
    with open_control(load_settings()) as control:
        found = control.nodes.list()
    if not found and not as_json:
        stderr().print("No node has joined. To add one: llmos cluster token")
        return
    if as_json:
        print_json(found)
        return
    print_table([_readable(each) for each in found], _COLUMNS)


def leave(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The node; see `llmos cluster nodes`.")],
) -> None:
    """Remove a node from the cluster after its replicas have finished their running requests."""
    with open_control(load_settings()) as control:
        control.nodes.remove(name)
    stdout().print(f"{name} leaves the cluster. Its replicas finish their running requests, and start elsewhere.")


def ray(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="IP address of the machine.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for the files; at the same path there.")],
    as_json: options.AsJson = False,
) -> None:
    """Make the certificate, the key and the token with which a machine takes part in a Ray cluster.

    Copy the folder to the machine, and start Ray there with the variables of ray.env.
    """
    from llmos.deployments.ray.certificates import write_ray_files

    files = write_ray_files(load_settings().cluster_path, folder, address)
    if as_json:
        print_json({"folder": str(files.folder), "variables": files.variables})
        return
    stderr().print(f"The files for {address} are in {files.folder}. On that machine, with the folder at this path:")
    print(f". {files.folder}/ray.env && ray start --node-ip-address={address} …")


def node(
    join: Annotated[
        str | None,
        typer.Option(metavar="HEAD", help="Join the cluster of this head, HOST:PORT.", show_default=False),
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="Token that `llmos cluster token` printed on the head.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of this node. By default this machine's.", show_default=False)
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL=VALUE", help="Label for `llmos deploy --on LABEL=VALUE`; repeatable."),
    ] = None,
    listen: Annotated[str, typer.Option(help="Address at which other nodes fetch models.")] = "0.0.0.0",  # noqa: S104
) -> None:
    """Run replicas for a server on another machine, until Ctrl-C.

    The first time, it needs --join and --token. Later, `llmos node` connects again by itself.
    """
    import asyncio

    settings = load_settings()
    labels = _labels(label or [])
    membership = _membership(settings, join, token, name)
    stderr().print(f"This machine is the node {membership.name} of {membership.host}:{membership.port}.")
    if asyncio.run(_run(settings, membership, labels, listen)):
        from llmos.deployments.cluster.joining import forget_membership

        forget_membership(settings.node_path)
        stderr().print(f"{membership.name} has left the cluster.")


def _membership(settings: Settings, join: str | None, token: str | None, name: str | None) -> "Membership":
    """Return the cluster of this node, which it joins if it hasn't yet."""
    import asyncio

    from llmos.core.errors import BadRequest, Conflict
    from llmos.deployments.cluster import joining

    found = joining.read_membership(settings.node_path)
    if join is None or token is None:
        if found is None:
            raise BadRequest("This machine is no node yet. At the head, run: llmos cluster token", param="join")
        return found
    head = joining.parse_head(join)
    if found is not None and (found.host, found.port) == head:
        return found  # The same command again, as a service manager runs it.
    if found is not None:
        raise Conflict(
            f"This machine is the node {found.name} of {found.host}:{found.port}. To leave it, run there:"
            f" llmos cluster leave {found.name}; then remove {settings.node_path}"
        )
    parsed = joining.JoinToken.parse(token)
    return asyncio.run(joining.join(settings.node_path, head, parsed, name or _own_name()))


async def _run(settings: Settings, membership: "Membership", labels: dict[str, str], listen: str) -> bool:
    """Run the agent. Returns True if the node has left the cluster, False after a signal."""
    import asyncio
    import signal

    from llmos.core.store.store import Store
    from llmos.deployments.cluster.agent import Agent, AgentSettings
    from llmos.deployments.cluster.agent_lock import only_agent

    agent = Agent(
        AgentSettings(
            folder=settings.node_path,
            membership=membership,
            store=Store(settings.store_path),
            packed_folder=settings.packed_path if settings.packed else None,
            labels=labels,
            listen=listen,
            say=stderr().print,
        )
    )
    with only_agent(settings.node_path):
        running = asyncio.create_task(agent.run())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            return False
    return True


def _labels(given: list[str]) -> dict[str, str]:
    from llmos.core.errors import BadRequest

    labels = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise BadRequest(f"--label {each} has no value: write it as LABEL=VALUE.", param="label")
        labels[key] = value
    return labels


def _own_name() -> str:
    """Return this machine's name as a node may have it."""
    import re
    import socket

    return re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-")[:48] or "node"


def _own_address() -> str:
    """Return the address that this machine's packets to others have."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # Sends nothing.
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _print_token(made: NodeTokenDescription) -> None:
    stderr().print(f"Run this on the other machine, until {made.expires_at:%H:%M} UTC:")
    print(made.command)


_COLUMNS = {
    "name": "node",
    "state": "state",
    "address": "address",
    "num_cores": "cores",
    "free": "memory free",
    "isa": "kernels",
    "round_trip_ms": "link (ms)",
    "replicas": "replicas",
    "labels": "labels",
    "since": "since",
}


def _readable(node: NodeDescription) -> dict[str, object]:
    return {
        **fields_of(node),
        "num_cores": node.num_cores or None,
        "free": readable_size(node.free_bytes) if node.memory_bytes else None,
        "replicas": ", ".join(each.version for each in node.replicas),
        "labels": ", ".join(f"{name}={value}" for name, value in node.labels.items()),
    }
