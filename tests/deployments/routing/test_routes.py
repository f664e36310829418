"""Routes: the names that callers ask for."""

from datetime import UTC, datetime
from functools import partial

import pytest

from llmos.core.errors import BadRequest, ModelNotFound, NotFound
from llmos.deployments.routing.route import Shadow
from llmos.deployments.routing.routes import Routes

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def routes(registry):
    return Routes(registry, clock=lambda: NOON)


def test_dialogue_answers_with_the_default_model_as_soon_as_it_is_here(routes, add):
    with pytest.raises(ModelNotFound, match=r"The route dialogue points at smollm2\..*llmos pull smollm2"):
        routes.resolve_local("dialogue")
    add("smollm2")
    assert routes.resolve_local("dialogue").ref == "smollm2@1"


def test_an_unset_route_says_which_command_sets_it(routes, add):
    with pytest.raises(ModelNotFound, match=r"There is no model 'gpt-3'.*llmos route set gpt-3 MODEL$"):
        routes.resolve_local("gpt-3")
    add("smollm2")
    with pytest.raises(ModelNotFound, match=r"There is no model 'gpt-3'.*llmos route set gpt-3 smollm2$"):
        routes.resolve_local("gpt-3")
    with pytest.raises(NotFound, match=r"no route 'gpt-3'.*llmos route set gpt-3 smollm2$"):
        routes.get("gpt-3")


def test_a_set_route_answers_with_its_model(routes, add):
    add("smollm2")
    route = routes.set("gpt-3", "smollm2", actor="ada")
    assert (route.name, route.target, route.updated_at) == ("gpt-3", "smollm2", NOON)
    assert routes.resolve_local("gpt-3").ref == "smollm2@1"
    assert routes.get("gpt-3") == route
    assert [each.name for each in routes.list()] == ["dialogue", "gpt-3"]


def test_a_route_can_be_moved(routes, add):
    add("smollm2")
    add("other")
    routes.set("dialogue", "other", actor="ada")
    assert routes.resolve_local("dialogue").ref == "other@1"


def test_a_route_to_a_name_follows_the_newest_version_and_one_to_a_number_does_not(routes, add):
    add("smollm2")
    routes.set("moving", "smollm2", actor="ada")
    routes.set("pinned", "smollm2@1", actor="ada")
    add("smollm2", 2)
    assert routes.resolve_local("moving").ref == "smollm2@2"
    assert routes.resolve_local("pinned").ref == "smollm2@1"


def test_a_model_answers_to_its_own_references(routes, add):
    add("smollm2")
    assert routes.resolve_local("smollm2").ref == "smollm2@1"
    assert routes.resolve_local("smollm2@1").ref == "smollm2@1"


def test_a_route_goes_before_a_model_of_the_same_name(routes, add):
    add("smollm2")
    add("smollm2", 2)
    routes.set("smollm2", "smollm2@1", actor="ada")
    assert routes.resolve_local("smollm2").ref == "smollm2@1"


def test_a_route_never_points_at_a_route(routes, add):
    add("smollm2")
    with pytest.raises(BadRequest, match=r"dialogue is a route itself.*llmos route set gpt-3 smollm2"):
        routes.set("gpt-3", "dialogue", actor="ada")


def test_a_route_never_points_at_nothing(routes):
    with pytest.raises(ModelNotFound, match="llmos pull smollm2"):
        routes.set("gpt-3", "smollm2", actor="ada")
    with pytest.raises(BadRequest, match="is not a reference to a model"):
        routes.set("gpt-3", "a/b", actor="ada")


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a@1", "-x", "x" * 65])
def test_a_route_has_a_plain_name(routes, add, name):
    add("smollm2")
    with pytest.raises(BadRequest, match="not a valid name for a route"):
        routes.set(name, "smollm2", actor="ada")


