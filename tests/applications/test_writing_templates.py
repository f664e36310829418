"""The folders that `llmos app init` copies for summaries and texts: they load, and their cases can be read."""

from importlib.resources import files
from pathlib import Path

import pytest

from llmos.apps.testing import Script
from llmos.hosting.evals import read_folder
from llmos.hosting.folder import AppFolder


@pytest.mark.parametrize("name", ["summarize", "write"])
def test_a_template_is_a_whole_application(name: str) -> None:
    folder = AppFolder.open(str(files("llmos.applications") / name / "template"))
    assert folder.load().name == folder.manifest.name == name
    assert len(read_folder(folder.path).cases) >= 6
    assert {Path("README.md"), Path("app.yaml"), Path("evals/cases.yaml")} <= {*folder.files()}


def test_the_template_of_summaries_quotes_its_example() -> None:
    app = AppFolder.open(str(files("llmos.applications") / "summarize" / "template")).load()
    with Script().plays(app):
        run = app.run("What does it cost in euros?", variables={"file": "minutes.md", "sentences": 1})
    assert "4.2 million euros" in run.text
    assert run.citations[0].document == "minutes.md"
