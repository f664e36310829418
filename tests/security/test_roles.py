"""Roles: what each may do, in the installation's own project and in others."""

import itertools

import pytest

from llmos.core.errors import BadRequest, PermissionDenied
from llmos.security.callers import Caller
from llmos.security.permissions import ALL_PERMISSIONS, OWNER, Permission
from llmos.security.roles import INSTALLATION_ONLY, ROLES, check_role, permissions_of


def test_each_role_may_do_all_that_the_one_before_may() -> None:
    sizes = [permissions_of(role, OWNER) for role in ("viewer", "developer", "operator", "owner")]
    assert all(less < more for less, more in itertools.pairwise(sizes))
    assert sizes[-1] == ALL_PERMISSIONS
    assert list(ROLES) == ["viewer", "developer", "operator", "owner"]


def test_a_viewer_changes_and_runs_nothing_and_reads_no_content() -> None:
    permissions = permissions_of("viewer", OWNER)
    assert all(permission.endswith(":read") for permission in permissions)
    assert not permissions & {Permission.FILES_READ, Permission.BATCHES_READ, Permission.KEYS_READ}


def test_an_operator_runs_the_installation_but_gives_no_access_to_it() -> None:
    permissions = permissions_of("operator", OWNER)
    assert {Permission.MODELS_WRITE, Permission.ROUTES_WRITE, Permission.PROVIDERS_WRITE} <= permissions
    assert not permissions & {Permission.KEYS_WRITE, Permission.KEYS_READ, Permission.PROJECTS_WRITE}


def test_a_refusal_names_the_roles_that_would_do() -> None:
    developer = Caller(project="acme", key_id="key-1", permissions=permissions_of("developer", "acme"))
    with pytest.raises(PermissionDenied, match=r"Keys of the project acme have it with the role owner\."):
        developer.check(Permission.KEYS_WRITE)
    with pytest.raises(PermissionDenied, match=r"Keys of the project owner have it with the role operator or owner\."):
        developer.check(Permission.ROUTES_WRITE)


@pytest.mark.parametrize("role", ROLES)
def test_keys_of_other_projects_never_change_what_all_projects_share(role: str) -> None:
    assert not permissions_of(role, "acme") & INSTALLATION_ONLY


def test_the_owner_of_a_project_manages_its_keys() -> None:
    assert {Permission.KEYS_READ, Permission.KEYS_WRITE, Permission.INFERENCE} <= permissions_of("owner", "acme")


def test_an_unknown_role_may_do_nothing() -> None:
    assert permissions_of("admin", OWNER) == frozenset()


def test_a_key_gets_only_a_role_that_its_project_can_give() -> None:
    assert check_role("operator", OWNER) == "operator"
    with pytest.raises(BadRequest, match="all projects share"):
        check_role("operator", "acme")
    with pytest.raises(BadRequest, match="Did you mean developer"):
        check_role("developper", "acme")
    with pytest.raises(BadRequest, match="The roles are viewer, developer, operator, owner"):
        check_role("zzz", OWNER)
