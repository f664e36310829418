"""Runs tests in two sandboxes, one for the code and one for its tests, and reports how they ended."""

import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from llmos.applications.code.sandbox.bubblewrap import INSTALL, bubblewrap_command, filter_program
from llmos.applications.code.sandbox.inside.peer import ENDED
from llmos.applications.code.sandbox.types import CaseResult, NoSandbox, Report, SandboxLimits, Status

_MAX_REPORT_BYTES = 1 << 20


def run_tests(code: str, tests: str, *, entry_point: str = "", limits: SandboxLimits | None = None) -> Report:
    """Run tests against Python code that nobody trusts. Raises NoSandbox where this machine can't keep it in.

    tests: asserts, functions named test_…, classes of unittest, or a function check(candidate), which gets the code's
    `entry_point`. The code's names are there in the tests, and can be imported from `solution`.
    """
    limits = limits or SandboxLimits()
    began = time.monotonic()
    with ExitStack() as stack:
        run = _Run(limits)
        run.start(stack, code, tests, entry_point)
        run.wait(began + limits.wall_seconds)
        return run.report(time.monotonic() - began)


@functools.cache
def check_sandbox() -> None:
    """Raise NoSandbox if this machine can't keep code in a sandbox. Once it could, it isn't asked again."""
    run_tests("", "assert True")


