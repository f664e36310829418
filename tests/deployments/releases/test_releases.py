"""Releases of applications: who takes over, in which steps, and how it goes back. On databases of each kind."""

import pytest

from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.data.apps.deployments import AppDeployments, check_removed
from llmos.deployments.releases.release import NewRelease, Release, ReleaseSteps
from llmos.deployments.releases.releases import AppReleases
from llmos.deployments.rollouts.gates import Judgement

STEPS = ReleaseSteps(steps=(10.0, 100.0), gate="error_rate <= 1%", min_calls=4)
HOLDS = Judgement("holds", "error_rate is 0")


@pytest.fixture
def deployments(database: Database) -> AppDeployments:
    return AppDeployments(database)


@pytest.fixture
def releases(database: Database, deployments: AppDeployments) -> AppReleases:
    return AppReleases(database, deployments)


def new(version: int, environment: str = "prod", steps: ReleaseSteps = STEPS, app: str = "support") -> NewRelease:
    facts = {"models": {"dialogue": ["smollm2@1"]}}
    return NewRelease(project="acme", app=app, version=version, environment=environment, steps=steps, facts=facts)


def states(releases: AppReleases) -> list[tuple[int, str]]:
    return [(each.version, each.state) for each in releases.list("acme", "support")]


def take_over(releases: AppReleases) -> None:
    """Let every release that is taking over pass its gates."""
    while found := releases.taking_over():
        for release in found:
            releases.advance(release, HOLDS)


def test_the_first_release_is_active_at_once(releases: AppReleases, deployments: AppDeployments) -> None:
    release = releases.begin(new(1), actor="ann")
    assert (release.number, release.state, release.percent, release.before) == (1, "active", 100.0, None)
    assert (deployments.get("acme", "support").ref, deployments.get("acme", "support").changed_by) == (
        "support@1",
        "ann",
    )
    assert [(each.kind, each.actor) for each in releases.history("acme", "support")] == [
        ("began", "ann"),
        ("active", "ann"),
    ]


def test_the_same_version_in_the_same_environment_is_the_release_that_there_is(releases: AppReleases) -> None:
    first = releases.begin(new(1), actor="ann")
    assert releases.begin(new(1), actor="bob") == first
    releases.begin(new(2), actor="ann")
    running = releases.begin(new(2), actor="bob")
    assert (running.number, running.begun_by, running.state) == (2, "ann", "starting")
    assert releases.begin(new(1, "staging", app="other"), actor="ann").number == 1


def test_a_version_takes_over_in_steps(releases: AppReleases, deployments: AppDeployments) -> None:
    releases.begin(new(1), actor="ann")
    release = releases.begin(new(2), actor="ann")
    assert (release.state, release.percent, release.ref_before) == ("starting", 0.0, "support@1")
    deployed = deployments.get("acme", "support")
    assert (deployed.ref, deployed.candidate, deployed.candidate_percent) == ("support@1", 2, 0.0)
    releases.advance(release, Judgement("holds", "its process answers"), {"error_rate": 0.5})
    (running,) = releases.taking_over()
    assert (running.percent, running.baseline) == (10.0, {"error_rate": 0.5})
    assert deployments.get("acme", "support").candidate_percent == 10.0
    take_over(releases)
    deployed = deployments.get("acme", "support")
    assert (deployed.ref, deployed.candidate) == ("support@2", None)
    assert states(releases) == [(2, "active"), (1, "superseded")]
    kinds = [(each.release, each.kind, each.actor) for each in releases.history("acme", "support")[2:]]
    assert kinds == [
        (2, "began", "ann"),
        (2, "stepped", "releases"),
        (2, "stepped", "releases"),
        (1, "superseded", "releases"),
        (2, "active", "releases"),
    ]


def test_what_was_seen_before_another_step_changes_nothing(releases: AppReleases, deployments: AppDeployments) -> None:
    releases.begin(new(1), actor="ann")
    seen = releases.begin(new(2), actor="ann")
    releases.advance(seen, HOLDS)
    releases.advance(seen, HOLDS)  # Another server has judged the same step.
    releases.hold(seen, "waits: nothing")
    (running,) = releases.taking_over()
    assert (running.percent, running.reason) == (10.0, "error_rate is 0")
    releases.roll_back(running, "error_rate is 1")
    releases.advance(running, HOLDS)
    releases.roll_back(running, "again")
    assert states(releases) == [(2, "rolled_back"), (1, "active")]
    deployed = deployments.get("acme", "support")
    assert (deployed.ref, deployed.candidate) == ("support@1", None)


def test_only_one_takes_over_at_a_time(releases: AppReleases) -> None:
    releases.begin(new(1), actor="ann")
    releases.begin(new(2), actor="ann")
    with pytest.raises(Conflict, match="llmos app rollback support"):
        releases.begin(new(3), actor="bob")


