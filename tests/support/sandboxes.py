"""The sandbox for code: tests that need it are skipped where the machine has none."""

import functools

import pytest

from llmos.applications.code.sandbox import NoSandbox
from llmos.applications.code.sandbox.running import check_sandbox


@pytest.fixture
def needs_sandbox() -> None:
    """Skip the test on a machine that can't make namespaces."""
    if problem := _problem():
        pytest.skip(problem)


@functools.cache
def _problem() -> str:
    try:
        check_sandbox()
    except NoSandbox as error:
        return str(error)
    return ""
