"""Serves a model in a process of its own, as a replica does, to measure its speed and memory.

    the caller    ServedModel(files) --- JSON lines over standard input and output --->  this module's main()

    in   {"files": {...}, "keys": {...}, "threads": 2, "streams": 8, "tokens_per_stream": 1024}
    out  {"isa": ..., "threads": ..., "weight_bytes": ..., "kv_bytes": ..., "vocab_size": ...}      when it has loaded
    in   {"prompts": [[token, ...], ...], "num_output_tokens": 128}
    out  {"seconds": 1.9, "first_token_seconds": 0.01}
    in   {"reset_peak": true}      out  {}
    in   {"peak": true}             out  {"resident_bytes": ...}

Prefix caching and speculation are off, so that the same tokens are computed whatever was request before.
"""

import os

# As in a replica's process: see llmos/engine/__main__.py.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import gc
import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_path import join_keys, split_keys
from llmos.core.errors import LLMOSError, ReplicaFailed, error_of_code
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.sizing.workloads import Prompt, Timing, runs_on

_PROCESS = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Facts:
    """The loaded model."""

    isa: str
    threads: int
    weight_bytes: int
    kv_bytes: int
    vocab_size: int


class ServedModel:
    """The caller's side: a context manager, whose process ends with the block."""

    def __init__(self, files: Mapping[str, Path], *, threads: int, streams: int, tokens_per_stream: int) -> None:
        paths, keys = split_keys(files)
        self._setup = {
            "files": paths,
            "keys": msgspec.to_builtins(keys),
            "threads": threads,
            "streams": streams,
            "tokens_per_stream": tokens_per_stream,
        }

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "llmos.engine.evaluation.serving"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            self.facts = Facts(**self._ask(self._setup))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, prompts: Sequence[Prompt], num_output_tokens: int) -> Timing:
        """Run a workload (a workloads.Run). Raises the engine's error if a request fails, ReplicaFailed if the process
        ends."""
        return Timing(**self._ask({"prompts": prompts, "num_output_tokens": num_output_tokens}))

    def reset_peak(self) -> None:
        """Reset the peak of resident memory. Raises ReplicaFailed if the system doesn't permit it."""
        self._ask({"reset_peak": True})

    def peak(self) -> int:
        """Return the peak of resident memory since reset_peak(), in bytes."""
        return int(self._ask({"peak": True})["resident_bytes"])

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = b""
        if not line:
            status = self._process.wait()
            raise ReplicaFailed(
                f"The process in which the model was measured ended with status {status}, usually because memory ran"
                " out. Free some memory and measure again."
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise error_of_code(answer["error"]["code"], answer["error"]["message"])
        return answer

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """Serve the model to the caller until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, which ends this process
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    lines = iter(sys.stdin)
    engine = None
    for line in lines:
        request = json.loads(line)
        try:
            if engine is None:
                engine, answer = _load(request)
            elif "prompts" in request:
                timing = runs_on(engine)(request["prompts"], request["num_output_tokens"])
                answer = {"seconds": timing.seconds, "first_token_seconds": timing.first_token_seconds}
            elif "reset_peak" in request:
                answer = _reset_peak()
            else:
                answer = _peak()
        except LLMOSError as error:
            answer = {"error": {"code": error.code, "message": error.message}}
        print(json.dumps(answer), file=answers, flush=True)


def _load(request: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    config = EngineConfig(
        threads=request["threads"],
        max_sequences=request["streams"],
        context_length=request["tokens_per_stream"],
        prefix_cache=False,
        max_draft_tokens=0,
    )
    keys = msgspec.convert(request["keys"], dict[str, DataKey])
    engine, ready = load_engine(join_keys(request["files"], keys), config)
    gc.freeze()
    return engine, {
        "isa": ready.isa,
        "threads": ready.threads,
        "weight_bytes": ready.weight_bytes,
        "kv_bytes": ready.kv_bytes,
        "vocab_size": ready.vocab_size,
    }


def _reset_peak() -> dict[str, Any]:
    try:
        (_PROCESS / "clear_refs").write_text("5")  # resets the peak; see proc(5)
    except OSError as error:
        raise ReplicaFailed(f"This system doesn't let a process reset its peak of memory: {error}.") from error
    return {}


def _peak() -> dict[str, Any]:
    found = re.search(r"^VmHWM:\s+(\d+) kB$", (_PROCESS / "status").read_text(), re.MULTILINE)
    if found is None:
        raise ReplicaFailed("This system doesn't report a process's peak of memory.")
    return {"resident_bytes": int(found[1]) * 1024}


if __name__ == "__main__":
    main()
