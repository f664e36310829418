"""LeaseHolder: runs on a Ray node for as long as a lease, in an actor. Starts the node's agent if none runs.

Ray ends what an actor has started, together with the actor. So the agent is started by a process in between, which
ends at once.
"""

import asyncio
import fcntl
import os
import subprocess
import sys

from llmos.core.config import Settings, load_settings
from llmos.core.errors import LLMOSError
from llmos.core.locks import locked
from llmos.deployments.cluster.agent_lock import is_agent_running
from llmos.deployments.cluster.joining import JoinToken, forget_membership, join, read_membership
from llmos.deployments.cluster.messages import RAY, STARTED_BY
from llmos.deployments.ray.messages import Invitation

_PREFIX = f"{RAY}-"

_DETACH = """
import subprocess, sys
with open(sys.argv[1], "wb") as log:
    subprocess.Popen(sys.argv[2:], start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
"""


class LeaseHolder:
    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or load_settings()

    def describe(self, ray_node: str) -> tuple[str, bool]:
        """Return the machine's name as a node of LLMOS, and whether its agent runs. `ray_node`: the id that Ray uses.

        Raises StoreFailed for a damaged membership.
        """
        membership = read_membership(self._settings.node_path)
        is_running = is_agent_running(self._settings.node_path)
        if membership is None or (not is_running and has_joined_for_lease(membership.name)):
            return f"{_PREFIX}{ray_node[:12]}", False
        return membership.name, is_running

    async def start_agent(self, name: str, invitation: Invitation) -> str:
        """Join the cluster if this machine is no node yet, and start its agent. Return why that failed, or ""."""
        try:
            await asyncio.to_thread(self._start_agent, name, invitation)
        except LLMOSError as error:
            return error.message
        except (OSError, subprocess.SubprocessError) as error:
            return f"The agent can't be started: {error}"
        return ""

    def _start_agent(self, name: str, invitation: Invitation) -> None:
        home, folder = self._settings.home, self._settings.node_path
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Several leases of one node may come at once.
        with locked(home / "starting.lock", fcntl.LOCK_EX, keep=True):
            if is_agent_running(folder):
                return
            membership = read_membership(folder)
            if membership is None or has_joined_for_lease(membership.name):
                forget_membership(folder)
                head = invitation.host, invitation.port
                asyncio.run(join(folder, head, JoinToken.parse(invitation.token), name))
            self._start_detached(["--label", f"{STARTED_BY}={RAY}"] if has_joined_for_lease(name) else [])

    def _start_detached(self, options: list[str]) -> None:
        logs = self._settings.logs_path
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        command = [sys.executable, "-m", "llmos", "node", *options]
        subprocess.run(
            [sys.executable, "-c", _DETACH, str(logs / "node.log"), *command],
            env=environ,
            check=True,
            timeout=30,
        )


def has_joined_for_lease(name: str) -> bool:
    """Return whether a node with this name has joined for a lease, and not by `llmos node`."""
    return name.startswith(_PREFIX)
