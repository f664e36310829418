"""Removal of models, versions and aliases that a deployment or a route uses."""

import pytest

from llmos.core.errors import Conflict
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.removing import remove
from llmos.deployments.routing.route import RouteSettings, Shadow
from llmos.deployments.routing.routes import Routes


@pytest.fixture
def routes(registry):
    return Routes(registry)


def versions(registry):
    return [version.ref for version in registry.list()]


def test_a_version_that_a_route_names_is_kept_and_the_message_says_how_to_free_it(registry, routes, add):
    add("m")
    add("m", 2)
    routes.set("chat", "m@1", actor="ada")
    with pytest.raises(Conflict, match=r"The route chat points at m@1\..*llmos route set chat MODEL$"):
        remove(registry, "m@1")
    assert "m@1" in versions(registry)
    routes.set("chat", "m@2", actor="ada")
    remove(registry, "m@1")
    assert versions(registry) == ["m@2"]


def test_an_alias_that_a_route_names_is_kept(registry, routes, add):
    add("m")
    registry.aliases.set("m", "prod", "m@1")
    routes.set("chat", "m:prod", actor="ada")
    with pytest.raises(Conflict, match=r"The route chat points at m:prod\."):
        remove(registry, "m:prod")
    assert registry.resolve("m:prod").ref == "m@1"


@pytest.mark.parametrize("ref", ["m", "m@2"])
def test_the_last_version_of_a_name_that_a_route_points_at_is_kept(registry, routes, add, ref):
    add("m")
    add("m", 2)
    add("m", 3, adapts=2)
    routes.set("chat", "m", actor="ada")
    remove(registry, "m@1")
    if ref == "m@2":
        remove(registry, "m@3")
    with pytest.raises(Conflict, match=r"The route chat points at m\..*llmos route set chat MODEL$"):
        remove(registry, ref)
    assert "m@2" in versions(registry)
    routes.remove("chat", actor="ada")
    remove(registry, ref)
    assert versions(registry) == []


@pytest.mark.parametrize("role", ["fallback", "shadow", "digest"])
def test_every_target_of_a_route_is_kept(registry, routes, add, role):
    add("m")
    add("other", 2)
    settings = {
        "fallback": RouteSettings(fallbacks=["m"]),
        "shadow": RouteSettings(shadow=Shadow("m")),
        "digest": RouteSettings(fallbacks=[f"m@{registry.resolve('m').digest[:19]}"]),
    }
    routes.set("chat", "other", settings[role], actor="ada")
    with pytest.raises(Conflict, match=r"The route chat points at m"):
        remove(registry, "m")
    assert "m@1" in versions(registry)


def test_a_version_that_is_deployed_is_kept(registry, add):
    add("m")
    deployments = Deployments(registry.database, registry)
    deployments.deploy("m@1", actor="ada")
    with pytest.raises(Conflict, match="m@1"):
        remove(registry, "m@1")
    assert versions(registry) == ["m@1"]
