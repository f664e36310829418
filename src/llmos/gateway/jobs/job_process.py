"""The server's side of a worker process; worker.py is the process's side."""

import asyncio
import logging
import os
import signal
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from llmos.core.errors import LLMOSError, ReplicaFailed, error_of_code
from llmos.core.jobs.jobs import Step
from llmos.gateway.calls.text_vectors import TextsToEmbed, Vectors
from llmos.gateway.jobs.worker import Assignment, Reply, encode_assignment

_log = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-m", "llmos.gateway.jobs.worker")

_MAX_LINE_BYTES = 64 << 20
"""The limit of a result's line."""


Embed = Callable[[TextsToEmbed], Awaitable[Vectors]]


async def no_embedding(request: TextsToEmbed) -> Vectors:
    """Refuse to embed: for jobs that need no vectors."""
    raise LLMOSError("This job can't embed texts.")


async def run_in_process(
    assignment: Assignment, report: Callable[[Step], object], embed: Embed = no_embedding
) -> dict[str, Any]:
    """Do a job in a process of its own and return its result. `report` is called in a thread. `embed` answers the
    questions for vectors, several at once.

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
    answers: set[asyncio.Task[None]] = set()
    try:
        # It may have died at once, as its status says below. uvloop raises RuntimeError then.
        with suppress(ConnectionError, RuntimeError):
            process.stdin.write(encode_assignment(assignment))
            await process.stdin.drain()
        async for line in process.stdout:
            message = msgspec.json.decode(line)
            if "progress" in message:
                await asyncio.to_thread(report, Step(*message["progress"]))
            elif "embed" in message:
                answers.add(task := asyncio.create_task(_answer(process.stdin, message, embed)))
                task.add_done_callback(answers.discard)
            elif "error" in message:
                raise error_of_code(**message["error"])
            else:
                result: dict[str, Any] = message["result"]
                return result
        raise _died(await process.wait())
    finally:
        for task in answers:
            task.cancel()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.gather(*answers, return_exceptions=True)
        # The event loop may end right after this, and must not find open pipes then.
        process.stdin.close()
        with suppress(ConnectionError):
            await process.stdin.wait_closed()
        await process.stdout.read()
        await process.wait()


async def _answer(pipe: asyncio.StreamWriter, message: dict[str, Any], embed: Embed) -> None:
    """Answer a question of the process: with vectors, or with the reason why there are none."""
    reply = Reply(id=message["id"])
    try:
        vectors = await embed(msgspec.convert(message["embed"], TextsToEmbed))
        reply.vectors, reply.num_vectors = b64encode(vectors.astype("<f4").tobytes()).decode(), len(vectors)
    except LLMOSError as error:
        reply.error = {"code": error.code, "message": error.message, "param": error.param}
    except Exception:
        _log.exception("Texts of a job can't be embedded")
        message_of_error = "Something went wrong inside the server while texts were embedded. Its log has the reason."
        reply.error = {"code": LLMOSError.code, "message": message_of_error, "param": None}
    with suppress(ConnectionError, RuntimeError):  # The process has died, as its status will say.
        pipe.write(msgspec.json.encode(reply) + b"\n")
        await pipe.drain()


def _died(status: int) -> LLMOSError:
    if status == -signal.SIGKILL:
        return ReplicaFailed("The process of this job was killed, most often because memory ran out. Free some memory.")
    return ReplicaFailed(f"The process of this job ended with status {status}. The server's log has the reason.")