def test_a_plan_that_another_release_has_overtaken_is_refused(releases: AppReleases) -> None:
    releases.begin(new(1), expected=0, actor="ann")
    with pytest.raises(Conflict, match=r"ann has released support since this was planned \(release 1\)"):
        releases.begin(new(2), expected=0, actor="bob")
    assert releases.begin(new(2), expected=1, actor="bob").number == 2


def test_a_rollback_ends_what_takes_over(releases: AppReleases, deployments: AppDeployments) -> None:
    releases.begin(new(1), actor="ann")
    releases.begin(new(2), actor="ann")
    active = releases.roll_back_app("acme", "support", reason="Too slow", actor="bob")
    assert (active.version, active.state) == (1, "active")
    assert states(releases) == [(2, "rolled_back"), (1, "active")]
    assert releases.history("acme", "support")[-1].actor == "bob"
    assert deployments.get("acme", "support").candidate is None


def test_a_rollback_goes_back_from_what_is_active_and_the_next_one_further(
    releases: AppReleases, deployments: AppDeployments
) -> None:
    for version in (1, 2, 3):
        releases.begin(new(version, steps=ReleaseSteps()), actor="ann")
    back = releases.roll_back_app("acme", "support", actor="bob")
    assert (back.number, back.version, back.state) == (4, 2, "active")
    assert (deployments.get("acme", "support").ref, deployments.get("acme", "support").changed_by) == (
        "support@2",
        "bob",
    )
    assert releases.roll_back_app("acme", "support", actor="bob").version == 1
    with pytest.raises(Conflict, match="No other release of support was there before support@1"):
        releases.roll_back_app("acme", "support", actor="bob")


def test_there_is_nothing_to_undo_without_a_release_or_behind_another_deployment(
    releases: AppReleases, deployments: AppDeployments
) -> None:
    with pytest.raises(NotFound, match="llmos apply"):
        releases.roll_back_app("acme", "support", actor="bob")
    releases.begin(new(1), actor="ann")
    deployments.deploy("acme", "support", 7, actor="eve")
    with pytest.raises(Conflict, match="support@7, which no release made"):
        releases.roll_back_app("acme", "support", actor="bob")
    deployments.stop("acme", "support", actor="eve")
    with pytest.raises(Conflict, match="is stopped"):
        releases.roll_back_app("acme", "support", actor="bob")


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_deployment_by_other_means_ends_what_takes_over(
    releases: AppReleases, deployments: AppDeployments, *, is_stopped: bool
) -> None:
    releases.begin(new(1), actor="ann")
    release = releases.begin(new(2), actor="ann")
    assert not releases.end_taken_over(release)
    if is_stopped:
        deployments.stop("acme", "support", actor="eve")
    else:
        deployments.deploy("acme", "support", 7, actor="eve")
    releases.advance(release, HOLDS)
    assert states(releases)[0] == (2, "superseded")
    assert not releases.end_taken_over(release)
    deployed = deployments.get("acme", "support")
    assert (deployed.candidate, deployed.is_stopped) == (None, is_stopped)
    third = releases.begin(new(3), actor="ann")
    assert third.state == ("active" if is_stopped else "starting")


def test_a_stopped_application_is_started_by_the_same_release_again(
    releases: AppReleases, deployments: AppDeployments
) -> None:
    releases.begin(new(1), actor="ann")
    deployments.stop("acme", "support", actor="eve")
    again = releases.begin(new(1), actor="ann")
    assert (again.number, again.state) == (2, "active")
    assert not deployments.get("acme", "support").is_stopped


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (ReleaseSteps(steps=(50.0, 20.0), gate="error_rate <= 1%"), "must rise"),
        (ReleaseSteps(steps=(100.0,), gate="score >= 0.8"), "its evals are checked before"),
        (ReleaseSteps(steps=(100.0,), gate="speed >= 1"), "There is no metric speed"),
    ],
)
def test_impossible_steps_are_refused_and_nothing_begins(releases: AppReleases, steps: ReleaseSteps, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        releases.begin(new(1, steps=steps), actor="ann")
    assert releases.newest("acme", "support") is None


def test_a_version_that_takes_over_is_not_removed(releases: AppReleases, database: Database) -> None:
    releases.begin(new(1), actor="ann")
    releases.begin(new(2), actor="ann")
    with database.transaction() as session, pytest.raises(Conflict, match="llmos app rollback support"):
        check_removed(session, "acme", "support", ["support@2"])


def test_projects_do_not_see_each_other_and_take_their_releases_along(releases: AppReleases) -> None:
    releases.begin(new(1), actor="ann")
    assert releases.list("rival", "support") == []
    releases.remove_project("acme")
    assert releases.newest("acme", "support") is None
    assert releases.history("acme", "support") == []


def test_a_release_is_the_same_behind_a_restart(releases: AppReleases, database: Database) -> None:
    releases.begin(new(1), actor="ann")
    seen: Release = releases.begin(new(2), actor="ann")
    (found,) = AppReleases(database, AppDeployments(database)).taking_over()
    assert found == seen