@pytest.mark.parametrize("name", ["", "acme/gpt-4", "a b", "x" * 10_000, "a:b:c"])
def test_a_name_that_could_be_no_model_is_unknown_to_a_caller(routes, name):
    with pytest.raises(ModelNotFound) as caught:
        routes.resolve_local(name)
    assert len(caught.value.message) < 300


def test_a_near_miss_names_the_route(routes, add):
    with pytest.raises(ModelNotFound, match="There is a route dialogue"):
        routes.resolve_local("dialog")


def test_a_removed_route_is_gone(routes):
    routes.remove("dialogue", actor="ada")
    assert list(routes.list()) == []
    with pytest.raises(NotFound, match=r"no route 'dialogue'.*Set it with: llmos route set dialogue MODEL$"):
        routes.get("dialogue")


def test_removing_or_asking_for_what_is_not_there_names_the_nearest(routes):
    for ask in (partial(routes.remove, actor="ada"), routes.get):
        with pytest.raises(NotFound, match=r"Did you mean dialogue\?"):
            ask("dialog")


def test_routes_whose_model_is_not_here_are_told(routes, add):
    assert [route.name for route in routes.dangling()] == ["dialogue"]
    add("smollm2")
    assert list(routes.dangling()) == []


def test_a_model_of_the_catalog_is_to_be_pulled_and_not_routed(routes):
    with pytest.raises(ModelNotFound, match=r"llmos pull minilm$"):
        routes.resolve_local("minilm")


def test_a_route_shares_its_calls_out_among_several_targets(routes, add):
    add("smollm2")
    add("other")
    route = routes.set(
        "chat",
        {"smollm2@1": 95, "other@1": 5},
        fallbacks=["other"],
        shadow=Shadow("other", 10),
        sticky="caller",
        timeout_seconds=30,
        actor="ada",
    )
    assert routes.get("chat") == route
    assert (route.target, route.percent_of) == ("smollm2@1", {"smollm2@1": 95, "other@1": 5})
    assert (route.fallbacks, route.shadow, route.timeout_seconds) == (("other",), Shadow("other", 10), 30)
    assert route.targets == ("smollm2@1", "other@1", "other")
    assert routes.resolve_local("chat").ref == "smollm2@1"


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"smollm2": 90, "other": 5}, r"They are 90 \+ 5, which is 95: 5 is missing"),
        ({"smollm2": 90, "other": 15}, r"They are 90 \+ 15, which is 105: 5 is too much"),
        ({"smollm2": 50}, r"They are 50: 50 is missing"),
        ({}, r"They are nothing: 100 is missing"),
        ({"smollm2": 110, "other": -10}, r"smollm2 has the weight 110 %"),
        ({"smollm2": 99.999, "other": 0.001}, r"two decimals"),
        ({"smollm2": float("nan")}, r"two decimals"),
    ],
)
def test_weights_that_do_not_come_to_a_hundred_say_what_they_come_to(routes, add, shares, said):
    add("smollm2")
    add("other")
    with pytest.raises(BadRequest, match=said):
        routes.set("chat", shares, actor="ada")
    with pytest.raises(NotFound, match="no route 'chat'"):
        routes.get("chat")


def test_thirds_come_to_a_hundred(routes, add):
    for name in ("a", "b", "c"):
        add(name)
    routes.set("chat", {"a": 33.33, "b": 33.33, "c": 33.34}, actor="ada")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fallbacks": ["smollm2"]}, "can't fall back onto itself"),
        ({"fallbacks": ["other", "other"]}, "named twice"),
        ({"fallbacks": ["nobody"]}, "no model 'nobody'|There is no model"),
        ({"fallbacks": ["remote:openai/gpt-4o"]}, "no provider 'openai'.*llmos provider add"),
        ({"fallbacks": ["remote:openai"]}, "write remote:PROVIDER/MODEL"),
        ({"shadow": Shadow("smollm2")}, "can't be its own shadow"),
        ({"shadow": Shadow("other", 0)}, "more than 0"),
        ({"sticky": "always"}, "user, caller, none"),
        ({"timeout_seconds": 0}, "more than 0"),
        ({"fallbacks": ["dialogue"]}, "dialogue is a route itself"),
    ],
)
def test_a_route_that_can_not_be_meant_is_refused_and_changes_nothing(routes, add, settings, said):
    add("smollm2")
    add("other")
    before = routes.set("chat", "smollm2", actor="ada")
    with pytest.raises((BadRequest, NotFound), match=said):
        routes.set("chat", "smollm2", **settings, actor="ada")
    assert routes.get("chat") == before
    assert len(routes.history("chat")) == 1


