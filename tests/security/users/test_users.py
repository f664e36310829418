"""Users: created, changed, disabled and removed; and what they may do."""

from typing import Any

import pytest

from llmos.core.errors import BadRequest, Conflict, NotFound, Unauthenticated
from llmos.security.limits import Limits
from llmos.security.permissions import ALL_PERMISSIONS, Permission
from llmos.security.projects import Projects
from llmos.security.users.sessions import Sessions
from llmos.security.users.users import MAX_NAME, Identity, Users

PASSWORD = "correct horse battery staple"
ISSUER = "https://id.example.com"


def person(**changes: Any) -> Identity:
    return Identity(
        **{"issuer": ISSUER, "subject": "7", "name": "Ann", "role": "viewer", "project": "owner", **changes}
    )


def test_a_user_is_created_listed_and_removed_and_the_name_stays_taken(users: Users) -> None:
    ann = users.create("ann@example.com", role="operator", password=PASSWORD, actor="root")
    assert (ann.role, ann.project, ann.state, ann.has_password, ann.created_by) == (
        "operator", "owner", "active", True, "root",
    )  # fmt: skip
    assert [each.name for each in users.list()] == ["ann@example.com"]
    with pytest.raises(Conflict, match="There is a user"):
        users.create("ann@example.com")
    users.remove("ann@example.com", actor="root")
    assert users.list() == []
    with pytest.raises(Conflict, match="histories name it"):
        users.create("ann@example.com")
    with pytest.raises(NotFound, match="llmos user list"):
        users.get("ann@example.com")


@pytest.mark.parametrize("name", ["", "Ann", "a b", "a\n", "-a", "a-", "a/b", "ä", "a" * (MAX_NAME + 1), "a\0", "a:b"])
def test_a_name_that_could_be_misread_is_refused(users: Users, name: str) -> None:
    with pytest.raises(BadRequest, match="name of a user"):
        users.create(name)
    with pytest.raises(NotFound):
        users.get(name)
    assert users.sign_in(name, PASSWORD) is None


def test_a_wrong_name_leads_to_the_nearest(users: Users) -> None:
    users.create("ann")
    with pytest.raises(NotFound, match="Did you mean ann"):
        users.get("anne")


def test_the_longest_name_fits_where_keys_are_stored(users: Users) -> None:
    assert len(users.create("a" * MAX_NAME).caller().key_id) <= 64


def test_what_a_user_may_do_follows_from_role_and_project(users: Users, projects: Projects) -> None:
    projects.create("acme", limits=Limits(requests_per_minute=5))
    users.create("root", role="owner")
    users.create("ann", role="owner", project="acme")
    root, ann = users.get("root").caller(), users.get("ann").caller()
    assert root.permissions == ALL_PERMISSIONS
    assert (ann.project, ann.user, ann.actor, ann.title) == ("acme", "ann", "user:ann", "The user ann")
    assert Permission.KEYS_WRITE in ann.permissions
    assert not {Permission.MODELS_WRITE, Permission.USERS_READ, Permission.USERS_WRITE} & ann.permissions
    assert [each.scope for each in ann.allowances] == ["project:acme"]
    assert root.allowances == ()


def test_a_role_and_a_project_must_exist(users: Users, projects: Projects) -> None:
    with pytest.raises(BadRequest, match="no role"):
        users.create("ann", role="admin")
    with pytest.raises(NotFound, match="no project"):
        users.create("ann", project="nowhere")
    projects.create("acme")
    with pytest.raises(BadRequest, match="operator"):
        users.create("ann", role="operator", project="acme")
    users.create("ann")
    assert users.set_role("ann", "owner", project="acme").project == "acme"
    assert users.set_role("ann", "viewer").project == "acme"
    with pytest.raises(BadRequest, match="operator"):
        users.set_role("ann", "operator")


def test_a_password_lets_its_user_in_and_nobody_else(users: Users) -> None:
    users.create("ann", password=PASSWORD)
    users.create("bob", password="another password entirely")
    users.create("carl")
    assert users.sign_in("ann", PASSWORD) == users.get("ann") or users.get("ann").signed_in_at is not None
    for name, password in [("ann", "wrong"), ("bob", PASSWORD), ("carl", ""), ("nobody", PASSWORD), ("ann", "")]:
        assert users.sign_in(name, password) is None, name
    users.set_password("ann", "a new password for her")
    assert users.sign_in("ann", PASSWORD) is None
    assert users.sign_in("ann", "a new password for her") is not None


