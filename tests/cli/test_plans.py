"""Plans, prepaid credit and corrections on the command line: what docs/billing.md says of them."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmos.billing.ledger import Ledger
from llmos.cli.control.local import LocalControl
from llmos.core.config import load_settings
from support.doc_pages import DocPage
from support.ledger import entry

PAGE = DocPage("billing.md")


@pytest.fixture
def page(cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Run the commands of a section beside its files, and return what they print."""
    monkeypatch.chdir(tmp_path)
    assert cli("project", "create", "acme").status == 0

    def run(section: str) -> list[str]:
        for document in PAGE.blocks("yaml", section):
            name = document.partition("name: ")[2].partition("\n")[0]
            (tmp_path / f"{name}.yaml").write_text(document)
        results = [cli(*shlex.split(line)[1:]) for line in PAGE.blocks("sh", section)[0].splitlines()]
        assert [each.status for each in results] == [0] * len(results), results
        return [each.out for each in results]

    return run


def test_the_commands_about_plans_do_what_the_page_says(page: Callable[[str], list[str]]) -> None:
    shown = page("Plans")[3]
    for each in ("monthly fee", "included spend a month", "its own (version 1)", "100 spend per month (hard)", "acme"):
        assert each in shown
    assert "0 of 100 used, 100 left" in " ".join(shown.split())


def test_the_commands_about_credit_do_what_the_page_says(
    page: Callable[[str], list[str]], cli: Callable[..., Any]
) -> None:
    printed = page("Prepaid credit")
    assert "acme has 50 EUR." in printed[2]
    assert "Transfer 4711" in printed[3]
    again = cli("credit", "add", "acme", "50", "--currency", "EUR", "--key", "transfer-4711", "--json")
    found = json.loads(again.out)
    assert (found["balance"], len(found["lines"])) == ("50", 1)
    assert cli("credit", "reverse", "acme", found["lines"][0]["id"]).out == "acme has 0 EUR.\n"
    assert "no project 'nobody" in cli("credit", "add", "nobody", "1", "--currency", "EUR").err
    refused = cli("billing-plan", "assign", "prepaidd", "acme")
    assert "Did you mean prepaid?" in refused.err


def test_the_commands_about_corrections_do_what_the_page_says(
    page: Callable[[str], list[str]], cli: Callable[..., Any]
) -> None:
    with LocalControl(load_settings()) as control:
        Ledger(control.registry.database).add([entry("answer-4711")])
    shown, reversed_ = page("Corrections")
    assert "smollm2@1" in shown
    assert reversed_ == "answer-4711/-1 takes answer-4711/0 back: no price.\n"
    (recorded,) = [
        each for each in json.loads(cli("audit", "list", "--json").out) if each["action"] == "ledger.reverse"
    ]
    assert (recorded["object"], recorded["details"]) == ("answer-4711/0", {"note": "The answer was empty"})
    assert "reversed already" in cli("ledger", "reverse", "answer-4711", "--note", "x").err
