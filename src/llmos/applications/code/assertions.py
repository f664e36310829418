"""Programs of asserts, such as the checks `python` of evals, in the sandbox of the code application."""

from llmos.applications.code.sandbox import NoSandbox, run_tests
from llmos.evals.checks.check import Unchecked


def run_in_sandbox(program: str) -> str:
    """Run a program of asserts in a sandbox. Return why it failed; empty if it didn't.

    Raises Unchecked where this machine can't keep programs in: they are never run without.
    """
    try:
        report = run_tests("", program)
    except NoSandbox as error:
        raise Unchecked(f"A check in Python needs a sandbox: {error}") from None
    if report.passed:
        return ""
    failed = next((each.message for each in report.tests if not each.passed and each.message), "")
    return failed or report.why or report.status
