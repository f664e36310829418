"""Guardrail policies in a database of each kind: versions, where they apply, and what follows a change."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.data.files import Files
from llmos.data.project_data import ProjectData
from llmos.security.guardrails.policies import GuardrailPolicies
from llmos.security.projects import Projects
from support.datasets import datasets_beside
from support.encryption import open_test_encryption

SHORT = {"both": [{"guardrail": "max_length", "characters": 9}]}
LONG = {"both": [{"guardrail": "max_length", "characters": 99}]}


@pytest.fixture
def policies(database: Database) -> GuardrailPolicies:
    return GuardrailPolicies(database, routes=lambda: ["chat"])


def screening(policies: GuardrailPolicies, project: str = "owner", route: str | None = None) -> Sequence[str]:
    """The versions of the policies that screen a call."""
    return [policy.ref for policy in asyncio.run(policies.of_call(project=project, route=route))]


def test_a_version_is_new_if_its_digest_is(policies: GuardrailPolicies) -> None:
    first = policies.set("p", SHORT, actor="ada")
    assert (first.version, first.created_by) == (1, "ada")
    assert policies.set("p", {"both": [dict(reversed(SHORT["both"][0].items()))]}).version == 1
    second = policies.set("p", LONG)
    assert (second.version, second.digest == first.digest) == (2, False)
    assert policies.get("p", 1).document == SHORT
    assert [each.version for each in policies.history("p")] == [1, 2]
    with pytest.raises(NotFound, match="Its last one is 2"):
        policies.get("p", 3)


def test_calls_are_screened_by_what_applies_to_them_in_its_last_version(
    policies: GuardrailPolicies, database: Database, tmp_path: Path
) -> None:
    files = Files(database, tmp_path, open_test_encryption(database, tmp_path))
    Projects(database, ProjectData(database, files, [datasets_beside(files)])).create("acme")
    for name in ("of-all", "of-acme", "of-chat"):
        policies.set(name, SHORT)
    assert screening(policies) == []
    policies.apply("of-chat", "route", "chat")
    policies.apply("of-acme", "project", "acme")
    policies.apply("of-all", "installation")
    assert policies.apply("of-all", "installation").applied_to == ["installation"]
    assert screening(policies, "acme", "chat") == ["of-all@1", "of-acme@1", "of-chat@1"]
    assert screening(policies, "rival", "talk") == ["of-all@1"]
    # Another process changes it.
    other = GuardrailPolicies(database)
    other.set("of-all", LONG)
    assert screening(policies) == ["of-all@2"]
    other.unapply("of-all", "installation")
    assert screening(policies, "acme") == ["of-acme@1"]
    assert {each.name: list(each.applied_to) for each in policies.list()} == {
        "of-acme": ["project:acme"],
        "of-all": [],
        "of-chat": ["route:chat"],
    }


def test_a_policy_applies_to_what_there_is(policies: GuardrailPolicies) -> None:
    policies.set("p", SHORT)
    for scope, target in (("route", "chatt"), ("project", "acme"), ("project", "a\0b")):
        with pytest.raises(NotFound):
            policies.apply("p", scope, target)
    for scope, target in (("model", "x"), ("route", ""), ("installation", "x")):
        with pytest.raises(BadRequest):
            policies.apply("p", scope, target)
    with pytest.raises(NotFound, match="Did you mean p"):
        policies.apply("pp", "installation")
    with pytest.raises(NotFound, match="but to nothing"):
        policies.unapply("p", "route", "chat\0")


def test_a_policy_that_applies_is_not_removed_and_a_name_is_given_once(policies: GuardrailPolicies) -> None:
    policies.set("p", SHORT)
    policies.apply("p", "project", "owner")
    with pytest.raises(Conflict, match="project:owner"):
        policies.remove("p")
    policies.unapply("p", "project", "owner")
    policies.remove("p", actor="ada")
    assert policies.list() == []
    with pytest.raises(NotFound):
        policies.get("p\0")
    with pytest.raises(Conflict, match="The name p belonged to an earlier policy"):
        policies.set("p", SHORT)
