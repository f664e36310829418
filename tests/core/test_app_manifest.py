"""app.yaml: each fault is one sentence that names the field or the line, and what is allowed."""

import pytest

from llmos.core.app_manifest import parse_manifest
from llmos.core.errors import BadRequest
from llmos.core.schemas.app_manifests import WebhookHandoff


def test_a_manifest_has_what_its_file_says() -> None:
    manifest = parse_manifest(
        "name: support\nknowledge: {name: faq, answer: compose}\nhandoff: {webhook: 'https://example.org/h'}\n"
        "mcp: {shop: {command: [shop-mcp, --read-only]}}\nlimits: {seconds: 30}"
    )
    assert (manifest.name, manifest.model) == ("support", "dialogue")
    assert manifest.knowledge is not None
    assert (manifest.knowledge.top_k, manifest.knowledge_names) == (5, ["faq"])
    assert manifest.handoff == WebhookHandoff(webhook="https://example.org/h")
    assert manifest.mcp["shop"].command == ["shop-mcp", "--read-only"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nme: support", "app.yaml: there is no field `nme`. Did you mean name"),
        ("name: a\nknowledge: {name: b, topk: 3}", "no field `knowledge.topk`. Did you mean top_k"),
        ("name: a\nmcp: {shop: {cmd: [b]}}", "Did you mean command"),
        ("name: a\nhandoff: {webhok: x}", "Did you mean webhook"),
        ("name: a\nmcp: {shop: {}}", "`mcp.shop` has either a `command` or a `url`"),
        ("name: Support!", "`name`: Expected `str` matching"),
        ("name: a\nlimits: {steps: 0}", "`limits.steps`: Expected `int` >= 1"),
        ("name: a\nmodel: 3", "`model`: Expected `str`, got `int`"),
        ("name: a\nname: b", "line 2: the key 'name' stands there twice"),
        ("a: &x [1]\nb: *x", "line 2: aliases (*name) are not allowed"),
        ("name: [", "line 1: expected"),
        ("1: x", "line 1: the key '1' must be a text"),
        ("- name", "must have fields"),
        ("name: \x01", "isn't YAML"),
        ("name: a\n" + "# x" * 100_000, "larger than 256 KB"),
        ("[" * 20_000, "isn't YAML"),
        ("name: !!python/object/apply:os.system ['true']", "line 1: could not determine a constructor"),
    ],
)
def test_a_fault_is_one_sentence(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as error:
        parse_manifest(text)
    assert message in error.value.message
    assert "\n" not in error.value.message


def test_dates_stay_texts() -> None:
    assert parse_manifest("name: a\nvariables: {since: 2026-01-02}").variables == {"since": "2026-01-02"}
