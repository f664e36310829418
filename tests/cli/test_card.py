"""llmos card: shown, compared, measured, written as a page."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmos.core.config import load_settings
from llmos.models import open_registry
from llmos.models.cards import measure as measuring
from llmos.models.cards.cards import Cards
from llmos.models.policies import Policies
from llmos.models.transfer.transfers import Transfers
from support.made_cards import CARD, card
from support.tiny_folders import noisy, write_folder

pytestmark = pytest.mark.process


@pytest.fixture
def registry(home: Path):
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    yield registry
    registry.database.close()


@pytest.fixture
def versions(registry, tmp_path):
    """A tiny model, and one that was made from it."""
    parent = Transfers(registry).import_path(write_folder(tmp_path / "whole"), "tiny")
    folder = write_folder(tmp_path / "made", change=noisy(0.05))
    files = {path.name: path for path in folder.iterdir()}
    return parent, registry.derived.add(
        "tiny-gptq4", files, parent=parent, recipe={"kind": "quantize", "scheme": "gptq"}
    )


@pytest.fixture
def cards(registry, versions):
    cards = Cards(registry.database)
    parent, child = versions
    cards.put(child, card(version=child.ref, digest=child.digest, parent_digest=parent.digest))
    return cards


@pytest.mark.process
def test_without_a_card_the_command_that_makes_one_is_named(cli: Any, versions) -> None:
    outcome = cli("card", "tiny")
    assert outcome.status == 2
    assert outcome.err == "Error: tiny@1 has no card yet. Measure it: llmos card tiny@1 --measure\n"


def test_a_model_that_is_not_here_is_named_with_the_nearest(cli: Any, versions) -> None:
    outcome = cli("card", "tinny")
    assert outcome.status != 0
    assert "Did you mean" in outcome.err


def test_a_card_is_shown_with_what_the_limits_say(cli: Any, registry, cards) -> None:
    Policies(registry.database).set("max_perplexity_increase", "5%")
    outcome = cli("card", "tiny-gptq4")
    assert outcome.status == 0
    assert "+7.50 % ± 0.40" in outcome.out
    assert "1.25 times" in outcome.out
    assert "FAIL  tiny-gptq4@1 has 7.50 % more perplexity than tiny@1" in outcome.out


def test_json_has_everything(cli: Any, registry, cards) -> None:
    Policies(registry.database).set("min_decode_ratio", "1")
    found = json.loads(cli("card", "tiny-gptq4", "--json").out)
    assert found["comparison"]["greedy_agreement"] == CARD.comparison.greedy_agreement
    assert [(limit["name"], limit["passes"]) for limit in found["limits"]] == [("min_decode_ratio", True)]


@pytest.mark.process
def test_measuring_two_versions_and_comparing_them(cli: Any, versions, monkeypatch, tmp_path) -> None:
    short = measuring.Extent(num_windows=1, repeats=1, layer_texts=1, layer_tokens=16, streams=2)
    measure = measuring.measure
    monkeypatch.setattr(measuring, "measure", lambda *each: measure(*each, extent=short))
    outcome = cli("card", "tiny", "tiny-gptq4", "--measure", "--json")
    assert outcome.status == 0, outcome.err
    found = json.loads(outcome.out)
    assert [each["version"] for each in found["cards"]] == ["tiny@1", "tiny-gptq4@1"]
    assert found["cards"][0]["not_measured"]["comparison"] == "tiny@1 wasn't made from another version."
    assert found["differences"]["perplexity"] == pytest.approx(
        found["cards"][1]["comparison"]["perplexity_increase"], abs=1e-6
    )

    both = cli("card", "tiny", "tiny-gptq4")
    assert "difference" in both.out
    assert "Not measured: comparison, layers. tiny@1 wasn't made from another version." in both.out

    page = tmp_path / "card.html"
    assert cli("card", "tiny", "tiny-gptq4", "--html", str(page)).status == 0
    assert "<h1>tiny@1 and tiny-gptq4@1</h1>" in page.read_text()


def test_a_page_that_cannot_be_written_is_one_line(cli: Any, cards, tmp_path) -> None:
    outcome = cli("card", "tiny-gptq4", "--html", str(tmp_path / "nowhere" / "card.html"))
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert "nowhere" in outcome.err
