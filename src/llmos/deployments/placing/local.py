"""LocalPlacer: starts worker processes on this machine, each at one end of a socket pair."""

import asyncio
import dataclasses
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from llmos.core.encryption.sealed_path import split_keys
from llmos.deployments.placing.cpu_activity import CpuActivity
from llmos.deployments.placing.memory_kills import MemoryKills
from llmos.deployments.placing.placer import PlacementRequest, WorkerExit
from llmos.engine.messages import LoadModel

WORKER_COMMAND = (sys.executable, "-m", "llmos.engine")

EXIT_SECONDS = 10
"""Time for a process whose socket has closed to exit before it is killed."""


class LocalWorker:
    """A worker process, and our end of its socket pair. See WorkerProcess."""

    node: str | None = None
    warning: str | None = None

    def __init__(self, process: "subprocess.Popen[bytes]", connection: socket.socket, command: LoadModel) -> None:
        self.pid, self.command = process.pid, command
        self.has_computed: Callable[[], bool] = CpuActivity(process.pid).has_computed
        self._process, self._socket = process, connection
        self._memory_kills = MemoryKills()

    async def connect(self, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        await asyncio.get_running_loop().create_unix_connection(make_protocol, sock=self._socket)

    def kill(self) -> None:
        self._process.kill()

    async def wait(self) -> WorkerExit:
        with suppress(subprocess.TimeoutExpired):
            return self._exit(await asyncio.to_thread(self._process.wait, EXIT_SECONDS))
        self._process.kill()
        return WorkerExit(status=await asyncio.to_thread(self._process.wait))

    def _exit(self, status: int) -> WorkerExit:
        return WorkerExit(status=status, memory_limit_bytes=self._memory_kills.limit_of(status))


class LocalPlacer:
    def __init__(self, command: Sequence[str] = WORKER_COMMAND) -> None:
        """`command`: starts a worker; the file descriptor of its socket is appended."""
        self._command = command

    async def place(self, request: PlacementRequest) -> LocalWorker:
        paths, keys = await asyncio.to_thread(split_keys, request.files)  # The keys are in the database.
        command = LoadModel(files=paths, keys=keys, config=dataclasses.asdict(request.settings.config))
        process, ours = start_worker(self._command)
        return LocalWorker(process, ours, command)


def start_worker(
    command: Sequence[str], *, stderr: int | None = None
) -> "tuple[subprocess.Popen[bytes], socket.socket]":
    """Start a worker process; return it with our end of its socket. `stderr`: as subprocess takes it."""
    process, ours, _ = start_home(command, 0, stderr=stderr)
    return process, ours


def start_home(
    command: Sequence[str], num_stages: int, *, stderr: int | None = None
) -> "tuple[subprocess.Popen[bytes], socket.socket, Sequence[socket.socket]]":
    """Start a worker process with sockets for the stages of a split model; return it with our ends of its sockets."""
    ours, theirs = zip(*(socket.socketpair() for _ in range(1 + num_stages)), strict=True)
    fds = [each.fileno() for each in theirs]
    to_stages = [argument for fd in fds[1:] for argument in ("--stage-fd", str(fd))]
    try:
        # A session of its own, so that Ctrl-C in a terminal reaches only the parent, which drains its replicas.
        process = subprocess.Popen(
            [*command, "--fd", str(fds[0]), *to_stages],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    except BaseException:
        for each in ours:
            each.close()
        raise
    finally:
        for each in theirs:
            each.close()
    return process, ours[0], ours[1:]
