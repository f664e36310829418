"""Runs tests of Python code that nobody trusts. It knows no model, and no application."""

from llmos.applications.code.sandbox.running import run_tests
from llmos.applications.code.sandbox.types import CaseResult, NoSandbox, Report, SandboxLimits, Status

__all__ = ["CaseResult", "NoSandbox", "Report", "SandboxLimits", "Status", "run_tests"]
