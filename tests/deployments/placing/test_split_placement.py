"""Placements of split models as text."""

import pytest

from llmos.core.errors import BadRequest
from llmos.deployments.desired.deployment import DeploymentSettings
from llmos.deployments.placing.split_placement import (
    SplitPart,
    SplitPlacement,
    is_split,
    parse_split,
    runs_on,
    split_placement,
)

PARTS = (SplitPart("ada", 0, 9), SplitPart("bob-2", 10, 10), SplitPart("cy", 11, 19))
TEXT = "ada:0-9,bob-2:10-10,cy:11-19"


@pytest.mark.parametrize(
    ("text", "placement"),
    [
        ("split", SplitPlacement(())),
        ("split!", SplitPlacement((), is_wanted_anyway=True)),
        (TEXT, SplitPlacement(PARTS)),
        (f"{TEXT}!", SplitPlacement(PARTS, is_wanted_anyway=True)),
    ],
)
def test_a_placement_reads_as_it_is_written(text, placement):
    assert is_split(text)
    assert parse_split(text) == placement
    assert str(placement) == text


@pytest.mark.parametrize(
    "text", ["nodes", "ada", "zone=north", "", "!", "a:0-9,", ",", "a:0-9,b", "a:-1-2", "A:0-9,b:10-19"]
)
def test_other_placements_are_no_splits(text):
    assert not is_split(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:0-9,b:11-19", "The stage b:11-19 doesn't begin with layer 10"),
        ("a:0-9,b:9-19", "The stage b:9-19 doesn't begin with layer 10"),
        ("a:1-9,b:10-19", "The stage a:1-9 doesn't begin with layer 0"),
        ("a:0-9,b:10-9", "The stage b:10-9 has no layers"),
        ("a:0-9,a:10-19", "The node a has two stages"),
        ("a:0-9", "One stage is the whole model. Deploy it with: --on a"),
    ],
)
def test_stages_that_no_model_has_are_refused_before_anything_is_deployed(text, message):
    with pytest.raises(BadRequest, match=message):
        split_placement(text, is_wanted_anyway=False)
    with pytest.raises(BadRequest, match=message):
        DeploymentSettings(placement=text).checked()


@pytest.mark.parametrize("text", ["split", "ada", "ada=0-9", "a:0-9;b:10-19", "auto!"])
def test_the_option_says_how_it_is_written(text):
    with pytest.raises(BadRequest, match="Write auto, or the layers of each node: --split ada:0-9,bob:10-19"):
        split_placement(text, is_wanted_anyway=False)


def test_the_option_becomes_a_placement():
    assert split_placement("auto", is_wanted_anyway=False) == "split"
    assert split_placement("auto", is_wanted_anyway=True) == "split!"
    assert split_placement(TEXT, is_wanted_anyway=True) == f"{TEXT}!"
    assert DeploymentSettings(placement="split!").checked().placement == "split!"


def test_a_split_replica_runs_on_each_of_its_nodes():
    assert [runs_on(TEXT, node) for node in ("ada", "bob-2", "cy", "bob")] == [True, True, True, False]
    assert [runs_on("ada", node) for node in ("ada", "bob")] == [True, False]
    assert not runs_on(None, "ada")
