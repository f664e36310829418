"""The process that runs one heavy job for the server, so that it can be killed at once and can't crash the server.

    the server    job_process.py  --- JSON lines over the standard streams --->  this module's main()

    in   {"settings": {...}, "kind": "quantize", "request": {...}, "actor": "owner"}
    out  {"progress": ["quantizing", 3, 10]}                                      any number of these, then one of
    out  {"result": {...}}   or   {"error": {"code": ..., "message": ..., "param": ...}}

The server keeps the process's standard input open while it lives and needs the result. When it closes, the
process and all that it has started are killed, however the server ended.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from llmos.core.config import Settings
from llmos.core.errors import LLMOSError
from llmos.gateway.jobs.kinds import Context, kind_named
from llmos.models import open_registry

_NICENESS = 10
"""Answers to callers come first on the CPU."""

Send = Callable[[Mapping[str, Any]], None]


class Assignment(msgspec.Struct, kw_only=True):
    """The job that the process runs."""

    settings: Settings
    kind: str
    request: dict[str, Any]
    project: str
    actor: str | None


def encode_assignment(assignment: Assignment) -> bytes:
    return msgspec.json.encode(assignment, enc_hook=str) + b"\n"


def decode_assignment(line: bytes) -> Assignment:
    return msgspec.json.decode(line, type=Assignment, dec_hook=lambda kind, value: Path(value))


def main() -> None:
    os.nice(_NICENESS)
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints must not end up among the messages.
    assignment = decode_assignment(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    send = _sender(messages)
    try:
        send({"result": _work(assignment, send)})
    except LLMOSError as error:
        send({"error": {"code": error.code, "message": error.message, "param": error.param}})


def _work(assignment: Assignment, send: Send) -> Mapping[str, Any]:
    kind = kind_named(assignment.kind)
    context = Context(
        settings=assignment.settings,
        registry=open_registry(assignment.settings),
        project=assignment.project,
        actor=assignment.actor,
        progress=lambda label, num_done, num_total: send({"progress": [label, num_done, num_total]}),
    )
    result: Mapping[str, Any] = kind.work(context, msgspec.convert(assignment.request, kind.request))
    return result


def _sender(stream: BinaryIO) -> Send:
    def send(message: Mapping[str, Any]) -> None:
        stream.write(msgspec.json.encode(message) + b"\n")
        stream.flush()

    return send


def _end_with_the_server() -> None:
    """Wait until standard input is closed, then kill this process and its children."""
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
