"""The server's log: a line for each call of a model, each other HTTP request, each sign-in and each event of a
deployment, as text or as JSON.

    2026-11-29T14:36:42Z request answer-1f… owner smollm2 -> smollm2@1 generate 31+14 tokens 0.21 s 200
    2026-11-29T14:36:43Z http req_7c… owner PUT /llmos/v1/routes/gpt-3 0.01 s 200
    2026-11-29T14:36:44Z http req_90… nobody@192.0.2.7 POST /v1/chat/completions 0.00 s 401 invalid_api_key
    2026-11-29T14:36:45Z sign-in req_2b… ann password refused 203.0.113.7 invalid_api_key
    2026-11-29T14:36:40Z deployment smollm2@1 ready reconciler: Loaded in 0.4 s.

Lines are written by a thread, and those of the files by another one, so that a reader of the output who doesn't keep up
delays no answer and no file. It loses lines then, and the next line says how many.
"""

import contextlib
import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, TextIO

from llmos.core.clock import Clock, utc_now
from llmos.core.config import LogFormat
from llmos.core.errors import find_error_class
from llmos.core.log_files import LogFiles
from llmos.core.log_lines import Event, render_text
from llmos.deployments.desired.deployment import DeploymentEvent
from llmos.gateway.calls.record import Record, Sink
from llmos.security.users.sign_in import SignInEvent

CLIENT_GONE = 499
"""The status of a call whose caller hung up, as in nginx's log."""

_PROBES = ("/health/", "/v2/health/", "/metrics")
"""The paths that monitoring asks for every few seconds."""

_MAX_WAITING = 10_000
_MAX_AT_ONCE = 256
"""Lines that are written together."""

_MAX_PATH = 200
_FLUSH_SECONDS = 1.0
_GROUP_SECONDS = 0.02
"""A line is written at once, and those that come within this time after it together."""
_MAX_MESSAGE = 8000


class Log:
    """Writes events, and what the server says to its user, to a stream, and events to files. Any thread may use it;
    nothing waits for the stream, so that a server whose output nobody reads goes on, keeps its files, and ends."""

    def __init__(
        self,
        format: LogFormat,
        stream: TextIO | None = None,
        files: LogFiles | None = None,
        *,
        standard: Literal["stdout", "stderr"] = "stdout",
    ) -> None:
        """`stream`: None for the standard one that `standard` names. `files`: get the events, too, also if the stream
        doesn't."""
        self._is_off = format == "off"
        render: Callable[[Event], str] = _render_json if format == "json" else render_text
        self._shown = _Writer(lambda: _to_stream(stream, standard, render))
        self._kept = None if files is None else _Writer(lambda: _to_files(files))

    def write(self, event: Event) -> None:
        if self._is_off and self._kept is None:
            return
        line = {"time": event["time"], "level": _level_of(event), **event}
        if self._kept is not None:
            self._kept.put(line)
        if not self._is_off:
            self._shown.put(line)

    def print(self, text: str) -> None:
        """Write a text for people, also if the log is off."""
        self._shown.put(text)

    def close(self) -> None:
        """Return when everything is written, at the latest after two seconds. Nothing is written afterwards."""
        if self._kept is not None:
            self._kept.close()
        self._shown.close()


Target = Callable[[Sequence[Event | str]], None]
"""Writes lines that came together."""


class _Writer:
    """Hands lines to a target in a thread of its own, which the first line starts."""

    def __init__(self, open_target: Callable[[], contextlib.AbstractContextManager[Target]]) -> None:
        self._open_target = open_target
        self._waiting: queue.SimpleQueue[Event | str | None] = queue.SimpleQueue()
        self._num_lost = 0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def put(self, line: Event | str) -> None:
        if self._is_closed:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
            self._thread.start()
        if self._waiting.qsize() >= _MAX_WAITING:
            self._num_lost += 1
        else:
            self._waiting.put(line)

    def close(self) -> None:
        self._is_closed = True
        if self._thread is not None:
            self._waiting.put(None)
            self._closing.set()
            self._thread.join(_FLUSH_SECONDS)

    def _write_all(self) -> None:
        with self._open_target() as write:
            is_open = True
            while is_open:
                lines = self._next_lines()
                is_open = lines[-1] is not None
                if written := [line for line in lines if line is not None]:
                    write(written)
                if is_open and self._waiting.empty():
                    # To wake this thread for each line would cost each call.
                    self._closing.wait(_GROUP_SECONDS)

    def _next_lines(self) -> list[Event | str | None]:
        """Wait for a line, and return it with those that wait behind it. The last one is None if there are no more."""
        lines = [self._waiting.get()]
        while lines[-1] is not None and len(lines) < _MAX_AT_ONCE and not self._waiting.empty():
            lines.append(self._waiting.get())
        if self._num_lost and lines[0] is not None:
            num_lost, self._num_lost = self._num_lost, 0
            lines[0] = _with_lost(lines[0], num_lost)
        return lines


