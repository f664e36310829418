"""A replica's process imports and starts nothing that it doesn't need before its first token."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process


def test_nothing_is_imported_that_a_gguf_model_does_not_need():
    heavy = ("fastapi", "httpx", "jinja2", "pydantic", "rich", "safetensors", "secrets", "sqlalchemy", "torch", "typer")
    assert of_replica(f"[name for name in {heavy} if name in sys.modules]") == "[]"


def test_no_blas_threads_are_started():
    assert of_replica("len(os.listdir('/proc/self/task'))") == "1"


def of_replica(expression: str) -> str:
    """Return the value of the expression in a process that has imported everything that a replica does."""
    program = f"import os, sys, llmos.engine.__main__; print({expression})"
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()
