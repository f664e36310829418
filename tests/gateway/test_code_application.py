"""The application `code` with the real model: it is held to the form, and its tests run in the sandbox."""

import pytest

from llmos.applications.code import Coder
from llmos.apps import App
from llmos.client import AsyncClient
from support.doc_pages import DocPage
from support.real_server import KEY, Running
from support.sandboxes import needs_sandbox

__all__ = ["needs_sandbox"]


@pytest.mark.process
@pytest.mark.usefixtures("needs_sandbox")
def test_the_real_model_writes_the_function_that_was_asked_for(running: Running) -> None:
    app = App(
        "code",
        model="smollm2",
        brain=Coder(max_repairs=1).write,
        options={"temperature": 0, "max_tokens": 60},
        connect=lambda: AsyncClient(running.url, api_key=KEY),
    )
    task = {
        "signature": "def add(a: int, b: int) -> int:",
        "docstring": "Return the sum of a and b.",
        "tests": "assert add(2, 3) == 5",
    }
    with app:
        run = app.run(task)
    assert run.output["code"].startswith("def add(a: int, b: int) -> int:\n")
    assert run.output["passed"] == (run.output["attempts"][-1]["report"]["status"] == "passed")
    assert {"smollm2", "test_code"} <= {step.name for step in run.steps}


@pytest.mark.process
@pytest.mark.usefixtures("needs_sandbox")
def test_the_page_says_what_happens(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    (program,) = [each for each in DocPage("applications.md").blocks("python", "`code`") if "App(" in each]
    names: dict[str, App] = {}
    exec(compile(program, "docs/applications.md", "exec"), names)
    names["app"].close()
    said = capsys.readouterr().out
    assert said.startswith('```python\ndef length(text: str) -> int:\n    """Return the number of characters.')
    assert said.splitlines()[-1].split()[0] in ("True", "False")
