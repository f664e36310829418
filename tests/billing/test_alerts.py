"""Alerts: each share of a limit that is used up makes one message for each webhook, whoever asks and however often."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from llmos.billing.alerts.messages import AlertMessages
from llmos.billing.budgets import Budgets, BudgetSettings
from llmos.billing.ledger import Ledger
from llmos.billing.opening import open_limits
from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.webhooks.outbox import Outbox
from llmos.core.webhooks.webhooks import NewWebhook, Webhooks
from support.ledger import AT, entry

START = datetime.fromtimestamp(AT, UTC)


@pytest.fixture
def outbox(database: Database, encryption: Encryption) -> Outbox:
    """Every project has a webhook."""
    webhooks = Webhooks(database, encryption)
    for project in ("acme", "other", "owner"):
        webhooks.add(project, NewWebhook(name="ops", url="https://example.com"))
    return Outbox(database, encryption, webhooks)


def messages(outbox: Outbox) -> dict[str, list[dict[str, Any]]]:
    """Return the data of the messages that wait, by the project of the webhook."""
    found: dict[str, list[dict[str, Any]]] = {"acme": [], "other": [], "owner": []}
    for webhook in outbox.webhooks_with_due():
        while (claimed := outbox.claim(webhook)) is not None:
            body = json.loads(claimed.body)
            project = next(each for each in found if claimed.id in {row.id for row in outbox.deliveries(each)})
            found[project].append({"type": body["type"], **body["data"]})
    return found


def test_each_share_is_told_once_to_those_whom_it_concerns(
    database: Database, encryption: Encryption, outbox: Outbox
) -> None:
    held = open_limits(database)
    ledger, budgets = Ledger(database, held), Budgets(database, held.book, clock=lambda: START)
    each_user = BudgetSettings(project="acme", each_user=True, unit="requests", limit="2", per="day", alerts=[50, 100])
    budgets.set("everybody", each_user)
    budgets.set("all", BudgetSettings(unit="requests", limit="3", per="month", is_hard=False, alerts=[100]))
    ledger.add([entry("a")])
    ledger.add([entry("b"), entry("c", user="bob"), entry("a")])
    alerts = AlertMessages(database, encryption, outbox)
    assert (alerts.add(), alerts.add()) == (4, 0)
    told = messages(outbox)
    assert sorted((each["user"], each["percent"]) for each in told["acme"]) == [("ann", 50), ("ann", 100), ("bob", 50)]
    assert told["other"] == []
    (of_all,) = [each for each in told["owner"] if each["name"] == "all"]
    assert (of_all["type"], of_all["is_hard"], of_all["spent"], len(told["owner"])) == (
        "budget.threshold",
        False,
        "3",
        4,
    )
    assert [(each.user, each.percent) for each in budgets.get("everybody", user="ann").alerted] == [
        ("ann", 100),
        ("ann", 50),
    ]
    ledger.add([entry("next day", at=AT + 86_400)])
    assert alerts.add() == 1, "another day, another alert"


def test_a_share_is_told_once_even_if_what_was_used_is_given_back(
    database: Database, encryption: Encryption, outbox: Outbox
) -> None:
    held = open_limits(database)
    ledger = Ledger(database, held, clock=lambda: START)
    budget = BudgetSettings(project="acme", unit="requests", limit="2", per="day", alerts=[50])
    Budgets(database, held.book, clock=lambda: START).set("few", budget)
    ledger.add([entry("a")])
    ledger.reverse("a")
    ledger.add([entry("b")])
    assert AlertMessages(database, encryption, outbox).add() == 1
    assert len(messages(outbox)["acme"]) == 1
