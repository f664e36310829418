"""The cases that a ready application must pass before a version of it is released."""

from pathlib import Path

import pytest

from llmos.applications import templates
from llmos.core.app_manifest import read_manifest
from llmos.hosting.evals import read_folder


@pytest.mark.parametrize("template", templates.templates())
def test_every_template_names_cases_and_those_that_must_pass(template: str, tmp_path: Path) -> None:
    folder = tmp_path / f"my-{template}"
    templates.make_app(template, folder)
    assert read_manifest(folder).evals == ["evals/cases.yaml"]
    suite = read_folder(folder)
    assert len(suite.gates.must_pass) >= 3
    assert set(suite.gates.must_pass) <= {case.id for case in suite.cases}
