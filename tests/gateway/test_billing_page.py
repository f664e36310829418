"""docs/billing.md: its commands and programs about budgets do what it says."""

import shlex

import pytest

from llmos.cli import main
from llmos.gateway.services import Services
from support.doc_pages import DocPage
from support.scripted import KEY

PAGE = DocPage("billing.md")


def test_budgets_are_set_shown_and_removed(
    served: str, services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", served)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    monkeypatch.setattr("llmos.cli.control.opening.is_remote", lambda settings: True)
    services.projects.create("acme")
    (commands,) = PAGE.blocks("sh", "Budgets")
    for command in commands.splitlines():
        program, *arguments = shlex.split(command)
        assert program == "llmos"
        assert main(arguments) == 0, f"{command}: {capsys.readouterr().err}"
    assert {each.name for each in services.billing.budgets.list()} == {"team", "everybody", "ann"}
    capsys.readouterr()
    (example,) = PAGE.blocks("python", "Budgets")
    exec(compile(example, "docs/billing.md", "exec"), {})
    assert capsys.readouterr().out == "0 0 5 None\n"
