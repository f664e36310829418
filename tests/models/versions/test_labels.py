"""Tags and descriptions."""

import pytest

from llmos.core.errors import BadRequest, ModelNotFound, NotFound
from llmos.core.versioning.labels import Labels, has_tag
from llmos.models.transfer.transfers import Transfers

pytestmark = pytest.mark.process


@pytest.fixture
def tiny(registry, gguf_path):
    return Transfers(registry).import_path(gguf_path, "tiny")


def test_a_model_and_its_versions_have_separate_tags(registry, tiny):
    assert registry.labels.tag("tiny", {"team": "search"}) == Labels(tags={"team": "search"})
    registry.labels.tag("tiny@1", {"approved": ""})
    registry.labels.describe("tiny", "Answers our customers")
    details = registry.show("tiny")
    assert (details.labels, details.model_labels) == (
        Labels(tags={"approved": ""}), Labels(tags={"team": "search"}, description="Answers our customers")
    )  # fmt: skip
    assert registry.labels.get("tiny@1") == registry.labels.all()["tiny", 1] == details.labels


def test_labels_are_not_part_of_a_digest(registry, tiny):
    registry.labels.tag("tiny@1", {"approved": ""})
    assert registry.resolve("tiny") == tiny


def test_the_history_has_actor_time_and_both_values(registry, tiny):
    registry.labels.describe("tiny", "One", actor="ada")
    registry.labels.describe("tiny", " Two ", actor="bob")
    registry.labels.describe("tiny", "Two", actor="eve")
    registry.labels.describe("tiny", "", actor="bob")
    registry.labels.tag("tiny@1", {"ok": "", "stage": "2"}, actor="ada")
    registry.labels.tag("tiny@1", {"stage": "3"}, ["ok"], actor="ada")
    changes = registry.labels.history("tiny")
    assert [(each.subject, each.what, each.was, each.now, each.actor) for each in changes] == [
        ("tiny", "description", None, "One", "ada"),
        ("tiny", "description", "One", "Two", "bob"),
        ("tiny", "description", "Two", None, "bob"),
        ("tiny@1", "tag ok", None, "", "ada"),
        ("tiny@1", "tag stage", None, "2", "ada"),
        ("tiny@1", "tag stage", "2", "3", "ada"),
        ("tiny@1", "tag ok", "", None, "ada"),
    ]
    assert registry.labels.history("tiny@1") == changes[3:]
    assert registry.labels.get("tiny") == Labels()


@pytest.mark.parametrize(
    ("add", "remove", "error", "says"),
    [
        ({"a b": ""}, [], BadRequest, "not a valid name for a tag"),
        ({"": "x"}, [], BadRequest, "not a valid name for a tag"),
        ({"a": "x" * 257}, [], BadRequest, "256"),
        ({"a": "x\n"}, [], BadRequest, "printable"),
        ({"a": ""}, ["a"], BadRequest, "set and removed"),
        ({"fine": ""}, ["aproved"], NotFound, r"no tag 'aproved'\. It has approved\."),
    ],
)
def test_invalid_tags_change_nothing(registry, tiny, add, remove, error, says):
    registry.labels.tag("tiny", {"approved": ""})
    with pytest.raises(error, match=says):
        registry.labels.tag("tiny", add, remove)
    assert registry.labels.get("tiny").tags == {"approved": ""}


def test_an_unknown_version_has_no_labels(registry, tiny):
    with pytest.raises(ModelNotFound):
        registry.labels.tag("tiny@2", {"a": ""})
    with pytest.raises(ModelNotFound):
        registry.labels.describe("nobody", "x")
    with pytest.raises(BadRequest, match=r"10,001\. Shorten"):
        registry.labels.describe("tiny", "x" * 10_001)


def test_a_tag_matches_with_or_without_its_value():
    labels = [None, Labels(tags={"team": "search"}), Labels(tags={"team": "ads", "ok": ""})]
    wanted = ["team", "team=ads", "team=x", "ok", "ok=", "no"]
    assert [has_tag(labels, tag) for tag in wanted] == [True, True, False, True, True, False]
