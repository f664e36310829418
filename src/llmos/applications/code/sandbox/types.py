"""The limits of a run in the sandbox, and its report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llmos.apps.errors import AppError

Status = Literal["passed", "failed", "timeout", "memory", "killed"]


class NoSandbox(AppError):
    """This machine can't keep code in a sandbox. Code is never run without one."""

    code = "no_sandbox"


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxLimits:
    """The limits of the code; its tests may use as much again."""

    wall_seconds: float = 10.0
    cpu_seconds: int = 5
    memory_bytes: int = 512 << 20
    """Address space, with Python itself."""
    file_bytes: int = 8 << 20
    """Each file, and all files in /tmp together."""
    num_files: int = 64
    """Open at once."""
    num_threads: int = 32
    """Enforced only where LLMOS doesn't run as root."""
    output_bytes: int = 1 << 20
    """stdout and stderr together; the run is ended when it writes more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseResult:
    """One test, or one `assert` outside of functions."""

    name: str
    passed: bool
    message: str = ""
    """The failure, with the line of the tests."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The result of running the tests."""

    status: Status
    why: str = ""
    """The outcome in one line; empty if all tests passed."""
    tests: Sequence[CaseResult] = ()
    """The tests that ran."""
    stdout: str = ""
    """The output of the code, followed by the output of the tests."""
    stderr: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return self.status == "passed"
