"""Rollouts: steps, rollbacks, changes by hand, and kills at every commit."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import BadRequest, Conflict, ModelNotFound, NotFound
from llmos.deployments.desired.checks import DeploymentChecks
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.providers.providers import Providers
from llmos.deployments.rollouts.cases import read_cases
from llmos.deployments.rollouts.gates import Judgement
from llmos.deployments.rollouts.rollout import RolloutPlan, check_steps, shares_at
from llmos.deployments.rollouts.rollouts import Rollouts
from llmos.deployments.routing.route import RouteSettings, Shadow
from llmos.deployments.routing.routes import Routes
from support.encryption import open_test_encryption

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HOLDS = Judgement("holds", "all is well")


@pytest.fixture
def routes(registry, add):
    add("old")
    add("new", 2)
    add("other", 3)
    routes = Routes(registry, clock=lambda: NOON)
    routes.set("chat", "old@1", actor="ada")
    return routes


@pytest.fixture
def deployments(registry):
    return Deployments(registry.database, registry, clock=lambda: NOON)


@pytest.fixture
def rollouts(registry, routes, deployments):
    return Rollouts(registry.database, routes, deployments, clock=lambda: NOON)


def percents(routes, name="chat"):
    return dict(routes.get(name).percent_of)


def test_a_version_takes_a_route_over_step_by_step(rollouts, routes, deployments):
    rollout = rollouts.begin("new@2", "chat", RolloutPlan(steps=[5, 25, 100]), actor="ada")
    assert (rollout.state, rollout.percent, percents(routes)) == ("starting", 0, {"old@1": 100})
    assert deployments.get("new@2").ref == "new@2", "it is deployed beside the current target"
    rollout = rollouts.advance(rollout, HOLDS)
    assert (rollout.state, percents(routes)) == ("running", {"old@1": 95, "new@2": 5})
    rollout = rollouts.advance(rollout, HOLDS)
    assert percents(routes) == {"old@1": 75, "new@2": 25}
    rollout = rollouts.advance(rollout, HOLDS)
    assert percents(routes) == {"new@2": 100}
    rollout = rollouts.advance(rollout, HOLDS)
    assert (rollout.state, rollout.percent, rollout.ended_at) == ("finished", 100, NOON)
    assert rollouts.active() == []
    happened = [(event.kind, event.actor) for event in rollouts.history(rollout.id)]
    assert happened == [("began", "ada"), *[("stepped", "rollouts")] * 3, ("finished", "rollouts")]
    assert ("rollout 1: new@2 gets 25 %", "rollouts") in [(m.reason, m.moved_by) for m in routes.history("chat")]
    assert deployments.history("new@2")[0].actor == "ada"


def test_a_rollback_restores_the_weights_and_says_why(rollouts, routes):
    routes.set("chat", {"old@1": 60.0, "other@3": 40.0}, actor="ada")
    rollout = rollouts.advance(rollouts.begin("new@2", "chat", RolloutPlan(steps=[10, 100]), actor="ada"), HOLDS)
    assert percents(routes) == {"old@1": 54, "other@3": 36, "new@2": 10}
    rollout = rollouts.roll_back(rollout, "error_rate is 0.5, required <= 0.01")
    assert percents(routes) == {"old@1": 60, "other@3": 40}
    assert (rollout.state, rollout.reason) == ("rolled_back", "error_rate is 0.5, required <= 0.01")
    assert rollouts.history(rollout.id)[-1].reason == rollout.reason


def test_a_finished_rollout_can_be_undone_at_once(rollouts, routes):
    rollout = rollouts.begin("new@2", "chat", RolloutPlan(steps=[100]), actor="ada")
    for _ in range(2):
        rollout = rollouts.advance(rollout, HOLDS)
    assert rollout.state == "finished"
    rollouts.roll_back_route("chat", actor="bob")
    assert percents(routes) == {"old@1": 100}
    assert (rollouts.history(rollout.id)[-1].actor, routes.history("chat")[0].moved_by) == ("bob", "bob")
    with pytest.raises(Conflict, match="no rollout to undo"):
        rollouts.roll_back_route("chat", actor="ada")


def test_a_step_is_taken_only_once(rollouts, routes):
    seen = rollouts.begin("new@2", "chat", RolloutPlan(steps=[5, 25, 100]), actor="ada")
    rollouts.advance(seen, HOLDS)
    assert rollouts.advance(seen, HOLDS).step == 0
    assert percents(routes) == {"old@1": 95, "new@2": 5}


BY_HAND = {
    "set": lambda routes: routes.set("chat", "other@3", reason="new@2 is rude", actor="bob"),
    "weights": lambda routes: routes.set_weights("chat", {"other@3": 100}, "new@2 is rude", actor="bob"),
}


@pytest.mark.parametrize("change", BY_HAND.values(), ids=BY_HAND)
@pytest.mark.parametrize("num_steps", [0, 1])
def test_a_person_who_changes_a_route_ends_its_rollout_at_once(rollouts, routes, change, num_steps):
    rollout = rollouts.begin("new@2", "chat", RolloutPlan(steps=[5, 100]), actor="ada")
    for _ in range(num_steps):
        rollout = rollouts.advance(rollout, HOLDS)
    change(routes)
    ended = rollouts.get(rollout.id)
    assert (ended.state, ended.ended_at) == ("superseded", NOON)
    assert ended.reason == "bob set the targets of chat by hand: other@3 100 %: new@2 is rude"
    assert [(event.kind, event.actor) for event in rollouts.history(rollout.id)][-1] == ("superseded", "bob")
    assert rollouts.begin("new@2", "chat", actor="ada").state == "starting", "another can begin"


def test_a_rollout_that_was_superseded_moves_nothing_any_more(rollouts, routes):
    seen = rollouts.advance(rollouts.begin("new@2", "chat", RolloutPlan(steps=[5, 100]), actor="ada"), HOLDS)
    routes.set("chat", "other@3", actor="bob")
    assert rollouts.advance(seen, HOLDS).state == "superseded"
    assert rollouts.roll_back(seen, "error_rate is 1").state == "superseded"
    assert percents(routes) == {"other@3": 100}
    with pytest.raises(Conflict, match="no rollout to undo"):
        rollouts.roll_back_route("chat", actor="ada")


def test_a_change_that_leaves_the_targets_alone_leaves_the_rollout_alone(rollouts, routes):
    rollout = rollouts.advance(rollouts.begin("new@2", "chat", RolloutPlan(steps=[5, 100]), actor="ada"), HOLDS)
    routes.set("chat", {"old@1": 95, "new@2": 5}, RouteSettings(timeout_seconds=9), actor="bob")
    assert rollouts.advance(rollout, HOLDS).state == "running"
    assert percents(routes) == {"new@2": 100}


def test_a_route_that_changed_unseen_supersedes_its_rollout_at_the_next_step(rollouts, routes, registry):
    rollout = rollouts.begin("new@2", "chat", RolloutPlan(steps=[5, 100]), actor="ada")
    with registry.database.transaction() as session:  # as a server of an older version does
        routes.set_weights_in(session, "chat", {"other@3": 100}, reason="", actor="bob")
    assert rollouts.advance(rollout, HOLDS).state == "superseded"
    assert percents(routes) == {"other@3": 100}
    assert "by hand" in rollouts.get(rollout.id).reason


def test_a_removed_route_ends_its_rollout(rollouts, routes):
    rollout = rollouts.begin("new@2", "chat", actor="ada")
    routes.remove("chat", actor="bob")
    ended = rollouts.get(rollout.id)
    assert (ended.state, ended.reason) == ("superseded", "bob removed the route chat")
    assert rollouts.roll_back(rollout, "whatever").state == "superseded"


@pytest.mark.parametrize("kept", [{"shadow": Shadow("new@2", 10)}, {"fallbacks": ["new@2"]}])
def test_a_shadow_or_a_fallback_can_be_promoted_and_is_restored_by_a_rollback(rollouts, routes, kept):
    routes.set("chat", "old@1", RouteSettings(**kept), actor="ada")
    before = routes.get("chat")
    rollout = rollouts.begin("new@2", "chat", RolloutPlan(steps=[50, 100]), actor="ada")
    for _ in range(3):
        rollout = rollouts.advance(rollout, HOLDS)
    assert (rollout.state, percents(routes)) == ("finished", {"new@2": 100})
    rollouts.roll_back_route("chat", actor="ada")
    assert routes.get("chat").snapshot() == before.snapshot()


def test_a_rollout_that_was_undone_while_it_tried_its_cases_stays_undone(rollouts, routes):
    seen = rollouts.begin(
        "new@2",
        "chat",
        RolloutPlan(gate="score >= 0.5", cases=read_cases([{"prompt": "Well?", "equals": "yes"}])),
        actor="ada",
    )
    rollouts.roll_back_route("chat", actor="ada")
    rollout = rollouts.advance(rollouts.record_scores(seen, {"new": 1.0}), HOLDS)
    assert (rollout.state, percents(routes)) == ("rolled_back", {"old@1": 100})


def test_a_first_step_below_the_current_percent_is_refused(rollouts, routes):
    routes.set("chat", {"old@1": 70, "new@2": 30}, actor="ada")
    with pytest.raises(BadRequest, match=r"already has 30 % of chat.*--steps 30%,100%"):
        rollouts.begin("new@2", "chat", RolloutPlan(steps=[5, 25, 100]), actor="ada")
    rollout = rollouts.advance(rollouts.begin("new@2", "chat", RolloutPlan(steps=[30, 100]), actor="ada"), HOLDS)
    assert percents(routes) == {"old@1": 70, "new@2": 30}
    assert rollout.state == "running"


def test_a_route_with_the_most_targets_possible_begins_no_rollout(rollouts, routes, registry, tmp_path):
    Providers(registry.database, open_test_encryption(registry.database, tmp_path)).add(
        "far", kind="openai", base_url="http://127.0.0.1:1/v1", key=None
    )
    routes.set("chat", "old@1", RouteSettings(fallbacks=[f"remote:far/{i}" for i in range(31)]), actor="ada")
    with pytest.raises(BadRequest, match="at most 32 targets"):
        rollouts.begin("new@2", "chat", actor="ada")
    assert rollouts.list() == []


def test_a_rollback_to_a_removed_version_is_refused(rollouts, routes, registry):
    rollout = rollouts.advance(rollouts.begin("new@2", "chat", RolloutPlan(steps=[5, 100]), actor="ada"), HOLDS)
    registry.remove("old@1")
    with pytest.raises(
        Conflict, match=r"old@1, which had most of the calls of chat before, was removed.*llmos route set chat"
    ):
        rollouts.roll_back_route("chat", actor="ada")
    rollout = rollouts.roll_back(rollout, "error_rate is 1")
    assert (rollout.state, percents(routes)) == ("stopped", {"old@1": 95, "new@2": 5})
    assert "nothing to roll back to" in rollout.reason


def test_a_step_that_waits_says_for_what(rollouts):
    seen = rollouts.advance(rollouts.begin("new@2", "chat", actor="ada"), HOLDS)
    rollouts.hold(seen, "waits: 3 of 20 calls")
    assert rollouts.get(seen.id).reason == "waits: 3 of 20 calls"
    ended = rollouts.roll_back(seen, "because")
    rollouts.hold(seen, "waits: 4 of 20 calls")
    assert rollouts.get(seen.id).reason == ended.reason


def test_a_relative_score_is_refused_when_a_provider_answered_before(rollouts, routes, registry, tmp_path):
    Providers(registry.database, open_test_encryption(registry.database, tmp_path)).add(
        "far", kind="openai", base_url="http://127.0.0.1:1/v1", key=None
    )
    routes.set("chat", "remote:far/big", actor="ada")
    cases = [{"prompt": "Well?", "equals": "yes"}]
    with pytest.raises(BadRequest, match=r"remote:far/big runs at a provider"):
        rollouts.begin("new@2", "chat", RolloutPlan(gate="score >= 1x", cases=read_cases(cases)), actor="ada")
    assert (
        rollouts.begin("new@2", "chat", RolloutPlan(gate="score >= 0.8", cases=read_cases(cases)), actor="ada").state
        == "starting"
    )


def test_a_finished_rollout_that_was_changed_by_hand_is_not_undone(rollouts, routes):
    rollout = rollouts.begin("new@2", "chat", RolloutPlan(steps=[100]), actor="ada")
    for _ in range(2):
        rollout = rollouts.advance(rollout, HOLDS)
    routes.set("chat", "other@3", actor="ada")
    with pytest.raises(Conflict, match="changed after the rollout"):
        rollouts.roll_back_route("chat", actor="ada")
    assert percents(routes) == {"other@3": 100}


def test_a_route_has_one_rollout_at_a_time(rollouts):
    rollouts.begin("new@2", "chat", actor="ada")
    with pytest.raises(Conflict, match=r"new@2 is already taking over chat.*llmos rollback chat"):
        rollouts.begin("other@3", "chat", actor="ada")


def test_a_deployment_that_is_refused_begins_no_rollout(registry, routes):
    deployments = Deployments(
        registry.database, registry, checks=DeploymentChecks(card=lambda version: ["Perplexity is 30 % higher."])
    )
    rollouts = Rollouts(registry.database, routes, deployments)
    with pytest.raises(Conflict, match="Perplexity is 30 % higher"):
        rollouts.begin("new@2", "chat", actor="ada")
    assert rollouts.list() == []
    assert rollouts.begin("new@2", "chat", force=True, actor="ada").state == "starting"
    assert deployments.get("new@2").forced


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"ref": "none@1"}, ModelNotFound, "no model 'none'"),
        ({"ref": "new@9"}, ModelNotFound, "no such version"),
        ({"ref": "old@1"}, Conflict, "old@1 already answers all calls to chat"),
        ({"route": "nothing"}, NotFound, "no route 'nothing'"),
        ({"steps": []}, BadRequest, "a rollout has 1 to 20"),
        ({"steps": [50]}, BadRequest, "the last must be 100%"),
        ({"steps": [50, 25, 100]}, BadRequest, "they must rise"),
        ({"steps": [0, 100]}, BadRequest, "each over 0 %"),
        ({"steps": [5, 250]}, BadRequest, "up to 100 %"),
        ({"steps": [0.001, 100]}, BadRequest, "two decimals"),
        ({"gate": "speed > 1"}, BadRequest, "no metric speed"),
        ({"gate": "score > 0.5"}, BadRequest, "--cases FILE"),
        ({"min_calls": 0}, BadRequest, "min_calls is 0"),
        ({"max_hold_seconds": 0}, BadRequest, "max_hold_seconds is 0"),
        ({"cases": [{"prompt": "x"}]}, BadRequest, "Case 1 needs exactly one of `contains`"),
        ({"cases": [{"prompt": "x", "matches": "("}]}, BadRequest, "not a regular expression"),
        ({"cases": [{"prompt": "x", "contains": "y", "extra": 1}]}, BadRequest, "unknown field `extra`"),
        ({"cases": [{"messages": [], "contains": "y"}]}, BadRequest, "length >= 1"),
        (
            {"cases": [{"messages": [{"role": "user"}], "contains": "y"}]},
            BadRequest,
            "missing required field `content`",
        ),
        ({"cases": [{"messages": [{"role": "boss", "content": "x"}], "contains": "y"}]}, BadRequest, "'boss'"),
        ({"cases": [{"prompt": "\ud800", "contains": "y"}]}, BadRequest, "half of a surrogate pair"),
    ],
)
def test_an_impossible_plan_begins_no_rollout(rollouts, routes, change, error, message):
    asked = {"ref": "new@2", "route": "chat"} | change
    ref, route, cases = asked.pop("ref"), asked.pop("route"), asked.pop("cases", [])
    with pytest.raises(error, match=message):
        rollouts.begin(ref, route, RolloutPlan(**asked, cases=read_cases(cases)), actor="ada")
    assert rollouts.list() == []
    assert percents(routes) == {"old@1": 100}


def test_a_target_that_follows_the_newest_version_must_be_pinned(rollouts, routes, add):
    add("old", 4)
    routes.set("chat", "old", actor="ada")
    with pytest.raises(Conflict, match=r"points at old, which is old@4 now.*llmos route set chat old@1"):
        rollouts.begin("old@4", "chat", actor="ada")


@pytest.mark.process
@given(
    before=st.lists(st.integers(1, 9999), min_size=1, max_size=5),
    percent=st.integers(1, 10_000),
    has_some=st.booleans(),
)
def test_shares_always_add_up_to_100(before, percent, has_some):
    total = sum(before)
    targets = {f"t@{i}": round(10_000 * each / total) / 100 for i, each in enumerate(before)}
    if has_some:
        targets["new@1"] = 1.0
    shares = shares_at(targets, "new@1", percent / 100)
    assert sum(round(share * 100) for share in shares.values()) == 10_000
    assert shares["new@1"] == percent / 100
    assert min(shares.values()) > 0


def test_scores_stay_with_the_rollout(rollouts):
    rollout = rollouts.begin(
        "new@2",
        "chat",
        RolloutPlan(gate="score >= 0.5", cases=read_cases([{"prompt": "Well?", "equals": "yes"}])),
        actor="ada",
    )
    rollouts.record_scores(rollout, {"new": 0.75})
    assert rollouts.get(rollout.id).scores == {"new": 0.75}


def test_steps_are_kept_as_they_are():
    assert check_steps([5, 25, 100]) == (5.0, 25.0, 100.0)


CHILD = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from llmos.core.config import load_settings
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.rollouts.gates import Judgement
from llmos.deployments.rollouts.rollout import RolloutPlan
from llmos.deployments.rollouts.rollouts import Rollouts
from llmos.deployments.routing.routes import Routes
from llmos.models import open_registry

registry = open_registry(load_settings())
routes = Routes(registry)
rollouts = Rollouts(registry.database, routes, Deployments(registry.database, registry))
left = [int(sys.argv[1])]

def die(connection):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(Engine, sys.argv[2], die)   # "commit": before it is carried out; "begin": after the one before
active = rollouts.active() or [rollouts.begin("new@2", "chat", RolloutPlan(steps=[5, 25, 100]), actor="ada")]
rollout = active[0]
while rollout.ended_at is None:
    if sys.argv[3] == "back" and rollout.step == 1:
        rollout = rollouts.roll_back(rollout, "the gate fails")
    else:
        rollout = rollouts.advance(rollout, Judgement("holds", "well"))
"""


@pytest.mark.process
@pytest.mark.parametrize("way", ["on", "back"])
def test_a_rollout_continues_after_a_kill_before_any_commit(rollouts, routes, registry, tmp_path, way):
    """Every attempt dies one commit later than the one before; each finds the route and the rollout in step."""
    environ = os.environ | {"LLMOS_HOME": str(tmp_path), "LLMOS_DATABASE_URL": str(registry.database.url)}
    for num_commits in range(40):
        outcome = subprocess.run(
            [sys.executable, "-c", CHILD, str(num_commits % 4), "commit", way], env=environ, stderr=subprocess.PIPE
        )
        ((rollout,), weights) = (rollouts.list() or [None]), percents(routes)
        if rollout is None or rollout.state in ("starting", "rolled_back"):
            assert weights == {"old@1": 100}
        else:
            percent = rollout.percent
            assert weights == ({"new@2": 100} if percent == 100 else {"old@1": 100 - percent, "new@2": percent})
        if outcome.returncode == 0:
            break
        assert outcome.returncode == -signal.SIGKILL, outcome.stderr.decode()
    assert rollout.state == ("finished" if way == "on" else "rolled_back")
