"""docs/applications.md: the support application does what the page says, with the real models."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmos.cli import main
from llmos.core.config import load_settings
from llmos.models import open_registry
from support.default_model import pull_stored
from support.doc_pages import DocPage
from support.minilm import pull_minilm
from support.real_server import KEY, serving

pytestmark = pytest.mark.process

PAGE = DocPage("applications.md")


@pytest.fixture
def home(tmp_path: Path, shared_folder: Path, smollm2_path: Path) -> Path:
    home = tmp_path / "home"
    pull_minilm(home, shared_folder)
    pull_stored(open_registry(load_settings({"LLMOS_HOME": str(home)})), smollm2_path)
    return home


def run_commands(section: str, folder: Path, home: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMOS_")} | {
        "LLMOS_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    script = "\n".join(PAGE.blocks("sh", section))
    ran = subprocess.run(["bash", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_it_answers_in_two_languages_and_asks_a_person(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "A search has an answer from a probability of" in run_commands("`support`", tmp_path, home)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    names: dict[str, Any] = {}
    with serving(home) as running:
        monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
        (program,) = PAGE.blocks("python", "`support`")
        exec(compile(program, "docs/applications.md", "exec"), names)
        names["app"].close()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "A repair takes five working days after the device has reached our workshop. en/repairs.md"
    assert said[1] == "设备送到维修站后，维修需要五个工作日。"
    assert said[2].startswith("True handoff-")


def test_its_first_run_puts_the_documents_on_the_server_and_learns_where_to_abstain(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "shop")
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    assert main(["app", "init", "support", folder]) == 0
    with serving(home) as running:
        monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
        capsys.readouterr()
        assert main(["app", "run", folder, "How long does a repair take?"]) == 0
        first = capsys.readouterr()
        assert main(["app", "run", folder, "Who won the football match yesterday?", "--json"]) == 0
        second = capsys.readouterr()
        assert main(["app", "deploy", folder]) == 0
        assert main(["app", "run", "shop", "How long does a repair take?"]) == 0
        assert main(["app", "stop", "shop"]) == 0
    assert "support-faq@1 has the 7 documents of data/faq." in first.err
    assert "were recognised" in first.err
    assert first.out.startswith("A repair takes five working days")
    assert json.loads(second.out)["abstained"] is True
    assert "support-faq" not in second.err
    assert "A repair takes five working days" in capsys.readouterr().out


def test_folders_with_overlays_are_made_as_the_page_says(home: Path, tmp_path: Path) -> None:
    said = run_commands("Overlays", tmp_path, home)
    assert "medical" in said
    assert "insurance" not in said
    assert {path.name for path in tmp_path.iterdir()} >= {"clinic", "bank"}
    assert (tmp_path / "bank" / "evals" / "education.yaml").exists()
