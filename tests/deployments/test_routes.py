"""Routes: the names that callers ask for."""

from datetime import UTC, datetime

import pytest

from llmos.core.errors import BadRequest, ModelNotFound, NotFound
from llmos.deployments.routes import Routes

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def routes(registry):
    return Routes(registry, clock=lambda: NOON)


def test_dialogue_answers_with_the_default_model_as_soon_as_it_is_here(routes, add):
    with pytest.raises(ModelNotFound, match=r"The route dialogue points at smollm2\..*llmos pull smollm2"):
        routes.resolve("dialogue")
    add("smollm2")
    assert routes.resolve("dialogue").ref == "smollm2@1"


def test_an_unset_route_says_which_command_sets_it(routes, add):
    with pytest.raises(ModelNotFound, match=r"There is no model 'gpt-3'.*llmos route set gpt-3 MODEL$"):
        routes.resolve("gpt-3")
    add("smollm2")
    with pytest.raises(ModelNotFound, match=r"There is no model 'gpt-3'.*llmos route set gpt-3 smollm2$"):
        routes.resolve("gpt-3")
    with pytest.raises(NotFound, match=r"no route 'gpt-3'.*llmos route set gpt-3 smollm2$"):
        routes.get("gpt-3")


def test_a_set_route_answers_with_its_model(routes, add):
    add("smollm2")
    route = routes.set("gpt-3", "smollm2")
    assert (route.name, route.target, route.updated_at) == ("gpt-3", "smollm2", NOON)
    assert routes.resolve("gpt-3").ref == "smollm2@1"
    assert routes.get("gpt-3") == route
    assert [each.name for each in routes.list()] == ["dialogue", "gpt-3"]


def test_a_route_can_be_moved(routes, add):
    add("smollm2")
    add("other")
    routes.set("dialogue", "other")
    assert routes.resolve("dialogue").ref == "other@1"


def test_a_route_to_a_name_follows_the_newest_version_and_one_to_a_number_does_not(routes, add):
    add("smollm2")
    routes.set("moving", "smollm2")
    routes.set("pinned", "smollm2@1")
    add("smollm2", 2)
    assert routes.resolve("moving").ref == "smollm2@2"
    assert routes.resolve("pinned").ref == "smollm2@1"


def test_a_model_answers_to_its_own_references(routes, add):
    add("smollm2")
    assert routes.resolve("smollm2").ref == "smollm2@1"
    assert routes.resolve("smollm2@1").ref == "smollm2@1"


def test_a_route_goes_before_a_model_of_the_same_name(routes, add):
    add("smollm2")
    add("smollm2", 2)
    routes.set("smollm2", "smollm2@1")
    assert routes.resolve("smollm2").ref == "smollm2@1"


def test_a_route_never_points_at_a_route(routes, add):
    add("smollm2")
    with pytest.raises(BadRequest, match=r"dialogue is a route itself.*llmos route set gpt-3 smollm2"):
        routes.set("gpt-3", "dialogue")


def test_a_route_never_points_at_nothing(routes):
    with pytest.raises(ModelNotFound, match="llmos pull smollm2"):
        routes.set("gpt-3", "smollm2")
    with pytest.raises(BadRequest, match="refers to no model"):
        routes.set("gpt-3", "a/b")


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a@1", "-x", "x" * 65])
def test_a_route_has_a_plain_name(routes, add, name):
    add("smollm2")
    with pytest.raises(BadRequest, match="no name for a route"):
        routes.set(name, "smollm2")


@pytest.mark.parametrize("name", ["", "acme/gpt-4", "a b", "x" * 10_000, "a:b:c"])
def test_a_name_that_could_be_no_model_is_unknown_to_a_caller(routes, name):
    with pytest.raises(ModelNotFound) as caught:
        routes.resolve(name)
    assert len(caught.value.message) < 300


def test_a_near_miss_names_the_route(routes, add):
    with pytest.raises(ModelNotFound, match="There is a route dialogue"):
        routes.resolve("dialog")


def test_a_removed_route_is_gone(routes):
    routes.remove("dialogue")
    assert list(routes.list()) == []
    with pytest.raises(NotFound, match=r"no route 'dialogue'.*Set it with: llmos route set dialogue MODEL$"):
        routes.get("dialogue")


def test_removing_or_asking_for_what_is_not_there_names_the_nearest(routes):
    for ask in (routes.remove, routes.get):
        with pytest.raises(NotFound, match=r"Did you mean dialogue\?"):
            ask("dialog")


def test_routes_whose_model_is_not_here_are_told(routes, add):
    assert [route.name for route in routes.dangling()] == ["dialogue"]
    add("smollm2")
    assert list(routes.dangling()) == []


def test_a_model_of_the_catalog_is_to_be_pulled_and_not_routed(routes):
    with pytest.raises(ModelNotFound, match=r"llmos pull minilm$"):
        routes.resolve("minilm")
