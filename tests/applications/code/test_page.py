"""docs/applications.md: the programs about code do what it says."""

import pytest

from support.doc_pages import DocPage

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("needs_sandbox")]


def test_the_sandbox_works_as_the_page_says(capsys):
    (program,) = [each for each in DocPage("applications.md").blocks("python", "`code`") if "run_tests" in each]
    exec(compile(program, "docs/applications.md", "exec"), {})
    assert capsys.readouterr().out.startswith("failed 1 of 2 failed: line 2: ")
