"""deploy/ci: the steps of each file plan and release an application, with the statuses that they promise."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmos.client import Client
from support.releases import Write
from support.scripted import KEY

pytestmark = [pytest.mark.process, pytest.mark.shared_gateway]

FILES = Path(__file__).parents[3] / "deploy" / "ci"
MANIFEST = "evals: [evals/heard.yaml]\nenvironments: {prod: {variables: {shop: Acme Ltd}}}\n"
CASES = "cases: [{id: hi, input: hi, expect: {contains: heard hi}}]\n"


@pytest.fixture
def folder(write: Write) -> Path:
    folder = write("v1", MANIFEST)
    (folder / "evals").mkdir()
    (folder / "evals" / "heard.yaml").write_text(CASES)
    return folder


def steps_of(file: str, job: str) -> Sequence[str]:
    """The shell steps of a job, but those that install."""
    document: Any = yaml.safe_load((FILES / file).read_text())
    if file.startswith("gitlab"):
        return list(document[job]["script"])
    steps = document["jobs"][job]["steps"]
    return [step["run"] for step in steps if "run" in step and step["name"] != "Install"]


def run(script: Sequence[str], folder: Path, endpoint: str) -> "subprocess.CompletedProcess[str]":
    variables = {
        "LLMOS_ENDPOINT": endpoint,
        "LLMOS_API_KEY": KEY,
        "APP": folder.name,
        "APP_ENV": "prod",
        "GITHUB_STEP_SUMMARY": str(folder.parent / "summary.md"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = ["bash", "-eo", "pipefail", "-c", "\n".join(script)]
    return subprocess.run(command, cwd=folder.parent, env=os.environ | variables, capture_output=True, text=True)


@pytest.mark.parametrize("file", ["github-actions.yml", "gitlab-ci.yml"])
def test_a_pull_request_gets_the_plan_and_main_is_released(
    file: str, client: Client, name: str, folder: Path, served: str
) -> None:
    planned = run(steps_of(file, "plan"), folder, served)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "? evals/heard.yaml: Passed." in planned.stdout
    assert "<testcase" in (folder.parent / "report.xml").read_text()
    if file.startswith("github"):
        summary = (folder.parent / "summary.md").read_text()
        assert "~ " in summary
        assert "Eval `heard`: passed" in summary
    assert client.apps.releases(name) == []
    applied = run(steps_of(file, "apply"), folder, served)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert [release.state for release in client.apps.releases(name)] == ["active"]


def test_the_script_has_a_status_for_each_end(client: Client, name: str, folder: Path, served: str) -> None:
    script = str(FILES / "release.sh")
    assert run([f"{script} apply {folder} prod"], folder, served).returncode == 0
    assert run([f"{script} plan {folder} prod"], folder, served).returncode == 0
    (folder / "evals" / "heard.yaml").write_text(CASES.replace("heard hi", "said"))
    failed = run([f"{script} plan {folder} prod"], folder, served)
    assert failed.returncode == 4, failed.stdout + failed.stderr
    assert 'failures="1"' in (folder.parent / "report.xml").read_text()
    assert run([f"{script} apply {folder} prod"], folder, served).returncode == 4
    assert run([f"{script} release {folder}"], folder, served).returncode == 2
    assert client.apps.releases(name)[0].number == 1


def test_the_workflows_are_as_these_systems_read_them() -> None:
    document: Any = yaml.safe_load((FILES / "github-actions.yml").read_text())
    assert {*document["jobs"]} == {"plan", "apply"}
    assert all(job["runs-on"] for job in document["jobs"].values())
    assert {*document[True]} == {"pull_request", "push"}, "YAML 1.1 reads `on` as true"
    gitlab: Any = yaml.safe_load((FILES / "gitlab-ci.yml").read_text())
    assert {gitlab["plan"]["stage"], gitlab["apply"]["stage"]} <= {*gitlab["stages"]}
