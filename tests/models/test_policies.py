"""Policies of a project."""

import pytest

from llmos.core.errors import BadRequest, NotFound
from llmos.models.policies import Policies


@pytest.fixture
def policies(registry):
    return Policies(registry.database)


def test_no_policy_is_set_at_first(policies):
    assert (policies.get("require_signature"), policies.all()) == (None, {})


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("require_signature", "on", True),
        ("require_signature", False, False),
        ("max_perplexity_increase", "5%", 0.05),
        ("max_perplexity_increase", "0.05", 0.05),
        ("min_greedy_agreement", 1, 1.0),
        ("max_size_bytes", "1e9", 1e9),
    ],
)
def test_a_value_is_parsed_from_its_text(policies, name, written, value):
    assert policies.set(name, written, actor="ada").updated_by == "ada"
    assert policies.get(name) == value
    assert isinstance(policies.get(name), bool) == isinstance(value, bool)
    policies.unset(name)
    policies.unset(name)
    assert policies.get(name) is None


def test_projects_have_separate_policies(registry, policies):
    other = Policies(registry.database, "other")
    policies.set("require_signature", True)
    other.set("max_kl_divergence", 0.5)
    assert (policies.all(), other.all()) == ({"require_signature": True}, {"max_kl_divergence": 0.5})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("require_signatures", "on", r"no policy 'require_signatures'\. Did you mean require_signature\?"),
        ("zzz", "on", "The policies are require_signature, encrypt_models, max_perplexity_increase"),
        ("require_signature", "maybe", "must be on or off, not 'maybe'"),
        ("require_signature", 1, "must be on or off"),
        ("max_perplexity_increase", "much", "0.05 or 5%"),
        ("max_perplexity_increase", True, "0.05 or 5%"),
        ("max_kl_divergence", "nan", "a number of at least 0"),
        ("max_kl_divergence", "inf", "a number of at least 0"),
        ("max_kl_divergence", "5%", "a number of at least 0"),
        ("max_size_bytes", -1, "a number of at least 0"),
        ("min_greedy_agreement", "99", "at most 1"),
    ],
)
def test_an_invalid_policy_is_refused_and_changes_nothing(policies, name, value, says):
    with pytest.raises((BadRequest, NotFound), match=says):
        policies.set(name, value)
    assert policies.all() == {}
