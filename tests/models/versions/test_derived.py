"""Derived versions: their names, digests and parents."""

import pwd

import pytest

from llmos.core.errors import BadRequest, Conflict
from llmos.models.transfer.transfers import Transfers
from llmos.models.versions.manifest import Manifest

pytestmark = pytest.mark.process

RECIPE = {"kind": "quantize", "scheme": "gptq", "options": {"bits": 4, "group": 32}}


@pytest.fixture
def tiny(registry, gguf_path):
    return Transfers(registry).import_path(gguf_path, "tiny")


@pytest.fixture
def make(registry, tiny, tmp_path, tiny_gguf):
    """Return a function that derives a version of `name` in a scratch folder."""

    def make(name="tiny-gptq4", recipe=RECIPE, parent=tiny, **options):
        path = tmp_path / "made.gguf"
        path.unlink(missing_ok=True)
        path.write_bytes(tiny_gguf + b"\0")
        return registry.derived.add(name, {"model.gguf": path}, parent=parent, recipe=recipe, **options)

    return make


def test_a_derived_version_has_its_parent_recipe_and_actor(registry, tiny, make):
    made = make(actor="ada")
    assert (made.ref, made.parent, made.recipe, made.made_by) == ("tiny-gptq4@1", tiny.digest, RECIPE, "ada")
    assert (made.license, made.sampling, made.source) == (tiny.license, tiny.sampling, "made:tiny@1")
    assert registry.resolve("tiny-gptq4") == made
    assert registry.show("tiny-gptq4").made_from == "tiny@1"
    assert registry.show("tiny").made_from is None


def test_the_default_actor_is_the_user_of_the_process(registry, tiny, make, monkeypatch):
    assert make().made_by == tiny.made_by
    nobody = lambda number: {}[number]  # noqa: E731
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert make(recipe={"kind": "prune"}).made_by.startswith("uid ")


def test_the_same_recipe_gives_the_same_version_for_any_actor(registry, make):
    first = make(actor="ada")
    assert make(actor="bob") == first
    assert [version.ref for version in registry.list()] == ["tiny@1", "tiny-gptq4@1"]


def test_the_same_files_with_another_recipe_or_parent_are_another_version(registry, tiny, make, make_folder):
    other = Transfers(registry).import_path(make_folder(), "tiny")
    digests = {make().digest, make(recipe=RECIPE | {"scheme": "awq"}).digest, make(parent=other).digest}
    assert len(digests) == 3
    assert [version.ref for version in registry.list() if version.parent] == [
        "tiny-gptq4@1", "tiny-gptq4@2", "tiny-gptq4@3"
    ]  # fmt: skip


def test_the_digest_is_that_of_the_canonical_manifest(registry, tiny, make):
    made = make()
    assert registry.manifest(made).digest == made.digest
    assert b'"parent":"%s"' % tiny.digest.encode() in registry.manifest(made).canonical()
    assert registry.manifest(tiny).canonical() == Manifest(files=tiny.files).canonical()


def test_a_name_that_is_taken_is_refused_before_and_after_the_work(registry, tiny, make, make_folder, tmp_path):
    Transfers(registry).import_path(make_folder(), "other")
    make()
    other = registry.resolve("other")
    cases = [("tiny", tiny, "wasn't made from another model"), ("tiny-gptq4", other, "was made from tiny@1")]
    for name, parent, reason in cases:
        with pytest.raises(Conflict, match=rf"name {name} is taken: {name}@1 {reason}.*--name"):
            registry.derived.check(name, parent)
        with pytest.raises(Conflict, match="is taken"):
            make(name, parent=parent)
    with pytest.raises(BadRequest, match="not a valid name for a model"):
        make("a b")
    assert len(registry.list()) == 3


def test_a_derived_version_is_found_by_its_recipe(registry, tiny, make):
    assert registry.derived.find("tiny-gptq4", tiny, RECIPE) is None
    made = make()
    assert registry.derived.find("tiny-gptq4", tiny, dict(reversed(RECIPE.items()))) == made
    assert registry.derived.find("tiny-gptq4", tiny, RECIPE | {"scheme": "awq"}) is None


def test_a_removed_parent_is_still_named(registry, tiny, make):
    made = make()
    registry.remove("tiny")
    assert registry.show(made.ref).made_from == "tiny@1"
    assert make() == made


def test_a_recipe_that_is_not_json_is_refused(registry, make):
    with pytest.raises(BadRequest, match="JSON"):
        make(recipe={"share": float("nan")})
    assert [version.ref for version in registry.list()] == ["tiny@1"]


def test_the_blobs_of_a_derived_version_are_read_only(registry, make):
    (path,) = registry.files(make()).values()
    assert path.stat().st_mode & 0o222 == 0
