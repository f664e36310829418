"""docs/knowledge.md: its commands and its program do what it says, with the real embedding model."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.doc_pages import DocPage
from support.minilm import pull_minilm
from support.real_server import KEY, serving

pytestmark = pytest.mark.process

PAGE = DocPage("knowledge.md")


@pytest.fixture
def minilm_home(tmp_path: Path, shared_folder: Path) -> Path:
    home = tmp_path / "home"
    pull_minilm(home, shared_folder)
    return home


def test_the_commands_work_one_after_another(tmp_path: Path, minilm_home: Path) -> None:
    environment = os.environ | {
        "LLMOS_HOME": str(minilm_home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    script = "\n".join(PAGE.blocks("sh"))
    ran = subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout
    assert "faq@1 is here: 3 documents, 4 passages" in said
    assert said.partition("\n1. ")[2].startswith("guarantee.md, Repairs")
    assert said.partition("\n1. ")[2].partition("\n1. ")[2].startswith("保修.md, 保修")
    assert "faq@2 is here: 3 documents, 4 passages" in said
    assert "faq@3 is here: 2 documents, 3 passages" in said
    assert '"year": 2026' in said
    assert "faq:prod → faq@3 (was faq@1)" in said
    assert "Of 3 questions that the documents answer, 3 were found among the first 3 hits: 100 % (44–100 %)." in said
    assert "add 17 more with an answer in the documents and 19 more that the documents don't answer" in said


def test_the_program_works(
    minilm_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "guarantee.md").write_text(
        "# Guarantee\n\nTwo years. Batteries are excluded.\n\n# Repairs\n\nWe pay for repairs.\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    names: dict[str, Any] = {}
    with serving(minilm_home, "minilm") as running:
        monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
        exec(compile(PAGE.blocks("python")[0], "docs/knowledge.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "faq@1 1 2"
    assert said[1] == "guarantee.md ['Repairs'] We pay for repairs."
    assert said[-1] == "True"
