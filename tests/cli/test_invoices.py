"""Invoices on the command line: what is made, written to files, and what verify finds."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from llmos.billing.ledger import Ledger
from llmos.billing.price_books import PriceBooks
from llmos.cli.control.local import LocalControl
from llmos.core.config import load_settings
from llmos.core.database import Database
from support.doc_pages import DocPage
from support.ledger import entry


@pytest.fixture
def database(cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """That of an installation whose project acme has used something in September 2026, and of which the page's file
    says who sends invoices."""
    monkeypatch.chdir(tmp_path)
    (document,) = DocPage("billing.md").blocks("yaml", "Invoices")
    Path("invoices.yaml").write_text(document)
    assert cli("invoice", "configure", "invoices.yaml").status == 0
    database = LocalControl(load_settings()).registry.database
    prices = {"currency": "EUR", "prices": {"default": {"per_call": "2.5"}}}
    PriceBooks(database, clock=lambda: datetime(2026, 9, 1, tzinfo=UTC)).set(prices)
    Ledger(database).add([entry("a"), entry("b")])
    return database


def make(cli: Callable[..., Any]) -> Any:
    return cli("invoice", "make", "--project", "acme", "--month", "2026-09")


def test_an_invoice_is_made_and_written_as_a_page_and_a_pdf(cli: Callable[..., Any], database: Database) -> None:
    assert "There are no invoices" in cli("invoice", "list").err
    made = make(cli)
    number = made.out.split()[1]
    assert "VAT 20 %" in made.out
    assert "6.00 EUR" in made.out
    assert f"llmos invoice show {number} --output {number}.pdf" in made.err
    assert number in cli("invoice", "list").out
    assert cli("invoice", "show", number, "-o", "i.html").status == 0
    assert cli("invoice", "show", number, "-o", "i.pdf").status == 0
    assert Path("i.pdf").read_bytes().startswith(b"%PDF-")
    assert "1 Example Street" in Path("i.html").read_text()
    assert "neither .html nor .pdf" in cli("invoice", "show", number, "-o", "i.doc").err
    again = make(cli)
    assert (again.status, number in again.err) == (2, True)


def test_verify_says_which_line_differs_and_exits_with_1(cli: Callable[..., Any], database: Database) -> None:
    number = make(cli).out.split()[1]
    right = cli("invoice", "verify", number)
    assert (right.status, "is right" in right.out) == (0, True)
    assert "call_id" in cli("invoice", "entries", number, "--csv").out.splitlines()[0]
    with database.transaction() as session:
        for (name,) in session.execute(text("select name from sqlite_master where type='trigger'")).all():
            session.execute(text(f"drop trigger {name}"))
        session.execute(text("update invoices set document = replace(document, '5.00', '4.00')"))
    wrong = cli("invoice", "verify", number)
    assert (wrong.status, "is NOT what the ledger says" in wrong.out) == (1, True)
    assert "smollm2@1 through dialogue, calls" in wrong.out
