"""llmos handoff and llmos webhook, on this machine's database."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmos.cli.control.local import LocalControl
from llmos.core.config import load_settings
from llmos.data.apps.sessions import AppSessions
from support.cli_handoffs import hand_over
from support.receiver import receiving

Cli = Callable[..., Any]


def test_a_person_answers_what_an_application_handed_over(cli: Cli, home: Path) -> None:
    assert "Nothing waits for a person." in cli("handoff", "list").err
    with LocalControl(load_settings()) as control:
        sessions = AppSessions(control.registry.database, control.keys_of_data)
        session = sessions.open("owner", "support", "u42").id
        one, other = hand_over(control, "run-1", "run-2", session_id=session)
        listed = cli("handoff", "list").out
        assert one.id in listed
        assert "Do you repair it?" in listed
        shown = cli("handoff", "show", one.id).out
        assert "user: Where is AB123456?" in shown
        assert shown.strip().endswith("user: Do you repair it?")
        assert cli("handoff", "take", one.id).status == 0
        answered = cli("handoff", "answer", one.id, stdin="Yes, within two weeks.\n")
        assert "The conversation has the answer." in answered.out
        assert sessions.turns("owner", session)[0].messages[1]["content"] == "Yes, within two weeks."
        assert cli("handoff", "close", other.id, "--reason", "By telephone").status == 0
        assert "Nothing waits" in cli("handoff", "list").err
        ended = json.loads(cli("handoff", "list", "--all", "--json").out)
    assert [each["state"] for each in ended] == ["closed", "answered"]


def test_a_webhook_is_added_tested_and_removed(cli: Cli, home: Path) -> None:
    with receiving() as receiver:
        added = cli("webhook", "add", "crm", receiver.url, "--allow-private", "--event", "handoff.created")
        assert added.out.startswith("whsec_")
        assert "shown this once" in added.err
        listed = cli("webhook", "list")
        assert receiver.url in listed.out
        assert added.out.strip() not in listed.out
        assert "answered with the status 200" in cli("webhook", "test", "crm").out
    failed = cli("webhook", "test", "crm")
    assert (failed.status, failed.out) == (1, "")
    assert "can't be reached" in failed.err
    deliveries = json.loads(cli("webhook", "deliveries", "crm", "--json").out)
    assert [each["state"] for each in deliveries] == ["failed", "delivered"]
    assert "webhook.test" in cli("webhook", "deliveries").out
    assert cli("webhook", "rotate", "crm").out.startswith("whsec_")
    assert cli("webhook", "rm", "crm").out.strip() == "Removed the webhook crm."
    assert "llmos webhook add" in cli("webhook", "list").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("webhook", "add", "crm", "http://example.com"), "unencrypted"),
        (("webhook", "add", "crm", "https://example.com", "--event", "handoff.creatd"), "handoff.created"),
        (("webhook", "test", "crm"), "There is no webhook 'crm'"),
        (("webhook", "deliveries", "--state", "lost"), "pending, delivered or failed"),
        (("handoff", "show", "handoff-1"), "There is no handoff 'handoff-1'"),
        (("handoff", "list", "--state", "lost"), "open, taken, answered or closed"),
    ],
)
def test_what_can_not_be_is_one_line_and_status_2(cli: Cli, home: Path, arguments: tuple[str, ...], said: str) -> None:
    outcome = cli(*arguments)
    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_folder_is_made_from_a_template(cli: Cli, home: Path, tmp_path: Path) -> None:
    listed = cli("app", "init")
    assert "support" in listed.out
    assert "medical" in listed.out
    folder = tmp_path / "my-shop"
    made = cli("app", "init", "support", str(folder), "--overlay", "medical", "--overlay", "finance")
    assert made.status == 0
    assert f"llmos app deploy {folder}" in made.out
    assert (folder / "guardrails.yaml").exists()
    again = cli("app", "init", "support", str(folder))
    assert (again.status, again.err.count("\n")) == (2, 1)
    assert "isn't empty" in again.err
    assert "Did you mean support" in cli("app", "init", "suport", str(tmp_path / "x")).err
