"""The server's side of a worker process; worker.py is the process's side."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from llmos.core.errors import LLMOSError, ReplicaFailed, error_of_code
from llmos.core.jobs.jobs import Step
from llmos.gateway.jobs.worker import Assignment, encode_assignment

_COMMAND = (sys.executable, "-m", "llmos.gateway.jobs.worker")

_MAX_LINE_BYTES = 64 << 20
"""The limit of a result's line."""


async def run_in_process(assignment: Assignment, report: Callable[[Step], object]) -> dict[str, Any]:
    """Do a job in a process of its own and return its result. `report` is called in a thread.

    Cancelling this kills the process, and what it has started, at once. Raises the job's LLMOSError; ReplicaFailed if
    the process dies.
    """
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # A Ctrl-C is for the server, and a kill is for all that the process has started.
        limit=_MAX_LINE_BYTES,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # It may have died at once, as its status says below. uvloop raises RuntimeError then.
        with suppress(ConnectionError, RuntimeError):
            process.stdin.write(encode_assignment(assignment))
            await process.stdin.drain()
        async for line in process.stdout:
            message = msgspec.json.decode(line)
            if "progress" in message:
                await asyncio.to_thread(report, Step(*message["progress"]))
            elif "error" in message:
                raise error_of_code(**message["error"])
            else:
                result: dict[str, Any] = message["result"]
                return result
        raise _died(await process.wait())
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # The event loop may end right after this, and must not find open pipes then.
        process.stdin.close()
        with suppress(ConnectionError):
            await process.stdin.wait_closed()
        await process.stdout.read()
        await process.wait()


def _died(status: int) -> LLMOSError:
    if status == -signal.SIGKILL:
        return ReplicaFailed("The process of this job was killed, most often because memory ran out. Free some memory.")
    return ReplicaFailed(f"The process of this job ended with status {status}. The server's log has the reason.")
