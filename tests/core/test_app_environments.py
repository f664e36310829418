"""app.yaml with the values of an environment."""

import pytest

from llmos.core.app_manifest import manifest_text, parse_manifest
from llmos.core.errors import BadRequest

TEXT = """
name: support
model: smollm2
limits: {steps: 6, tokens: 4000}
permissions: [handoffs:read]
description: Answers.
environments:
  prod: {model: dialogue, limits: {tokens: 9000}, permissions: [], description: null}
  staging:
"""


def test_an_object_keeps_what_an_environment_does_not_name_and_a_list_is_replaced() -> None:
    prod = parse_manifest(manifest_text(TEXT, "prod"))
    assert (prod.name, prod.model, prod.permissions, prod.description) == ("support", "dialogue", [], "")
    assert (prod.limits.steps, prod.limits.tokens) == (6, 9000)
    assert prod.environments == {}
    staging = parse_manifest(manifest_text(TEXT, "staging"))
    assert (staging.model, staging.limits.tokens, staging.description) == ("smollm2", 4000, "Answers.")


def test_what_the_file_says_is_never_changed_by_its_environments() -> None:
    assert parse_manifest(TEXT).model == "smollm2"
    assert [*parse_manifest(TEXT).environments] == ["prod", "staging"]


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        (TEXT, "pord", "there is no environment 'pord'. Did you mean prod?"),
        ("name: support", "prod", "It has no `environments`."),
        ("name: a\nenvironments: {prod: {modle: x}}", "prod", "environment prod: there is no field `modle`"),
        ("name: a\nenvironments: {prod: {limits: {steps: 0}}}", "prod", "environment prod: `limits.steps`"),
        ("name: a\nenvironments: {prod: {environments: {}}}", "prod", "can't have `environments`"),
        ("name: a\nenvironments: {prod: 3}", "prod", "`environments[...]`"),
    ],
)
def test_a_wrong_environment_is_named(text: str, environment: str, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        manifest_text(text, environment)
    assert said in refused.value.message


def test_a_mistake_in_any_environment_is_found_before_it_is_used() -> None:
    with pytest.raises(BadRequest, match=r"app.yaml, environment prod: there is no field `modle`"):
        parse_manifest("name: a\nenvironments: {prod: {modle: x}}")