def test_a_disabled_user_stays_out_until_enabled(users: Users, sessions: Sessions) -> None:
    ann = users.create("ann", password=PASSWORD)
    token = sessions.begin(ann, "password")
    assert users.disable("ann", actor="root").state == "disabled"
    assert sessions.find(token) is None
    assert users.sign_in("ann", PASSWORD) is None
    with pytest.raises(Unauthenticated):
        users.caller("ann", project="owner")
    assert users.enable("ann").state == "active"
    assert users.sign_in("ann", PASSWORD) is not None
    assert sessions.find(token) is None, "a session that ended doesn't come back"


def test_the_end_of_a_project_is_the_end_of_its_users(users: Users, projects: Projects, sessions: Sessions) -> None:
    projects.create("acme")
    token = sessions.begin(users.create("ann", project="acme", password=PASSWORD), "password")
    users.create("root", password=PASSWORD)
    projects.remove("acme")
    assert [each.name for each in users.list()] == ["root"]
    assert sessions.find(token) is None
    assert users.sign_in("ann", PASSWORD) is None


def test_work_that_goes_on_has_the_rights_that_its_user_has_now(users: Users, projects: Projects) -> None:
    projects.create("acme")
    users.create("ann", role="developer")
    assert Permission.INFERENCE in users.caller("ann", project="owner").permissions
    users.set_role("ann", "viewer")
    assert Permission.INFERENCE not in users.caller("ann", project="owner").permissions
    users.set_role("ann", "developer", project="acme")
    with pytest.raises(Unauthenticated, match="no longer of the project"):
        users.caller("ann", project="owner")


def test_a_person_of_a_provider_becomes_a_user_once_and_has_the_role_of_today(users: Users, projects: Projects) -> None:
    projects.create("acme")
    ann = users.sign_in_identity(person())
    assert (ann.name, ann.role, ann.issuer, ann.has_password) == ("ann", "viewer", ISSUER, False)
    again = users.sign_in_identity(person(name="Ann Smith", role="owner", project="acme"))
    assert (again.name, again.role, again.project) == ("ann", "owner", "acme")
    assert len(users.list()) == 1
    for change in (lambda: users.set_password("ann", PASSWORD), lambda: users.set_role("ann", "owner")):
        with pytest.raises(Conflict):
            change()


def test_a_provider_can_not_claim_a_user_that_was_created_here(users: Users) -> None:
    users.create("ann", role="owner", password=PASSWORD)
    stranger = users.sign_in_identity(person())
    assert stranger.name != "ann"
    assert stranger.name.startswith("ann-")
    assert users.get("ann").role == "owner"
    other_issuer = users.sign_in_identity(person(issuer="https://evil.example.com"))
    assert other_issuer.name not in ("ann", stranger.name)


@pytest.mark.parametrize("name", ["", "   ", "Ünal Ö.", "../../etc/passwd", "x" * 300, "user:root", "a\0b", "@@@"])
def test_whatever_a_provider_calls_a_person_the_name_is_one(users: Users, name: str) -> None:
    user = users.sign_in_identity(person(name=name))
    assert users.get(user.name) == user
    assert ":" not in user.name


def test_a_disabled_or_removed_person_stays_out(users: Users) -> None:
    name = users.sign_in_identity(person()).name
    users.disable(name)
    with pytest.raises(Unauthenticated):
        users.sign_in_identity(person())
    users.enable(name)
    users.sign_in_identity(person())
    users.remove(name)
    with pytest.raises(Unauthenticated):
        users.sign_in_identity(person())


def test_a_password_that_was_replaced_no_longer_works(users: Users, sessions: Sessions) -> None:
    token = sessions.begin(users.create("ann", password=PASSWORD), "password")
    users.set_password("ann", "another horse, another battery")
    assert sessions.find(token) is None
    assert users.sign_in("ann", PASSWORD) is None
    assert users.sign_in("ann", "another horse, another battery") is not None
    with pytest.raises(NotFound):
        users.set_password("carla", PASSWORD)