@contextlib.contextmanager
def _to_files(files: LogFiles) -> Iterator[Target]:
    yield lambda lines: files.write(*(line for line in lines if not isinstance(line, str)))
    files.close()


@contextlib.contextmanager
def _to_stream(
    given: TextIO | None, standard: Literal["stdout", "stderr"], render: Callable[[Event], str]
) -> Iterator[Target]:
    with contextlib.nullcontext(given) if given is not None else _own(standard) as stream:

        def write(lines: Sequence[Event | str]) -> None:
            # Serving continues if nobody reads the output.
            with contextlib.suppress(OSError, ValueError):
                stream.write("\n".join(line if isinstance(line, str) else render(line) for line in lines) + "\n")
            with contextlib.suppress(OSError, ValueError):
                stream.flush()

        yield write


def _with_lost(line: Event | str, num_lost: int) -> Event | str:
    """Return the line with the number of those before it that are lost."""
    if isinstance(line, str):
        return f"({num_lost} line{'s' * (num_lost != 1)} before this one are lost)\n{line}"
    return {**line, "lost_lines": num_lost}


@contextlib.contextmanager
def _own(standard: Literal["stdout", "stderr"]) -> Iterator[TextIO]:
    """Open a standard stream as a file of its own: the process can't end while a thread waits in sys.stdout."""
    shared: TextIO = getattr(sys, standard)
    try:
        descriptor = os.dup(shared.fileno())
    except (OSError, ValueError):
        yield shared  # It is no file, as in tests.
        return
    with (
        contextlib.suppress(OSError),  # What nobody reads can't be flushed.
        open(descriptor, "w", encoding=shared.encoding, errors=shared.errors) as stream,
    ):
        yield stream


class MessageHandler(logging.Handler):
    """Writes what the code logs from warnings on, each with the id of the request that it was about."""

    def __init__(self, log: Log, clock: Clock = utc_now) -> None:
        super().__init__(logging.WARNING)
        self._log, self._clock = log, clock

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        self._log.write(
            {
                "time": _render_time(self._clock()),
                "event": "message",
                "level": "warning" if record.levelno < logging.ERROR else "error",
                "request": current_request.get() or None,
                "logger": record.name,
                "message": text[:_MAX_MESSAGE],
            }
        )


