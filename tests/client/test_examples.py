"""The programs in examples/, as they stand but for the endpoint."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(("example", "name"), [("dialogue.py", "dialogue"), ("gpt_3.py", "gpt-3")])
def test_an_example_prints_the_models_answer(server: Any, example: str, name: str) -> None:
    server.replies(server.json(server.model), server.json(server.generated))
    source = (EXAMPLES / example).read_text()
    assert source.count("http://127.0.0.1:8000") == 1
    program = source.replace("http://127.0.0.1:8000", server.url)
    outcome = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert (outcome.stdout, outcome.stderr) == ("Hello there\n", "")
    assert server.received[0].path == f"/llmos/v1/models/{name}"
    assert server.received[1].body == {"model": name, "prompt": "The meaning of life is", "raw": False}
