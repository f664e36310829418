"""The process that runs one heavy job for the server, so that it can be killed at once and can't crash the server.

    the server    job_process.py  --- JSON lines over the standard streams --->  this module's main()

    in   {"settings": {...}, "kind": "quantize", "request": {...}, "actor": "owner"}
    out  {"progress": ["quantizing", 3, 10]}                                      any number of these, and of
    out  {"embed": {"model": "minilm@1", "texts": [...], ...}, "id": 7}           questions, each with a reply:
    in   {"id": 7, "vectors": "<base64>", "num_vectors": 64}   or   {"id": 7, "error": {"code": ..., ...}}
    out  {"result": {...}}   or   {"error": {"code": ..., "message": ..., "param": ...}}      once, at the end

The server keeps the process's standard input open while it lives and needs the result. When it closes, the
process and all that it has started are killed, however the server ended.
"""

import os
import signal
import sys
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from llmos.core.config import Settings
from llmos.core.errors import LLMOSError, error_of_code
from llmos.core.extras import missing_extra
from llmos.gateway.calls.text_vectors import TextsToEmbed, Vectors, vectors_from_bytes
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


class Reply(msgspec.Struct, kw_only=True):
    """The answer to a question of the process."""

    id: int
    vectors: str = ""
    """Little-endian float32 values in base64."""
    num_vectors: int = 0
    error: dict[str, Any] | None = None


def main() -> None:
    os.nice(_NICENESS)
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints must not end up among the messages.
    assignment = decode_assignment(sys.stdin.buffer.readline())
    send = _sender(messages)
    questions = Questions(send)
    threading.Thread(target=_listen, args=(questions,), daemon=True).start()
    try:
        send({"result": _work(assignment, send, questions)})
    except (LLMOSError, ModuleNotFoundError) as error:
        refusal = error if isinstance(error, LLMOSError) else missing_extra(error)
        if refusal is None:
            raise
        send({"error": {"code": refusal.code, "message": refusal.message, "param": refusal.param}})


class Questions:
    """The questions to the server that it hasn't answered. Any thread may ask, several at once."""

    def __init__(self, send: Send) -> None:
        self._send, self._ids = send, count()
        self._pending: dict[int, Future[Vectors]] = {}

    def embed(self, request: TextsToEmbed) -> "Future[Vectors]":
        id, future = next(self._ids), Future[Vectors]()
        self._pending[id] = future
        self._send({"embed": msgspec.to_builtins(request), "id": id})
        return future

    def take(self, reply: Reply) -> None:
        future = self._pending.pop(reply.id)
        if reply.error is not None:
            future.set_exception(error_of_code(**reply.error))
        else:
            future.set_result(vectors_from_bytes(b64decode(reply.vectors), reply.num_vectors))


def _work(assignment: Assignment, send: Send, questions: Questions) -> Mapping[str, Any]:
    kind = kind_named(assignment.kind)
    context = Context(
        settings=assignment.settings,
        registry=open_registry(assignment.settings, serves_others=True),
        project=assignment.project,
        actor=assignment.actor,
        progress=lambda label, num_done, num_total: send({"progress": [label, num_done, num_total]}),
        embed=questions.embed,
    )
    result: Mapping[str, Any] = kind.work(context, msgspec.convert(assignment.request, kind.request))
    return result


def _sender(stream: BinaryIO) -> Send:
    lock = threading.Lock()

    def send(message: Mapping[str, Any]) -> None:
        line = msgspec.json.encode(message) + b"\n"
        with lock:
            stream.write(line)
            stream.flush()

    return send


def _listen(questions: Questions) -> None:
    """Take replies until standard input is closed, then kill this process and its children."""
    try:
        for line in sys.stdin.buffer:
            questions.take(msgspec.json.decode(line, type=Reply))
    finally:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
