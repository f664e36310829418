"""The graph of what Versions were made from."""

from llmos.console.lineage import MAX_NODES, lineage_of
from llmos.console.pages.model_jobs import PRUNE_SCHEMES, QUANTIZE_SCHEMES
from llmos.core.schemas.models import ModelDescription
from llmos.engine.compression.recipe import SCHEMES


def version(name: str, parent: str | None = None) -> ModelDescription:
    recipe = {"kind": "quantize", "scheme": "gptq", "options": {}} if parent else None
    return ModelDescription(name=name, version=f"{name}@1", digest=name, parent=parent, recipe=recipe)


def test_ancestors_and_all_that_was_made_from_them_are_drawn_by_generation() -> None:
    stored = [version("a"), version("b", "a"), version("c", "a"), version("d", "b"), version("other")]
    lineage = lineage_of(stored[3], stored)
    places = {node.version: (node.x, node.y) for node in lineage.nodes}
    assert set(places) == {"a@1", "b@1", "c@1", "d@1"}
    columns = [places[name][0] for name in ("a@1", "b@1", "d@1")]
    assert columns == sorted(set(columns))
    assert places["b@1"][0] == places["c@1"][0]
    assert len(set(places.values())) == 4
    assert [node.version for node in lineage.nodes if node.is_shown] == ["d@1"]
    assert [node.recipe for node in lineage.nodes if node.version == "a@1"] == [""]
    assert len(lineage.edges) == 3


def test_a_parent_that_is_not_stored_is_a_node_without_a_page() -> None:
    shown = version("b", "sha256:" + "0" * 64)
    lineage = lineage_of(shown, [shown])
    assert [(node.version, node.label) for node in lineage.nodes] == [
        ("b@1", "b@1"), ("", "sha256:000000000000…"),
    ]  # fmt: skip


def test_a_version_alone_is_not_drawn_and_a_circle_ends() -> None:
    assert not lineage_of(version("a"), [version("a")]).is_worth_drawing
    circle = [version("a", "b"), version("b", "a")]
    assert len(lineage_of(circle[0], circle).nodes) <= MAX_NODES + 1


def test_a_thousand_children_are_a_few_nodes_and_a_number() -> None:
    stored = [version("a"), *(version(f"c{number:04}", "a") for number in range(1000))]
    lineage = lineage_of(stored[0], stored)
    assert len(lineage.nodes) + lineage.num_left_out == 1001
    assert len(lineage.nodes) <= MAX_NODES + 1


def test_the_forms_offer_the_schemes_that_there_are() -> None:
    assert tuple(SCHEMES["quantize"]) == QUANTIZE_SCHEMES
    assert tuple(SCHEMES["prune"]) == PRUNE_SCHEMES
