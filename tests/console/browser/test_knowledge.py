"""The pages of knowledge in Chromium: a search by keyboard leads to its passage in the document."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from llmos.core.config import load_settings
from llmos.data.knowledge import open_knowledge
from llmos.data.knowledge.adding import sync_documents
from llmos.data.knowledge.sources import SourceDocument
from llmos.models import open_registry
from support.chromium import HOSTILE, Visit
from support.knowledge_fixtures import FakeEmbedder
from support.real_server import Running

pytestmark = [pytest.mark.browser, pytest.mark.process]


def check_access(page: Page) -> None:
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


def make_knowledge(server: Running, path: Path) -> None:
    """Make shop@1 in the server's home, with vectors of no model: it is searched by words."""
    path.write_text(f"# Guarantee\n\nTwo years. Batteries are excluded. {HOSTILE}\n\n# Repairs\n\nFive days.\n")
    registry = open_registry(load_settings({"LLMOS_HOME": str(server.home)}))
    knowledge = open_knowledge(registry.database, registry.store).of()
    source = SourceDocument(name="<img onerror=alert(1)> 🦙.md", path=path)
    sync_documents(knowledge, "shop", [source], lambda ref: FakeEmbedder())


def test_a_search_leads_to_its_passage(ann: Visit, server: Running, tmp_path_factory: pytest.TempPathFactory) -> None:
    make_knowledge(server, tmp_path_factory.mktemp("files") / "shop.md")
    page = ann.open("/knowledge")
    page.get_by_role("link", name="shop@1").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("shop@1")
    check_access(page)
    page.goto(f"{page.url}/search?mode=text")
    page.get_by_label("A question, or words").fill("batteries")
    page.keyboard.press("Enter")
    hit = page.get_by_role("article", name="Passage 1")
    expect(hit).to_contain_text("<script>alert(2)</script>")
    expect(page.get_by_role("status").first).to_contain_text("no evaluation has set a threshold")
    check_access(page)
    hit.get_by_role("link").focus()
    page.keyboard.press("Enter")
    expect(page.locator("mark")).to_contain_text("Batteries are excluded.")
    expect(page.locator("mark")).not_to_contain_text("Five days.")
    check_access(page)
