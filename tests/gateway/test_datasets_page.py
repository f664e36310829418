"""docs/datasets.md: its commands and its program do what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmos.data.datasets.formats import formats
from llmos.data.datasets.shapes import shapes
from support.doc_pages import DocPage
from support.real_server import KEY, Running

pytestmark = pytest.mark.process

PAGE = DocPage("datasets.md")


def test_the_commands_work_one_after_another(tmp_path: Path) -> None:
    environment = os.environ | {
        "LLMOS_HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    script = "\n".join(PAGE.blocks("sh"))
    ran = subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "support@1 is here: 2 rows of the kind chat" in ran.stdout
    assert "support@2 is here: 1 of 2 rows." in ran.stdout
    assert "(language: de)" in ran.stdout
    assert "quiz@1 is here: 2 rows of the kind case" in ran.stdout
    assert "handbook@1 is here: 3 rows of the kind text" in ran.stdout
    assert "of the documents' text was kept. Left out: 1 × navigation." in ran.stderr
    program = [sys.executable, "-c", PAGE.blocks("python")[0]]
    printed = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert printed.stdout.startswith("('Shipping',) # Shipping\n\n| To | Days |"), printed.stderr
    again = ["llmos", "dataset", "import", "support-folder", "--name", "again", "--yes", "--json"]
    folder = subprocess.run(again, cwd=tmp_path, env=environment, capture_output=True, text=True)
    show = ["llmos", "dataset", "show", "support:gold", "--json"]
    shown = subprocess.run(show, cwd=tmp_path, env=environment, capture_output=True, text=True)
    digests = [re.findall(r'"digest": "(.*)"', each.stdout) for each in (folder, shown)]
    assert digests[0] == digests[1] != []


def test_the_program_works(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    data = PAGE.blocks("sh")[0].partition("<<END\n")[2].partition("END\n")[0]
    (tmp_path / "support.jsonl").write_text(data)
    names: dict[str, Any] = {}
    _, program = PAGE.blocks("python")
    exec(compile(program, "docs/datasets.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("support@1 2 sha256:")
    assert said[1] == "[['Wo bleibt mein Paket?']]"
    assert '"instruction":"Where is my order?"' in (tmp_path / "copy.jsonl").read_text()


def test_every_format_and_shape_is_on_the_page() -> None:
    missing = [
        suffix for suffix in formats() if f"`{suffix}`" not in PAGE.text and suffix not in (".ndjson", ".jsonlines")
    ]
    assert not missing
    assert not [name for name in shapes() if f"`{name}`" not in PAGE.text]
