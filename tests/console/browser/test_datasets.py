"""The pages of datasets in Chromium: an answer becomes a row by keyboard, and long lists are scrolled."""

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from llmos.client import Client
from support.chromium import HOSTILE, Visit
from support.real_server import KEY, Running

pytestmark = [pytest.mark.browser, pytest.mark.process]


def check_access(page: Page) -> None:
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


def test_an_answer_becomes_a_row_with_one_click(ann: Visit, server: Running) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    asked = {"model": "smollm2", "input": f"Hello {HOSTILE}", "max_output_tokens": 4}
    id = httpx.post(f"{server.url}/v1/responses", json=asked, headers=headers, timeout=120).json()["id"]
    page = ann.open(f"/answers/{id}")
    page.get_by_label("Dataset").fill("clicked")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("clicked@1")
    row = page.get_by_role("article", name="Row 1")
    expect(row).to_contain_text("<script>alert(2)</script>")
    expect(row).to_contain_text(id)
    page = ann.open(f"/answers/{id}")
    page.get_by_label("Dataset").fill("clicked")
    page.get_by_role("button", name="Add to the dataset").click()
    expect(page.get_by_role("alert")).to_contain_text("clicked@1 has these rows already")


def test_rows_come_as_they_are_scrolled_to_and_what_is_far_away_goes(
    ann: Visit, server: Running, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / "lines.txt"
    path.write_text("".join(f"line {n} {HOSTILE}\n" for n in range(1, 3001)))
    with Client(server.url, api_key=KEY) as client:
        client.datasets.import_path(path, "lines")
    page = ann.open("/datasets/lines@1")
    articles = page.get_by_role("article")
    expect(page.get_by_role("navigation", name="Pages of the table")).to_be_hidden()
    check_access(page)
    page.get_by_role("article", name="Row 1", exact=True).wait_for()
    page.evaluate("document.querySelector('[data-long-page=\"30\"]').scrollIntoView()")
    expect(page.get_by_role("article", name="Row 1,501", exact=True)).to_be_visible()
    expect(page.get_by_role("article", name="Row 1", exact=True)).to_have_count(0)
    assert articles.count() <= 20 * 50
    page.get_by_label("Row", exact=True).fill("2990")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article", name="Row 2,990", exact=True)).to_contain_text("line 2990")
    page.get_by_role("link", name="Query with SQL").click()
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("cell", name="3000")).to_be_visible()
    check_access(page)


def test_a_file_is_uploaded_imported_cleaned_and_compared(
    ann: Visit, server: Running, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / f"double {HOSTILE[2:30].replace('/', '_')}.txt"
    path.write_text("one two\nthree\nOne, two!\n")
    page = ann.open("/datasets")
    page.get_by_label("Name of the dataset").fill("double")
    page.get_by_label("File", exact=True).set_input_files(path)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("double")
    expect(page.locator(".row-of-data").first).to_contain_text("one two")
    check_access(page)
    page.get_by_role("button", name="Import").click()
    page.locator("#outcome").get_by_role("link", name="double@1").click()
    page.get_by_role("link", name="Clean").click()
    check_access(page)
    page.get_by_label("Recipe, in JSON").fill('[{"name": "exact_duplicates", "by": "words"}]')
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#outcome")).to_contain_text("exact_duplicates")
    expect(page.locator("#outcome").get_by_text("rows would stay")).to_be_visible()
    page.get_by_role("link", name="Back to the recipe").click()
    page.get_by_role("button", name="Clean", exact=True).click()
    expect(page.locator("#outcome")).to_contain_text("The new version is double@2")
    page.get_by_role("link", name="see which rows went, and why").click()
    expect(page.locator("main")).to_contain_text("1 went")
    expect(page.locator(".row-of-data")).to_contain_text("exact_duplicates")