@dataclass
class _Run:
    """The two processes, and what they have written."""

    limits: SandboxLimits
    worker: "subprocess.Popen[bytes]" = field(init=False)
    judge: "subprocess.Popen[bytes]" = field(init=False)
    outputs: dict[str, bytearray] = field(default_factory=dict)
    ended_by: str = ""
    """`time` or `output`, if a limit ended it from outside."""

    def start(self, stack: ExitStack, code: str, tests: str, entry_point: str) -> None:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        stack.enter_context(theirs)
        reports, reporting = os.pipe()
        stack.callback(os.close, reports)
        limits = _rlimits(self.limits)
        with _closed_afterwards(reporting):
            given = {"code": code, "limits": limits}
            self.worker = stack.enter_context(self._process(["worker", str(theirs.fileno())], given))
            given = {"tests": tests, "entry_point": entry_point, "limits": limits}
            self.judge = stack.enter_context(self._process(["judge", str(ours.fileno()), str(reporting)], given))
        ours.close()
        theirs.close()
        self._reports = reports

    @contextmanager
    def _process(self, program: list[str], given: Mapping[str, Any]) -> Iterator["subprocess.Popen[bytes]"]:
        """Start a program in a sandbox; afterwards, it and all that it started has ended."""
        with _file_of(filter_program()) as filter_fd, _file_of(json.dumps(given).encode()) as stdin:
            process = subprocess.Popen(
                bubblewrap_command(self.limits, filter_fd, program),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[filter_fd, *map(int, program[1:])],
                env={},
            )
        try:
            yield process
        finally:
            # The sandbox dies with the process that made it. When nobody can write to the pipes any more, it is gone.
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=5)
            process.wait()

    def wait(self, until: float) -> None:
        """Read what they write, until the judge has ended, or a limit is reached."""
        sources = {
            "reports": self._reports,
            "judge.stdout": self.judge.stdout,
            "judge.stderr": self.judge.stderr,
            "worker.stdout": self.worker.stdout,
            "worker.stderr": self.worker.stderr,
        }
        with selectors.DefaultSelector() as selector:
            for name, source in sources.items():
                self.outputs[name] = bytearray()
                selector.register(source, selectors.EVENT_READ, name)  # type: ignore[arg-type]
            is_over = False
            while selector.get_map() and not self.ended_by:
                left = until - time.monotonic()
                ready = selector.select(0 if is_over else max(left, 0))
                if not ready:
                    # The judge has ended, and what the code printed is read.
                    self.ended_by = "" if is_over else "time"
                    break
                for key, _ in ready:
                    if not self._read(key.fd, key.data):
                        selector.unregister(key.fileobj)
                        is_over = is_over or key.data == "reports"

    def _read(self, fd: int, name: str) -> bool:
        data = os.read(fd, 1 << 16)
        self.outputs[name] += data
        if len(self.outputs["reports"]) > _MAX_REPORT_BYTES or self._num_printed() > self.limits.output_bytes:
            self.ended_by = "output"
        return bool(data)

    def _num_printed(self) -> int:
        return sum(len(data) for name, data in self.outputs.items() if name != "reports")

    def report(self, seconds: float) -> Report:
        lines = list(_lines_of(self.outputs["reports"]))
        if not any("ready" in line for line in lines) and not self.ended_by:
            raise self._no_sandbox()
        cases = [line["case"] for line in lines if "case" in line]
        status, why = self._status(lines, cases)
        return Report(
            status=status,
            why=why,
            tests=tuple(CaseResult(name=c["name"], passed=c["passed"], message=c["message"]) for c in cases),
            stdout=self._text("worker.stdout") + self._text("judge.stdout"),
            stderr=self._text("worker.stderr") + self._text("judge.stderr"),
            seconds=seconds,
        )

    def _status(self, lines: list[dict[str, Any]], cases: list[dict[str, Any]]) -> tuple[Status, str]:
        end = next((line["end"] for line in lines if "end" in line), None)
        during = _during(lines)
        if self.ended_by == "time":
            return "timeout", f"It takes longer than {self.limits.wall_seconds:g} s{during}."
        if self.ended_by == "output":
            return "killed", f"It prints more than {self.limits.output_bytes >> 10:,} KiB{during}."
        if end is None:
            return self._died(self.judge, "The tests", during)
        if "problem" in end:
            return "failed", end["problem"][0].upper() + end["problem"][1:] + "."
        if "lost" in end and end["lost"] != ENDED:
            return "killed", f"The code sent something else than a result{during}: {end['lost']}."
        if "lost" in end:
            return self._died(self.worker, "The code", during)
        failed = [case for case in cases if not case["passed"]]
        if not failed:
            return "passed", ""
        status: Status = "memory" if any(case["memory"] for case in failed) else "failed"
        return status, f"{len(failed)} of {len(cases)} failed: {failed[0]['message']}"

    def _died(self, process: "subprocess.Popen[bytes]", who: str, during: str) -> tuple[Status, str]:
        """Return why a process ended before the tests did."""
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
        code = process.poll()
        seconds = f"more than {self.limits.cpu_seconds} s of the processor"
        if code == 128 + signal.SIGXCPU:
            return "timeout", f"{who} took {seconds}{during}."
        if code == 128 + signal.SIGKILL:
            return "killed", f"{who} was killed{during}: it took {seconds}, or the machine ran out of memory."
        if code is not None and code > 128:
            return "killed", f"{who} crashed (signal {code - 128}){during}."
        return "killed", f"{who} ended the process before the tests had ended{during}."

    def _no_sandbox(self) -> NoSandbox:
        said = self._text("judge.stderr").strip().splitlines()
        problem = said[-1].removeprefix("bwrap: ") if said else "bubblewrap didn't start"
        hint = INSTALL
        if "namespace" in problem or "uid map" in problem or "not permitted" in problem.lower():
            hint = (
                "Allow unprivileged user namespaces (sysctl user.max_user_namespaces, on Ubuntu "
                "kernel.apparmor_restrict_unprivileged_userns=0; in Docker --security-opt seccomp=unconfined)."
            )
        return NoSandbox(f"This machine has no sandbox ({problem}), and code isn't run without one. {hint}")

    def _text(self, name: str) -> str:
        return self.outputs[name].decode(errors="replace")


def _rlimits(limits: SandboxLimits) -> dict[str, int]:
    return {
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NOFILE": limits.num_files,
        "RLIMIT_NPROC": limits.num_threads,
    }


def _lines_of(data: bytes | bytearray) -> Iterator[dict[str, Any]]:
    """Yield the lines of the judge that are whole."""
    for line in bytes(data).split(b"\n"):
        try:
            read = json.loads(line)
        except ValueError:
            continue
        if isinstance(read, dict):
            yield read


def _during(lines: list[dict[str, Any]]) -> str:
    begun = next((line["begin"] for line in reversed(lines) if "begin" in line), "")
    return f" in {begun}" if begun else ""


@contextmanager
def _file_of(data: bytes) -> Iterator[int]:
    """Yield an open file in memory with the data."""
    if sys.platform != "linux":
        raise AssertionError("bubblewrap runs on Linux only")
    fd = os.memfd_create("llmos")
    with _closed_afterwards(fd):
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd


@contextmanager
def _closed_afterwards(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)
