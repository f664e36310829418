"""llmos route set, list, rm."""

import json

import pytest


@pytest.fixture
def with_model(cli, smollm2_path, home):
    file = home / "smollm2.gguf"
    file.symlink_to(smollm2_path)
    assert cli("import", str(file), "--name", "smollm2").status == 0


def test_dialogue_is_there_from_the_start_and_leads_nowhere_yet(cli):
    (route,) = json.loads(cli("route", "list", "--json").out)
    assert (route["name"], route["target"], route["version"]) == ("dialogue", "smollm2", None)


def test_a_route_is_set_listed_and_removed(cli, with_model):
    assert cli("route", "set", "gpt-3", "smollm2").out == "gpt-3 → smollm2\n"
    routes = {route["name"]: route["version"] for route in json.loads(cli("route", "list", "--json").out)}
    assert routes == {"dialogue": "smollm2@1", "gpt-3": "smollm2@1"}
    assert "gpt-3" in cli("route", "list").out
    assert cli("route", "rm", "gpt-3").out == "Removed the route gpt-3.\n"
    assert [route["name"] for route in json.loads(cli("route", "list", "--json").out)] == ["dialogue"]


def test_setting_as_json_is_the_route(cli, with_model):
    route = json.loads(cli("route", "set", "gpt-3", "smollm2@1", "--json").out)
    assert (route["name"], route["target"]) == ("gpt-3", "smollm2@1")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("set", "gpt-3", "smollm2"), "llmos pull smollm2"),
        (("set", "gpt-3", "dialogue"), "dialogue is itself a route"),
        (("set", "a b", "smollm2"), "not a valid name for a route"),
        (("rm", "dialog"), "Did you mean dialogue?"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_says_what_can(cli, arguments, hint):
    outcome = cli("route", *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert hint in outcome.err
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("set",), ("set", "gpt-3"), ("move", "x"), ("rm",)])
def test_wrong_use_is_status_2(cli, arguments):
    assert cli("route", *arguments).status == 2
