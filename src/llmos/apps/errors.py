"""The errors of applications, beside those of the server, and the exception that pauses a run."""

from typing import Any, Self

from llmos.core.errors import LLMOSError


class AppError(LLMOSError):
    """The base of errors that an application itself ends with."""

    status, code, type = 0, "app_error", "app_error"

    run_id: str = ""
    """The run that ended with it."""


class LimitReached(AppError):
    """A run would exceed one of its limits."""

    code = "limit_reached"

    limit: str = ""
    """steps, tokens or seconds."""


class WrongOutput(AppError):
    """The model's answer isn't what `output` says, such as one that was cut."""

    code = "wrong_output"


class StepFailed(AppError):
    """A step raised an exception. A continued run gets the same one again."""

    code = "step_failed"

    reason: str = ""

    @classmethod
    def of(cls, name: str, reason: str) -> Self:
        error = cls(f"The step {name} failed: {reason}")
        error.reason = reason
        return error


class NoRun(AppError):
    """A function that belongs into a run was called outside of one."""

    code = "no_run"


class Paused(BaseException):
    """Ends the execution of a run that waits. No exception of a program, so that no `except Exception` keeps it."""

    def __init__(self, waits_for: str, waits_with: Any = None) -> None:
        super().__init__(waits_for)
        self.waits_for, self.waits_with = waits_for, waits_with
