"""Deployments of applications: which version servers keep running, by whom."""

import pytest

from llmos.core.database import Database
from llmos.core.errors import Conflict, NotFound
from llmos.data.apps.deployments import AppDeployments, check_removed


@pytest.fixture
def deployments(database: Database) -> AppDeployments:
    return AppDeployments(database)


def test_a_newer_version_takes_the_place_of_the_one_before(deployments: AppDeployments) -> None:
    deployments.deploy("acme", "support", 1, actor="ann")
    deployed = deployments.deploy("acme", "support", 2, actor="bob")
    assert (deployed.ref, deployed.is_stopped, deployed.changed_by) == ("support@2", False, "bob")
    assert deployments.get("acme", "support") == deployed
    assert deployments.list() == [deployed]


def test_a_stopped_one_is_remembered(deployments: AppDeployments) -> None:
    deployments.deploy("acme", "support", 3, actor=None)
    stopped = deployments.stop("acme", "support", actor="ann")
    assert (stopped.ref, stopped.is_stopped) == ("support@3", True)
    with pytest.raises(NotFound, match="never deployed"):
        deployments.stop("acme", "other", actor=None)


def test_projects_do_not_see_each_other(deployments: AppDeployments) -> None:
    deployments.deploy("acme", "support", 1, actor=None)
    deployments.deploy("rival", "support", 7, actor=None)
    assert [each.version for each in deployments.list("rival")] == [7]
    deployments.remove_project("rival")
    assert deployments.list("rival") == []
    with pytest.raises(NotFound):
        deployments.get("rival", "support")
    assert deployments.get("acme", "support").version == 1


def test_one_that_is_removed_is_forgotten(deployments: AppDeployments) -> None:
    deployments.deploy("acme", "support", 1, actor=None)
    deployments.remove("acme", "support")
    deployments.remove("acme", "support")
    assert deployments.list() == []


def test_a_version_that_runs_is_not_removed(deployments: AppDeployments, database: Database) -> None:
    deployments.deploy("acme", "support", 2, actor=None)
    with database.transaction() as session:
        check_removed(session, "acme", "support", ["support@1"])
        with pytest.raises(Conflict, match="llmos app stop support"):
            check_removed(session, "acme", "support", ["support@1", "support@2"])
    deployments.stop("acme", "support", actor=None)
    with database.transaction() as session:
        check_removed(session, "acme", "support", ["support@2"])
    assert deployments.list() == []


def test_a_change_is_announced(deployments: AppDeployments) -> None:
    changes: list[None] = []
    deployments.on_change = lambda: changes.append(None)
    deployments.deploy("acme", "support", 1, actor=None)
    deployments.stop("acme", "support", actor=None)
    assert len(changes) == 2
