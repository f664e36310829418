"""Routes: what names resolve to, and how routes are set, changed and removed."""

from datetime import UTC, datetime
from functools import partial

import pytest

from llmos.core.errors import BadRequest, Conflict, ModelNotFound, NotFound
from llmos.deployments.descriptions import describe_route
from llmos.deployments.routing.route import RouteSettings, Shadow
from llmos.deployments.routing.routes import Routes

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def routes(registry):
    return Routes(registry, clock=lambda: NOON)


def test_the_default_route_resolves_once_the_default_model_is_on_this_machine(routes, add):
    with pytest.raises(ModelNotFound, match=r"The route dialogue points at smollm2\..*llmos pull smollm2"):
        routes.resolve_local("dialogue")
    add("smollm2")
    assert routes.resolve_local("dialogue").ref == "smollm2@1"


def test_an_unknown_name_says_which_command_sets_a_route(routes, add):
    with pytest.raises(ModelNotFound, match=r"There is no model 'gpt-3'.*llmos route set gpt-3 MODEL$"):
        routes.resolve_local("gpt-3")
    add("smollm2")
    with pytest.raises(ModelNotFound, match=r"There is no model 'gpt-3'.*llmos route set gpt-3 smollm2$"):
        routes.resolve_local("gpt-3")
    with pytest.raises(ModelNotFound, match=r"No application 'support' is deployed here.*llmos apply DIR"):
        routes.resolve("app:support")
    with pytest.raises(NotFound, match=r"no route 'gpt-3'.*llmos route set gpt-3 smollm2$"):
        routes.get("gpt-3")


def test_a_route_resolves_to_its_model(routes, add):
    add("smollm2")
    route = routes.set("gpt-3", "smollm2", actor="ada")
    assert (route.name, route.target, route.updated_at) == ("gpt-3", "smollm2", NOON)
    assert routes.resolve_local("gpt-3").ref == "smollm2@1"
    assert routes.get("gpt-3") == route
    assert [each.name for each in routes.list()] == ["dialogue", "gpt-3"]


def test_a_route_can_be_set_again(routes, add):
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


def test_the_references_of_a_model_resolve_to_it(routes, add):
    add("smollm2")
    assert routes.resolve_local("smollm2").ref == "smollm2@1"
    assert routes.resolve_local("smollm2@1").ref == "smollm2@1"


def test_a_route_hides_a_model_of_the_same_name(routes, add):
    add("smollm2")
    add("smollm2", 2)
    routes.set("smollm2", "smollm2@1", actor="ada")
    assert routes.resolve_local("smollm2").ref == "smollm2@1"


def test_a_route_never_points_at_a_route(routes, add):
    add("smollm2")
    with pytest.raises(BadRequest, match=r"dialogue is itself a route.*llmos route set gpt-3 smollm2"):
        routes.set("gpt-3", "dialogue", actor="ada")


def test_a_route_never_points_at_an_unknown_model(routes):
    with pytest.raises(ModelNotFound, match="llmos pull smollm2"):
        routes.set("gpt-3", "smollm2", actor="ada")
    with pytest.raises(BadRequest, match="is not a reference to a model"):
        routes.set("gpt-3", "a/b", actor="ada")


@pytest.mark.parametrize(
    "name",
    ["", "a@1", "-x", "/a", "a/", "a//b", "a/../b", "a:", "a b", "x" * 65, "a/weights", "a/b/rollout", ":latest"],
)
def test_an_invalid_name_of_a_route_is_refused(routes, add, name):
    add("smollm2")
    with pytest.raises(BadRequest, match="not a valid name for a route"):
        routes.set(name, "smollm2", actor="ada")


@pytest.mark.parametrize("name", ["Qwen/Qwen3-8B", "llama3.1:8b", "deepseek/deepseek-r1:free", "@cf/meta/llama-3"])
def test_a_route_may_have_the_name_that_a_client_always_asks_for(routes, add, name):
    add("smollm2")
    assert routes.set(name, "smollm2", actor="ada").name == name
    assert routes.resolve_local(name).ref == "smollm2@1"
    routes.remove(name, actor="ada")
    with pytest.raises(ModelNotFound):
        routes.resolve_local(name)


def test_latest_is_the_name_without_it(routes, add, registry):
    add("smollm2")
    assert routes.resolve_local("smollm2:latest").ref == "smollm2@1"
    assert routes.set("gpt-4o:latest", "smollm2", actor="ada").name == "gpt-4o"
    assert routes.resolve_local("gpt-4o").ref == routes.resolve_local("gpt-4o:latest").ref == "smollm2@1"
    assert len(routes.history("gpt-4o:latest")) == 1
    add("smollm2", 2)
    registry.aliases.set("smollm2", "latest", "smollm2@1")
    assert routes.resolve_local("smollm2:latest").ref == "smollm2@1", "an alias of this name comes first"


def test_a_route_does_not_hide_an_alias(routes, add, registry):
    add("smollm2")
    registry.aliases.set("smollm2", "prod", "smollm2@1")
    with pytest.raises(Conflict, match=r"smollm2:prod is an alias.*llmos rm smollm2:prod"):
        routes.set("smollm2:prod", "smollm2", actor="ada")


@pytest.mark.parametrize("name", ["", "acme/gpt-4", "a b", "x" * 10_000, "a:b:c"])
def test_a_malformed_name_is_an_unknown_model(routes, name):
    with pytest.raises(ModelNotFound) as caught:
        routes.resolve_local(name)
    assert len(caught.value.message) < 300


def test_a_name_like_that_of_a_route_suggests_the_route(routes, add):
    with pytest.raises(ModelNotFound, match="There is a route dialogue"):
        routes.resolve_local("dialog")


