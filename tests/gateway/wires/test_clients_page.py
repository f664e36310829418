"""docs/clients.md: every example works against a server with the real model."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.real_server import Running

PAGE = (Path(__file__).parents[3] / "docs" / "clients.md").read_text()
EXAMPLES = re.findall(r"^## ([^\n]+)\n\n```(python|sh)\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
ADDRESS = "127.0.0.1:8000"


@pytest.fixture
def at_home(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key lies where the page says."""
    (tmp_path / ".llmos").symlink_to(running.home)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_every_example_is_found() -> None:
    assert len(EXAMPLES) == PAGE.count("```python") + PAGE.count("```sh")
    assert len(EXAMPLES) == PAGE.count("\n## ")


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize(("client", "language", "example"), EXAMPLES, ids=[each[0] for each in EXAMPLES])
def test_the_example_works(running: Running, client: str, language: str, example: str) -> None:
    example = example.replace(ADDRESS, running.url.removeprefix("http://"))
    command = ["bash", "-ec"] if language == "sh" else [sys.executable, "-c"]
    outcome = subprocess.run([*command, example], capture_output=True, text=True, timeout=300)
    assert outcome.returncode == 0, outcome.stderr
    assert "cat" in outcome.stdout
