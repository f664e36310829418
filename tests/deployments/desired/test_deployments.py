"""Deployments: their settings, the checks before them, and their history."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from llmos.core.config import load_settings
from llmos.core.errors import BadRequest, Conflict, InsufficientMemory, ModelNotFound, NotFound
from llmos.deployments.desired import deployments as module
from llmos.deployments.desired.checks import DeploymentChecks
from llmos.deployments.desired.deployment import DeploymentSettings, replica_limits
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.opening import open_deployments
from llmos.models import open_registry
from llmos.models.cards.cards import Cards
from llmos.models.policies import Policies
from llmos.models.transfer.transfers import Transfers
from support.made_cards import CARD

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class TickingClock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def deployments(registry):
    return Deployments(registry.database, registry, clock=TickingClock())


def event_kinds(deployments, ref):
    return [event.kind for event in deployments.history(ref)]


def test_a_version_is_deployed_under_its_own_reference(deployments, add):
    add("smollm2")
    deployed = deployments.deploy("smollm2", actor="ada")
    assert (deployed.ref, deployed.requested_ref) == ("smollm2@1", "smollm2")
    assert (deployed.min_replicas, deployed.max_replicas, deployed.runner) == (1, 1, "native")
    assert (deployed.asleep, deployed.keep_warm, deployed.forced) == (False, False, False)
    assert deployments.get("smollm2") == deployments.get("smollm2@1") == deployed
    assert deployments.list() == [deployed]
    [event] = deployments.history("smollm2@1")
    assert (event.kind, event.data["max_replicas"], event.at > NOON) == ("deployed", 1, True)


def test_a_newer_version_does_not_replace_the_deployed_one(deployments, add):
    add("m")
    deployments.deploy("m", actor="ada")
    add("m", 2)
    assert [each.ref for each in deployments.list()] == ["m@1"]
    with pytest.raises(NotFound, match=r"m isn't deployed.*m@1"):
        deployments.get("m")


def test_deploying_again_replaces_the_settings_and_records_what_changed(deployments, add):
    add("m")
    deployments.deploy("m", DeploymentSettings(options={"threads": 2}), actor="ada")
    deployments.deploy("m", DeploymentSettings(options={"threads": 2}), actor="ada")
    changed = deployments.deploy("m", DeploymentSettings(max_replicas=3), actor="ada")
    assert (changed.max_replicas, changed.options) == (3, {})
    assert event_kinds(deployments, "m") == ["deployed", "changed"]
    assert deployments.history("m")[1].data == {"max_replicas": 3, "options": {}}
    assert deployments.scale("m", min_replicas=2, max_replicas=2, actor="ada").min_replicas == 2
    assert deployments.history("m")[2].data == {"min_replicas": 2, "max_replicas": 2}


def test_a_limit_that_is_not_given_stays_when_it_is_scaled(deployments, add):
    add("m")
    deployments.deploy("m", DeploymentSettings(min_replicas=0, max_replicas=2), actor="ada")
    assert deployments.scale("m", max_replicas=3, actor="ada").min_replicas == 0
    assert deployments.scale("m", min_replicas=1, actor="ada").max_replicas == 3
    assert deployments.scale("m", replicas=2, actor="ada").min_replicas == 2
    with pytest.raises(BadRequest, match="number of replicas is missing"):
        deployments.scale("m", actor="ada")
    with pytest.raises(BadRequest, match="min_replicas 2 is more than max_replicas 1"):
        deployments.scale("m", max_replicas=1, actor="ada")


def test_deploying_a_sleeping_deployment_again_wakes_it_unless_min_replicas_is_0(deployments, add):
    add("m")
    deployments.deploy("m", actor="ada")
    deployments.sleep("m", actor="ada")
    assert not deployments.deploy("m", actor="ada").asleep
    assert event_kinds(deployments, "m") == ["deployed", "slept", "woken"]
    deployments.sleep("m", actor="ada")
    assert deployments.deploy("m", DeploymentSettings(min_replicas=0), actor="ada").asleep


def test_a_deployment_with_min_replicas_0_begins_asleep_and_has_idle_seconds(deployments, add):
    add("m")
    deployed = deployments.deploy("m", DeploymentSettings(min_replicas=0, max_replicas=3), actor="ada")
    assert (deployed.asleep, deployed.idle_seconds) == (True, module.DEFAULT_IDLE_SECONDS)
    assert not deployments.wake("m", actor="ada", reason="A request came.").asleep
    assert deployments.sleep("m", actor="ada").asleep
    assert event_kinds(deployments, "m") == ["deployed", "woken", "slept"]
    deployments.sleep("m", actor="ada")
    assert event_kinds(deployments, "m")[3:] == [], "what changes nothing is no event"


def test_a_deployment_that_is_kept_warm_never_sleeps(deployments, add):
    add("m")
    deployments.deploy("m", DeploymentSettings(idle_seconds=5), actor="ada")
    deployments.sleep("m", actor="ada")
    assert not deployments.deploy("m", DeploymentSettings(keep_warm=True), actor="ada").asleep
    with pytest.raises(Conflict, match=r"m@1 is kept warm.*llmos deploy m@1 --idle"):
        deployments.sleep("m", actor="ada")


@pytest.mark.parametrize(
    ("settings", "param", "message"),
    [
        ({"min_replicas": 3, "max_replicas": 2}, "min_replicas", "min_replicas 3 is more than max_replicas 2"),
        ({"min_replicas": -1}, "min_replicas", "from 0 to 64"),
        ({"max_replicas": 0}, "max_replicas", "llmos sleep"),
        ({"max_replicas": 65}, "max_replicas", "from 1 to 64"),
        ({"idle_seconds": 0}, "idle_seconds", "from 1 to 2,592,000"),
        ({"keep_warm": True, "idle_seconds": 5}, "keep_warm", "leave one of them out"),
        ({"keep_warm": True, "min_replicas": 0}, "keep_warm", "leave one of them out"),
        ({"runner": "cuda"}, "runner", "Known: native"),
        ({"options": {"treads": 2}}, "treads", "threads"),
        ({"options": {"threads": "two"}}, "threads", "threads"),
    ],
)
def test_impossible_settings_are_refused_and_nothing_is_deployed(deployments, add, settings, param, message):
    add("m")
    with pytest.raises(BadRequest, match=message) as refused:
        deployments.deploy("m", DeploymentSettings(**settings), actor="ada")
    assert refused.value.param == param
    assert deployments.list() == []


@pytest.mark.process
def test_a_version_that_does_not_exist_is_refused(deployments, add):
    with pytest.raises(ModelNotFound, match="llmos pull smollm2"):
        deployments.deploy("smollm2", actor="ada")
    add("smollm2")
    with pytest.raises(ModelNotFound, match=r"It has smollm2@1"):
        deployments.deploy("smollm2@2", actor="ada")


def test_an_adapter_is_not_deployed_but_its_base_version_is(deployments, add):
    add("m")
    add("m", 2, adapts=1)
    with pytest.raises(BadRequest, match=r"an adapter of m@1.*llmos deploy m@1"):
        deployments.deploy("m@2", actor="ada")


def test_a_removed_deployment_keeps_its_history_and_can_be_deployed_again(deployments, add):
    add("m")
    deployments.deploy("m", DeploymentSettings(max_replicas=4), actor="ada")
    deployments.remove("m@1", actor="ada")
    assert deployments.list() == []
    verbs = [partial(verb, actor="ada") for verb in (deployments.remove, deployments.sleep, deployments.wake)]
    for act in (deployments.get, *verbs):
        with pytest.raises(NotFound, match=r"m@1 isn't deployed.*none yet.*llmos deploy m@1"):
            act("m@1")
    assert deployments.deploy("m", actor="ada").max_replicas == 1
    assert event_kinds(deployments, "m@1") == ["deployed", "removed", "deployed"]


def test_the_history_says_who_caused_each_event(deployments, add):
    add("m")
    deployments.deploy("m", actor="ada")
    deployments.scale("m", replicas=2, actor="bob")
    deployments.sleep("m", actor="cy")
    deployments.deploy("m", actor="dee")
    deployments.sleep("m", actor="reconciler", reason="Idle for 5 seconds.")
    deployments.wake("m", actor="eve")
    deployments.record_event("m@1", "ready", "Loaded in 1.0 seconds.", actor="reconciler")
    deployments.remove("m", actor="fay")
    assert [(event.kind, event.actor, event.reason) for event in deployments.history("m@1")] == [
        ("deployed", "ada", "Deployed."),
        ("changed", "bob", "Scaled."),
        ("slept", "cy", "Put to sleep."),
        ("woken", "dee", "Deployed with at least one replica."),
        ("changed", "dee", "Deployed again with other settings."),
        ("slept", "reconciler", "Idle for 5 seconds."),
        ("woken", "eve", "Woken."),
        ("ready", "reconciler", "Loaded in 1.0 seconds."),
        ("removed", "fay", "Undeployed."),
    ]


def test_a_version_that_was_never_deployed_has_no_history(deployments, add):
    add("m")
    with pytest.raises(NotFound, match="m isn't deployed"):
        deployments.history("m")
    with pytest.raises(BadRequest, match="is not a reference to a model"):
        deployments.history("m@x")


def test_a_version_that_fails_a_check_is_refused_unless_forced_and_the_history_keeps_why(registry, add):
    add("m")
    sentence = "Its perplexity is 31 % above its parent's; the project's limit is 5 %."
    deployments = Deployments(registry.database, registry, checks=DeploymentChecks(card=lambda version: [sentence]))
    with pytest.raises(Conflict, match=r"m@1 is not deployed: Its perplexity is 31 %.*llmos deploy m@1 --force"):
        deployments.deploy("m", actor="ada")
    assert deployments.list() == []
    assert deployments.deploy("m", force=True, actor="ada").forced
    [event] = deployments.history("m")
    assert event.data["reasons"] == [sentence]
    assert "Forced although" in event.reason


def test_force_without_a_failed_check_is_not_recorded_as_forced(deployments, add):
    add("m")
    assert not deployments.deploy("m", force=True, actor="ada").forced


def test_the_history_keeps_the_newest_events(deployments, add, monkeypatch):
    monkeypatch.setattr(module, "MAX_EVENTS", 3)
    add("m")
    add("other")
    deployments.deploy("other", actor="ada")
    deployments.deploy("m", actor="ada")
    for number in range(4):
        deployments.record_event("m@1", "scaled", f"Reason {number}.", {"to": number}, actor="ada")
    assert [event.reason for event in deployments.history("m")] == ["Reason 1.", "Reason 2.", "Reason 3."]
    assert deployments.history("m")[-1].data == {"to": 3}
    assert event_kinds(deployments, "other") == ["deployed"]


def test_every_commit_calls_on_change(deployments, add):
    add("m")
    counts = []
    deployments.on_change = lambda: counts.append(len(deployments.list()))
    deployments.deploy("m", actor="ada")
    deployments.scale("m", min_replicas=1, max_replicas=2, actor="ada")
    deployments.remove("m", actor="ada")
    assert counts == [1, 1, 0]


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ((None, None, None), (1, 1)),
        ((3, None, None), (3, 3)),
        ((None, 0, 3), (0, 3)),
        ((None, 2, None), (2, 2)),
        ((None, None, 2), (1, 2)),
    ],
)
def test_replicas_are_given_as_one_number_or_as_limits(given, limits):
    assert replica_limits(*given) == limits


def test_a_number_beside_limits_is_refused():
    with pytest.raises(BadRequest, match="not both"):
        replica_limits(1, 0, None)


def test_a_deployment_that_does_not_fit_into_memory_is_refused_with_the_arithmetic(registry, add):
    add("m")
    asked = []

    def check_memory(version, options, num_replicas):
        asked.append((version.ref, options, num_replicas))
        if num_replicas > 2:
            raise InsufficientMemory("3 x 1 GB, and 2 GB are free.")

    deployments = Deployments(registry.database, registry, checks=DeploymentChecks(memory=check_memory))
    with pytest.raises(InsufficientMemory, match="3 x 1 GB"):
        deployments.deploy("m", DeploymentSettings(max_replicas=3), force=True, actor="ada")
    assert deployments.list() == []
    deployments.deploy("m", DeploymentSettings(max_replicas=2, options={"threads": 1}), actor="ada")
    deployments.scale("m", min_replicas=1, max_replicas=1, actor="ada")
    deployments.scale("m", min_replicas=1, max_replicas=3, actor="ada")
    assert asked[1:] == [("m@1", {"threads": 1}, 2), ("m@1", {"threads": 1}, 2)], "those that run have their memory"
    with pytest.raises(InsufficientMemory):
        deployments.scale("m", min_replicas=1, max_replicas=6, actor="ada")
    assert deployments.get("m").max_replicas == 3


def test_an_option_that_the_model_does_not_support_is_refused(tmp_path, smollm2_path):
    settings = load_settings({"LLMOS_HOME": str(tmp_path)})
    registry = open_registry(settings)
    Transfers(registry).import_path(smollm2_path, "smol")
    deployments = open_deployments(registry, settings)
    with pytest.raises(BadRequest, match=r"context_length is 9,000; the model accepts 8,192 tokens at most"):
        deployments.deploy("smol", DeploymentSettings(options={"context_length": 9000}), actor="ada")
    assert deployments.list() == []


def test_the_deployments_of_an_installation_check_cards_and_policies(registry, add, tmp_path):
    add("m")
    deployments = open_deployments(registry, load_settings({"LLMOS_HOME": str(tmp_path)}))
    Cards(registry.database).put(registry.resolve("m"), CARD)
    assert not deployments.deploy("m", actor="ada").forced
    Policies(registry.database).set("max_perplexity_increase", "5%")
    with pytest.raises(Conflict, match=r"m@1 is not deployed: m@1 has 7.50 % more.*llmos deploy m@1 --force"):
        deployments.deploy("m", DeploymentSettings(max_replicas=2), actor="ada")
    assert deployments.deploy("m", DeploymentSettings(max_replicas=2), force=True, actor="ada").forced
    assert "7.50 % more perplexity" in deployments.history("m")[-1].reason
