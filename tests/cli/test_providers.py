"""llmos provider, and routes with several targets."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmos.billing.entries import Purchase
from llmos.billing.ledger import Ledger
from llmos.core.database import Database
from support.ledger import entry

Cli = Callable[..., Any]


KEY = "sk-a-key-that-nobody-sees"
URL = "https://api.openai.com/v1"


def test_a_key_comes_from_standard_input_and_is_never_shown(cli: Cli, home: Path) -> None:
    added = cli("provider", "add", "openai", "--base-url", URL, stdin=f"{KEY}\n")
    assert (added.status, added.out.strip()) == (
        0,
        "Added openai. To test it: llmos provider test openai",
    )
    listed = cli("provider", "list", "--json")
    (provider,) = json.loads(listed.out)
    assert (provider["name"], provider["kind"], provider["base_url"], provider["has_key"]) == (
        "openai",
        "openai",
        URL,
        True,
    )
    assert KEY not in added.out + added.err + listed.out
    assert (home / "keys" / "master").stat().st_mode & 0o777 == 0o600


def test_a_key_comes_from_a_variable(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    arguments = ("provider", "add", "claude", "--kind", "anthropic", "--base-url", "https://api.anthropic.com/v1")
    assert cli(*arguments, "--key-from-env", "THE_KEY").status == 0
    assert cli(*arguments, "--key-from-env", "NO_KEY").err.strip() == "Error: The variable NO_KEY is empty or not set."


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "x", "--base-url", "nowhere", "--no-key"), "isn't a base URL"),
        (("add", "x", "--base-url", URL), "--key-from-env"),
        (("add", "x", "--base-url", URL, "--kind", "bedrock", "--no-key"), "anthropic or open-inference"),
        (("rm", "x"), "There is no provider 'x'"),
        (("test", "x"), "There is no provider 'x'"),
    ],
)
def test_what_can_not_be_is_one_line_and_status_2(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    outcome = cli("provider", *arguments)
    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_provider_that_does_not_answer_says_so(cli: Cli) -> None:
    assert cli("provider", "add", "gone", "--base-url", "http://127.0.0.1:9/v1", "--no-key").status == 0
    outcome = cli("provider", "test", "gone")
    assert outcome.status == 1
    assert "provider gone can't be reached at http://127.0.0.1:9/v1" in outcome.err


def test_a_route_is_set_with_weights_and_moved_and_remembered(cli: Cli) -> None:
    cli("provider", "add", "far", "--base-url", URL, "--no-key")
    outcome = cli(
        "route", "set", "gpt-3", "remote:far/big=95", "remote:far/small=5%", "--fallback", "remote:far/other",
        "--shadow", "remote:far/next=10", "--timeout", "30", "--reason", "to begin with",
    )  # fmt: skip
    assert outcome.out.strip() == "gpt-3 → remote:far/big 95 %, remote:far/small 5 %, else remote:far/other"
    shown = json.loads(cli("route", "show", "gpt-3", "--json").out)
    assert shown["shadow"] == {"target": "remote:far/next", "percent": 10}
    assert (shown["timeout_seconds"], shown["sticky"], shown["evidence"]) == (30, "user", None)
    assert cli("route", "weights", "gpt-3", "remote:far/small", "--reason", "it held").status == 0
    moved, made = json.loads(cli("route", "history", "gpt-3", "--json").out)
    assert (made["reason"], moved["reason"], moved["after"]["targets"]) == (
        "to begin with",
        "it held",
        {"remote:far/small": 100},
    )
    assert moved["after"]["fallbacks"] == ["remote:far/other"]
    assert "it held" in cli("route", "history", "gpt-3").out
    assert "llmos serve" in cli("route", "show", "gpt-3").out
    refused = cli("provider", "rm", "far")
    assert (refused.status, "target of the route gpt-3" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (("remote:far/a=90", "remote:far/b=5"), "They are 90 + 5, which is 95: 5 is missing"),
        (("remote:far/a=90", "remote:far/b"), "remote:far/b has no percent"),
        (("remote:far/a=50", "remote:far/a=50"), "given twice"),
        (("remote:far/a=much",), "is not a percentage"),
        (("remote:nobody/a",), "There is no provider 'nobody'"),
        (("remote:far/a", "--shadow", "remote:far/b=0"), "The percent of the shadow is 0"),
    ],
)
def test_a_route_that_can_not_be_meant_is_one_line(cli: Cli, targets: tuple[str, ...], said: str) -> None:
    cli("provider", "add", "far", "--base-url", URL, "--no-key")
    outcome = cli("route", "set", "gpt-3", *targets)
    assert outcome.status == 2
    assert said in outcome.err


def test_prices_of_a_provider_are_set_and_what_calls_cost_there_is_shown(cli: Cli, home: Path, tmp_path: Path) -> None:
    cli("provider", "add", "far", "--base-url", URL, "--no-key")
    assert "To set them: llmos provider price set far FILE" in cli("provider", "price", "list", "far").err
    assert "No provider was asked" in cli("provider", "costs").err
    assert "There are no such calls" in cli("provider", "calls", "--difference", "any").err
    file = tmp_path / "far.yaml"
    file.write_text('currency: USD\nprices: {gpt: {per_million_tokens: {input: "1", output: "4"}}}\n')
    assert "gpt" in cli("provider", "price", "set", "far", str(file)).out
    database = Database(f"sqlite:///{home / 'llmos.db'}")
    used = Purchase(input_tokens=1000, output_tokens=100, reported_cost_nanos=10**6, differences=("output",))
    at = int(datetime.now(UTC).timestamp()) + 1
    Ledger(database).add([entry("answer-1", at=at, version="remote:far/gpt", purchase=used)])
    database.close()
    shown = cli("provider", "costs", "far")
    assert "0.0014 USD" in shown.out
    assert "1 output, 1 cost" in shown.out
    assert "llmos provider calls --difference any" in shown.err
    assert "output, cost" in cli("provider", "calls", "--difference", "cost").out
    usage = cli("usage")
    assert "-0.0014 USD" in usage.out
    assert "0.0014 USD,-0.0014 USD" in cli("usage", "--csv").out
    wrong = cli("provider", "price", "set", "near", str(file))
    assert (wrong.status, "Did you mean" in wrong.err or "There is far" in wrong.err) == (2, True)
