"""docs/releases.md: its app.yaml files are ones that LLMOS reads, and its files are there."""

import pytest

from llmos.core.app_manifest import parse_manifest
from support.doc_pages import DocPage

PAGE = DocPage("releases.md")


@pytest.mark.parametrize("text", PAGE.blocks("yaml"))
def test_a_manifest_of_the_page_is_read(text: str) -> None:
    manifest = parse_manifest(text if "name:" in text else f"name: support\n{text}")
    assert manifest.name == "support"
    assert manifest.evals[0] == "evals/cases.yaml"