def test_a_removed_route_is_gone(routes):
    routes.remove("dialogue", actor="ada")
    assert list(routes.list()) == []
    with pytest.raises(NotFound, match=r"no route 'dialogue'.*Set it with: llmos route set dialogue MODEL$"):
        routes.get("dialogue")


def test_an_unknown_route_suggests_the_nearest(routes):
    for ask in (partial(routes.remove, actor="ada"), routes.get):
        with pytest.raises(NotFound, match=r"Did you mean dialogue\?"):
            ask("dialog")


def test_the_description_of_a_route_lists_the_targets_that_are_missing(routes, add):
    assert describe_route(routes, routes.get("dialogue")).missing == ["smollm2"]
    add("smollm2")
    assert describe_route(routes, routes.get("dialogue")).missing == []


def test_a_model_of_the_catalog_suggests_to_pull_it(routes):
    with pytest.raises(ModelNotFound, match=r"llmos pull minilm$"):
        routes.resolve_local("minilm")


def test_a_route_can_have_several_targets_and_settings(routes, add):
    add("smollm2")
    add("other")
    route = routes.set(
        "chat",
        {"smollm2@1": 95, "other@1": 5},
        RouteSettings(fallbacks=["other"], shadow=Shadow("other", 10), sticky="caller", timeout_seconds=30),
        actor="ada",
    )
    assert routes.get("chat") == route
    assert (route.target, route.percent_of) == ("smollm2@1", {"smollm2@1": 95, "other@1": 5})
    assert (route.fallbacks, route.shadow, route.timeout_seconds) == (("other",), Shadow("other", 10), 30)
    assert route.targets == ("smollm2@1", "other@1", "other")
    assert routes.resolve_local("chat").ref == "smollm2@1"


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"smollm2": 90, "other": 5}, r"They are 90 \+ 5, which is 95: 5 is missing"),
        ({"smollm2": 90, "other": 15}, r"They are 90 \+ 15, which is 105: 5 is too much"),
        ({"smollm2": 50}, r"They are 50: 50 is missing"),
        ({}, r"They are nothing: 100 is missing"),
        ({"smollm2": 110, "other": -10}, r"The weight of smollm2 is 110 %"),
        ({"smollm2": 99.999, "other": 0.001}, r"two decimals"),
        ({"smollm2": float("nan")}, r"two decimals"),
    ],
)
def test_weights_that_do_not_add_up_to_100_are_refused_with_the_sum(routes, add, shares, message):
    add("smollm2")
    add("other")
    with pytest.raises(BadRequest, match=message):
        routes.set("chat", shares, actor="ada")
    with pytest.raises(NotFound, match="no route 'chat'"):
        routes.get("chat")


def test_thirds_with_two_decimals_add_up_to_100(routes, add):
    for name in ("a", "b", "c"):
        add(name)
    routes.set("chat", {"a": 33.33, "b": 33.33, "c": 33.34}, actor="ada")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fallbacks": ["smollm2"]}, "can't be its own fallback"),
        ({"fallbacks": ["other", "other"]}, "listed twice"),
        ({"fallbacks": ["nobody"]}, "no model 'nobody'|There is no model"),
        ({"fallbacks": ["remote:openai/gpt-4o"]}, "no provider 'openai'.*llmos provider add"),
        ({"fallbacks": ["remote:openai"]}, "write remote:PROVIDER/MODEL"),
        ({"shadow": Shadow("smollm2")}, "can't be its own shadow"),
        ({"shadow": Shadow("other", 0)}, "more than 0"),
        ({"sticky": "always"}, "user, caller, none"),
        ({"timeout_seconds": 0}, "more than 0"),
        ({"fallbacks": ["dialogue"]}, "dialogue is itself a route"),
    ],
)
def test_an_impossible_route_is_refused_and_changes_nothing(routes, add, settings, message):
    add("smollm2")
    add("other")
    before = routes.set("chat", "smollm2", actor="ada")
    with pytest.raises((BadRequest, NotFound), match=message):
        routes.set("chat", "smollm2", RouteSettings(**settings), actor="ada")
    assert routes.get("chat") == before
    assert len(routes.history("chat")) == 1


def test_set_weights_replaces_all_weights_and_keeps_the_rest_of_the_route(routes, add):
    add("smollm2")
    add("smollm2", 2)
    routes.set("chat", "smollm2@1", RouteSettings(fallbacks=["smollm2"], timeout_seconds=9), actor="ada")
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


def test_the_history_keeps_every_move_even_after_the_route_is_removed(routes, add):
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


def test_an_encoder_is_the_only_target_of_its_route(routes, add):
    add("minilm", family="bert")
    add("other", family="bert")
    routes.set("embeddings", "minilm", actor="ada")
    with pytest.raises(BadRequest, match=r"minilm@1 makes vectors.*can't be compared"):
        routes.set("embeddings", {"minilm": 50, "other": 50}, actor="ada")
    with pytest.raises(BadRequest, match="can't be compared"):
        routes.set("embeddings", "minilm", RouteSettings(fallbacks=["other"]), actor="ada")


def test_a_removed_target_says_so_and_the_others_still_resolve(routes, add, registry):
    add("smollm2")
    add("other")
    routes.set("chat", {"smollm2@1": 60, "other@1": 40}, actor="ada")
    registry.remove("smollm2@1")
    targets = routes.resolve("chat").targets
    assert "The route chat points at smollm2@1." in targets["smollm2@1"].message
    assert targets["other@1"].served.ref == "other@1"
    assert describe_route(routes, routes.get("chat")).missing == ["smollm2@1"]
