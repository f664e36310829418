"""docs/prompts.md and the versions of docs/apps.md: their commands do what they say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.doc_pages import DocPage
from support.real_server import KEY, Running

pytestmark = pytest.mark.process


def run(script: str, folder: Path) -> str:
    environment = os.environ | {
        "LLMOS_HOME": str(folder / "home"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    ran = subprocess.run(["bash", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_commands_about_prompts_work_one_after_another(tmp_path: Path) -> None:
    said = run("\n".join(DocPage("prompts.md").blocks("sh")), tmp_path)
    assert "support@1 is here: 92 characters, variables: shop, tone, days." in said
    assert "'formal' or 'friendly', by default 'friendly'" in said
    assert "-You help the customers of {{shop}}. Be {{tone}}." in said
    assert "The variable shop takes a text of at most 20 characters; it took a text of at most 40 characters." in said
    assert "support:prod → support@2 (was support@1)" in said
    assert said.splitlines()[-1].startswith("support@2")


def test_the_program_works(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    (program,) = DocPage("prompts.md").blocks("python")
    exec(compile(program, "docs/prompts.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert said == ["Greet the customers of Acme in one sentence.", "['greeting@1']"]


def test_the_commands_about_versions_of_applications_work_one_after_another(tmp_path: Path) -> None:
    (script,) = DocPage("apps.md").blocks("sh", "Versions of applications")
    said = run(script, tmp_path)
    assert "support@1 is here: 2 files" in said
    assert "Prompts: support@2." in said
    assert "+You help the customers and partners of {{shop}}." in said
    assert "support@1 is in older." in said
    assert "app:support@1" in said
    assert "customers and partners" not in (tmp_path / "older" / "prompts" / "support.md").read_text()