def test_weights_move_in_one_step_and_the_rest_of_the_route_stays(routes, add):
    add("smollm2")
    add("smollm2", 2)
    routes.set("chat", "smollm2@1", fallbacks=["smollm2"], timeout_seconds=9, actor="ada")
    route = routes.set_weights("chat", {"smollm2@1": 95, "smollm2@2": 5}, "the canary begins", actor="rollouts")
    assert routes.get("chat") == route
    assert (route.percent_of, route.fallbacks, route.timeout_seconds) == (
        {"smollm2@1": 95, "smollm2@2": 5},
        ("smollm2",),
        9,
    )
    done = routes.set_weights("chat", {"smollm2@1": 0, "smollm2@2": 100}, "it held", actor="ada")
    assert done.percent_of == {"smollm2@2": 100}
    with pytest.raises(BadRequest, match="which is 60"):
        routes.set_weights("chat", {"smollm2@1": 50, "smollm2@2": 10}, "a slip", actor="ada")
    with pytest.raises(NotFound, match="no route 'nobody'"):
        routes.set_weights("nobody", {"smollm2@1": 100}, "", actor="ada")
    assert routes.get("chat") == done


def test_every_move_of_a_route_is_in_its_history_and_outlives_it(routes, add):
    add("smollm2")
    add("smollm2", 2)
    routes.set("chat", "smollm2@1", reason="to begin with", actor="ada")
    routes.set("chat", "smollm2@1", reason="nothing changes", actor="ada")
    routes.set_weights("chat", {"smollm2@2": 100}, "better", actor="rollouts")
    routes.remove("chat", actor="ada")
    removed, moved, made = routes.history("chat")
    assert (made.moved_by, made.reason, made.moved_at, made.before) == ("ada", "to begin with", NOON, None)
    assert made.after["targets"] == {"smollm2@1": 100}
    assert (moved.moved_by, moved.reason) == ("rollouts", "better")
    assert (moved.before["targets"], moved.after["targets"]) == ({"smollm2@1": 100}, {"smollm2@2": 100})
    assert (removed.before["targets"], removed.after) == ({"smollm2@2": 100}, None)
    assert list(routes.history("dialogue")) == []
    with pytest.raises(NotFound, match="no route 'never'"):
        routes.history("never")


def test_vectors_of_two_models_are_never_mixed(routes, add):
    add("minilm", family="bert")
    add("other", family="bert")
    routes.set("embeddings", "minilm", actor="ada")
    with pytest.raises(BadRequest, match=r"minilm@1 turns texts into vectors.*can't be compared"):
        routes.set("embeddings", {"minilm": 50, "other": 50}, actor="ada")
    with pytest.raises(BadRequest, match="can't be compared"):
        routes.set("embeddings", "minilm", fallbacks=["other"], actor="ada")


def test_a_target_that_was_removed_says_so_and_the_others_still_lead(routes, add, registry):
    add("smollm2")
    add("other")
    routes.set("chat", {"smollm2@1": 60, "other@1": 40}, actor="ada")
    registry.remove("smollm2@1")
    resolution = routes.resolve("chat")
    assert "The route chat points at smollm2@1." in resolution.targets["smollm2@1"].message
    assert resolution.targets["other@1"].ref == "other@1"
    assert [route.name for route in routes.dangling()] == ["chat", "dialogue"]
    assert list(routes.leading_to("other@1")) == ["chat"]