class StderrHandler(logging.Handler):
    """Writes messages to the standard error, in a thread: one that nobody reads loses lines, and stops nothing."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines = Log("off", standard="stderr")

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.print(self.format(record))

    def close(self) -> None:
        self._lines.close()
        super().close()


@contextlib.contextmanager
def messages_logged(log: Log) -> Iterator[None]:
    """Write the warnings of the code and of its HTTP server into the log, and those of all libraries to stderr."""
    loggers = [logging.getLogger(name) for name in ("llmos", "uvicorn.error")]
    handler, plain = MessageHandler(log), StderrHandler()
    for logger in loggers:
        logger.addHandler(handler)
    # Without a handler, Python writes warnings there by itself, and waits for whoever reads them.
    logging.getLogger().addHandler(plain)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(plain)
        plain.close()
        for logger in loggers:
            logger.removeHandler(handler)


current_request: ContextVar[str] = ContextVar("llmos_request", default="")
"""The id of the request that this task works for. The log alone reads it: code that logs knows no request."""


class RequestLog:
    """Writes a line for each HTTP request that was no call: rejected ones, the control plane, unknown paths.

    A call has a line of its own; see LogSink. Probes that succeed have none.
    """

    def __init__(self, log: Log, clock: Clock = utc_now) -> None:
        self._log, self._clock = log, clock
        self._calls: set[str] = set()
        """The running requests whose calls have been logged."""

    def add_call(self, request_id: str) -> None:
        """Leave a request out, since a call that came in it has its own line."""
        self._calls.add(request_id)

    def write(self, scope: Mapping[str, Any], status: int, seconds: float) -> None:
        """Log a request that has ended. `scope`: as the HTTP server gave it, with what the door knows in `state`."""
        state = scope["state"]
        if state["request_id"] in self._calls:
            self._calls.discard(state["request_id"])
            return
        if status < 400 and (scope["path"].startswith(_PROBES) or state.get("is_part")):
            return
        caller = state.get("caller")
        self._log.write(
            {
                "time": _render_time(self._clock()),
                "event": "http",
                "id": state["request_id"],
                "project": None if caller is None else caller.project,
                "key": None if caller is None else caller.key_id,
                "address": scope["client"][0] if scope.get("client") else None,
                "method": scope["method"],
                "path": scope["path"][:_MAX_PATH],
                "status": status,
                "seconds": round(seconds, 3),
                "error": state.get("error_code"),
            }
        )


class LogSink(Sink):
    """Writes a line when a call has ended."""

    def __init__(self, log: Log, clock: Clock = utc_now, requests: RequestLog | None = None) -> None:
        """`requests`: leaves out the requests that the calls came in."""
        self._log, self._clock, self._requests = log, clock, requests

    def on_closed(self, record: Record) -> None:
        if self._requests is not None and record.caller.request_id and record.shadow_of is None:
            self._requests.add_call(record.caller.request_id)
        now = self._clock()
        last = record.attempts[-1] if record.attempts else None
        pace = None if last is None else last.pace()
        caller = record.caller
        self._log.write(
            {
                "time": _render_time(now),
                "event": "request",
                "id": record.id,
                "request": record.caller.request_id or None,
                "operation": record.operation,
                "project": caller.project,
                "key": caller.key_id,
                "user": caller.user or None,
                "model": record.model,
                "version": None if last is None else last.version,
                "prompt_tokens": sum(attempt.num_prompt_tokens for attempt in record.attempts),
                "cached_tokens": sum(attempt.num_cached_tokens for attempt in record.attempts),
                "completion_tokens": sum(attempt.num_completion_tokens for attempt in record.attempts),
                "cache": None
                if last is None or last.is_from_cache is None
                else "hit"
                if last.is_from_cache
                else "miss",
                "seconds": round((now - record.opened_at).total_seconds(), 3),
                "first_token_seconds": None if pace is None else round(pace.first_token_seconds, 3),
                "warnings": sum(attempt.num_warnings for attempt in record.attempts),
                "guardrails": _findings_of(record),
                "attempts": len(record.attempts),
                "outcome": record.outcome,
                "status": _status_of(record),
                "error": record.error_code,
            }
        )


_CACHE_WORDS = {None: None, True: "hit", False: "miss"}


def log_deployment_event(log: Log, ref: str, event: DeploymentEvent) -> None:
    log.write(
        {
            "time": _render_time(event.at),
            "event": "deployment",
            "deployment": ref,
            "kind": event.kind,
            "actor": event.actor,
            "reason": event.reason,
            **({"data": dict(event.data)} if event.data else {}),
        }
    )


def log_sign_in(log: Log, event: SignInEvent) -> None:
    log.write(
        {
            "time": _render_time(utc_now()),
            "event": "sign-in",
            "id": event.request_id,
            "user": event.user,
            "project": event.project,
            "method": event.method,
            "outcome": event.kind,
            "address": event.address,
            "error": event.reason or None,
        }
    )


def _level_of(event: Event) -> str:
    """Return info, warning (the caller is wrong, or a limit was reached) or error (the server is)."""
    if "level" in event:
        return str(event["level"])
    status = event.get("status") or 0
    if event["event"] == "deployment":
        return "error" if event["kind"] == "failed" else "info"
    if status >= 500:
        return "error"
    return "warning" if status >= 400 or event.get("outcome") == "refused" else "info"


def _status_of(record: Record) -> int:
    """Return the HTTP status that the outcome has in every format. A stream that fails later has sent 200 already."""
    if record.outcome == "cancelled":
        return CLIENT_GONE
    return 200 if record.error_code is None else find_error_class(record.error_code).status


def _findings_of(record: Record) -> list[dict[str, str]]:
    """Return what guardrails found, without the text."""
    return [] if record.screening is None else [asdict(finding) for finding in record.screening.findings]


def _render_time(time: datetime) -> str:
    return time.isoformat(timespec="seconds")[:19] + "Z"


def _render_json(event: Event) -> str:
    return json.dumps(event, default=str)
