"""Stages: samples what the event loop's thread works on, every few milliseconds of processor time, by stage of a call.

A sample belongs to the innermost function whose file is in the table. Samples in no file of the table, and those while
other threads work, are `event loop and other threads`.
"""

import json
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

SECONDS = 0.002

REST = "event loop and other threads"

STAGES = {
    "HTTP: connection, head, answer sent": ("uvicorn/", "http/protocol.py", "http/slow_clients.py", "starlette/"),
    "door: key, headers, metrics of HTTP": ("http/door.py", "security/auth", "wrong_keys.py", "http/cors.py"),
    "request read and checked": ("http/requests.py", "json_text.py", "chat/fields.py", "chat/messages.py"),
    "names resolved": ("calls/resolve.py", "routing/", "core/commits.py"),
    "limits held": ("limits_hold.py", "limit_counts.py"),
    "budgets reserved": ("budget_stages.py", "worst_cases.py", "limit_book.py", "reservation"),
    "guardrails": ("calls/guardrails.py", "security/guardrails/", "re2/"),
    "engine: admission, frames, deltas": (
        "calls/attempt.py", "calls/admission.py", "deployments/", "engine/", "calls/answer.py", "calls/merging.py",
    ),
    "ledger": ("ledger_stages.py", "billing/"),
    "record: metrics, log, facts, receipt": (
        "calls/record.py", "_sink.py", "calls/call_counts.py", "gateway/log.py", "calls/facts.py", "calls/receipts.py",
        "calls/output.py", "gateway/metrics.py", "prometheus_client/",
    ),
    "answer rendered": ("http/sse.py", "chat/stream.py", "openai/stream.py"),
    "the rest of the pipeline": ("calls/", "http/", "wires/", "core/"),
}  # fmt: skip


class Sampler:
    """Counts samples by stage from start() on, and writes the counts to a file whenever it gets SIGUSR2."""

    def __init__(self, path: Path) -> None:
        self._path, self._samples = path, Counter[str]()
        self._stage_of: dict[str, str | None] = {}

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR2, self._write)
        signal.setitimer(signal.ITIMER_PROF, SECONDS, SECONDS)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        while frame is not None:
            if (stage := self._stage(frame.f_code.co_filename)) is not None:
                self._samples[stage] += 1
                return
            frame = frame.f_back
        self._samples[REST] += 1

    def _stage(self, path: str) -> str | None:
        if path not in self._stage_of:
            stages = (stage for stage, parts in STAGES.items() if any(part in path for part in parts))
            self._stage_of[path] = None if path.endswith("gateway/server.py") else next(stages, None)
        return self._stage_of[path]

    def _write(self, *_: object) -> None:
        self._path.write_text(json.dumps(self._samples))
        self._samples.clear()
