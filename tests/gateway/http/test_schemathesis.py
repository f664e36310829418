"""The API does what its document says, for every operation: examples, values at their limits, and random ones.

Schemathesis asks a real server of its own, whose models are tiny. schemathesis.toml says what it asks.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.real_server import KEY, serving
from support.tiny_home import make_tiny_home

pytestmark = pytest.mark.process

PROGRAM = "from schemathesis.cli import schemathesis; schemathesis()"
CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_the_api_does_what_its_document_says(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_tiny_home(home, tmp_path)
    with serving(home, LLMOS_CATALOG=str(home / "catalog.toml")) as running:
        # A pipe that nobody reads would stop the server at its first message behind 64 KB.
        assert running.process.stdout is not None
        reader = threading.Thread(target=running.process.stdout.read, daemon=True)
        reader.start()
        asked = subprocess.run(
            [sys.executable, "-c", PROGRAM, "--config-file", CONFIG, "run", f"{running.url}/openapi.json"],
            env=os.environ | {"LLMOS_TEST_KEY": KEY, "NO_COLOR": "1"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert asked.returncode == 0, asked.stdout
        assert running.end() == 0
        reader.join()
