"""Prompts: immutable versions of texts, encrypted, apart for each project."""

from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.prompt_text import PromptText
from llmos.core.store.blobs_in_use import blob_users, digests_in_use
from llmos.core.store.store import Store
from llmos.data.prompts.comparing import compare
from llmos.data.prompts.prompts import ProjectPrompts, Prompts

TEXT = "---\nshop: {type: string, max_length: 40}\n---\nYou help the customers of {{shop}}.\nBe brief."


def create(prompts: ProjectPrompts, text: str = TEXT, name: str = "support") -> str:
    return prompts.create(name, PromptText.parse(text)).ref


def test_the_same_text_and_types_are_the_same_version(prompts: ProjectPrompts) -> None:
    assert create(prompts) == create(prompts) == "support@1"
    assert create(prompts, TEXT.replace("40", "30")) == "support@2"
    assert create(prompts, TEXT.replace("brief", "kind")) == "support@3"
    assert create(prompts) == "support@1"
    assert [version.ref for version in prompts.list()] == ["support@1", "support@2", "support@3"]


def test_a_version_has_its_text_types_aliases_and_labels(prompts: ProjectPrompts) -> None:
    create(prompts)
    prompts.aliases.set("support", "prod", "support@1")
    prompts.labels.change("support@1", {"good": ""}, [], "For the shop")
    details = prompts.show("support:prod")
    assert details.text.fill({"shop": "Acme"}) == "You help the customers of Acme.\nBe brief."
    assert details.version.variables == ("shop",)
    assert (details.aliases, details.versions) == (("prod",), ("support@1",))
    assert (details.labels.description, dict(details.labels.tags)) == ("For the shop", {"good": ""})
    with pytest.raises(BadRequest, match="support@1: the variable 'shop' takes a text of at most 40 characters"):
        details.text.fill({"shop": "x" * 41})


def test_a_version_that_an_alias_points_at_stays(prompts: ProjectPrompts) -> None:
    create(prompts)
    prompts.aliases.set("support", "prod", "support@1")
    with pytest.raises(Conflict, match="points at support@1"):
        prompts.remove("support@1")
    assert prompts.remove("support").versions == ("support@1",)
    with pytest.raises(NotFound, match="llmos prompt create support FILE"):
        prompts.resolve("support")


def test_a_removed_version_comes_back_under_its_number(prompts: ProjectPrompts, store: Store) -> None:
    create(prompts)
    create(prompts, "another")
    assert prompts.remove("support@1").freed_bytes > 0
    assert len(list(store.digests())) == 1
    assert create(prompts) == "support@1"
    assert prompts.text(prompts.resolve("support@1")).variables.keys() == {"shop"}


def test_a_name_that_is_none_is_refused_and_leaves_nothing(prompts: ProjectPrompts, store: Store) -> None:
    with pytest.raises(BadRequest, match="is not a valid name for a prompt"):
        create(prompts, name="no/name")
    assert list(store.digests()) == []


def test_a_similar_name_is_suggested(prompts: ProjectPrompts) -> None:
    create(prompts)
    with pytest.raises(NotFound, match="There is no prompt 'suport'"):
        prompts.resolve("suport")


def test_no_text_is_in_the_clear(prompts: ProjectPrompts, tmp_path: Path) -> None:
    create(prompts, "Zq8-unlikely {{shop}}")
    contents = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert contents
    assert not any(b"Zq8-unlikely" in content for content in contents)


def test_projects_are_apart(all_prompts: Prompts, database: Database, store: Store) -> None:
    mine, theirs = all_prompts.of("acme"), all_prompts.of("other")
    assert create(mine) == create(theirs) == "support@1"
    blobs = {each.resolve("support").blob for each in (mine, theirs)}
    assert len(blobs) == 2
    assert digests_in_use(database) == blobs
    used = blob_users(database, [mine.resolve("support").blob])
    assert [*used.values()] == [["the prompt support@1 of the project acme"]]
    all_prompts.remove_project("acme")
    assert mine.list() == []
    assert theirs.text(theirs.resolve("support")).text.startswith("You help")
    assert len(list(store.digests())) == 1


def test_versions_are_compared_in_words(prompts: ProjectPrompts) -> None:
    create(prompts)
    create(prompts, "---\ntone: {enum: [formal, friendly], default: formal}\n---\nYou help.\nBe {{tone}}.")
    create(prompts, TEXT.replace("40", "30"))
    first, second, third = (prompts.text(prompts.resolve(f"support@{number}")) for number in (1, 2, 3))
    found = compare(first, second)
    assert (found.older, found.newer, found.num_added, found.num_removed) == ("support@1", "support@2", 2, 2)
    assert found.lines[3:] == ["-You help the customers of {{shop}}.", "-Be brief.", "+You help.", "+Be {{tone}}."]
    assert [change.sentence for change in found.variables] == [
        "The variable shop is gone.",
        "The variable tone is new: 'formal' or 'friendly', by default 'formal'.",
    ]
    (change,) = compare(first, third).variables
    assert change.change == "changed"
    assert change.sentence == (
        "The variable shop takes a text of at most 30 characters; it took a text of at most 40 characters."
    )
    assert not compare(first, first).lines
