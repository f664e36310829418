"""One model in Chromium: whether it fits, the work on it, its labels, signatures and children."""

import hashlib
from pathlib import Path

import pytest
from playwright.sync_api import expect

from support.chromium import HOSTILE, Visit
from support.real_server import Running, ask
from support.tiny_gguf import write_gguf

pytestmark = [pytest.mark.browser, pytest.mark.process]


def test_memory_is_calculated_in_bytes_before_anything_is_loaded(ann: Visit, server: Running) -> None:
    page = ann.open("/deployments")
    page.get_by_role("button", name="Check the memory first").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Does smollm2@1 fit?")
    page.get_by_label("Tokens per stream").fill("2048")
    page.get_by_label("Streams at once").fill("2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="It fits")).to_be_visible()
    fit = ask(server, "GET", "/llmos/v1/models/smollm2/fit?context=2048&streams=2")
    memory = page.get_by_role("table", name="Memory")
    for part in ("weights", "kv", "workspace", "process", "total"):
        expect(memory).to_contain_text(f"{fit['bytes'][part]:,}")
    expect(page.get_by_text(f"kv_bytes={fit['bytes']['kv']}")).to_be_visible()
    page.get_by_role("button", name="Deploy smollm2@1").click()
    expect(page.get_by_role("status").first).to_contain_text("smollm2@1 is deployed")
    wanted = ask(server, "GET", "/llmos/v1/deployments/smollm2@1")["wanted"]
    assert wanted["options"] == fit["options"]
    ask(server, "DELETE", "/llmos/v1/deployments/smollm2@1")


def test_what_does_not_fit_says_what_would(ann: Visit) -> None:
    page = ann.open("/models/smollm2@1/fit?context=8192&streams=900000")
    expect(page.get_by_role("heading", name="It doesn't fit")).to_be_visible()
    expect(page.get_by_text("are missing")).to_be_visible()
    expect(page.locator(".choices pre").first).to_contain_text("llmos fit smollm2@1 --context 8192 --streams")
    expect(page.get_by_role("button", name="Deploy smollm2@1")).to_have_count(0)
    page.get_by_label("Tokens per stream").fill("9000")
    page.get_by_role("button", name="Calculate").click()
    expect(page.get_by_role("alert")).to_contain_text("this model takes 1 to 8,192 tokens")


def test_a_job_is_found_again_after_a_reload_and_a_wrong_recipe_is_refused(ann: Visit) -> None:
    page = ann.open("/models/smollm2@1")
    page.get_by_role("link", name="Quantize, prune, measure, verify").click()
    page.locator("#q-scheme").select_option("q4_0")
    page.locator("#q-bits").fill("3")
    page.get_by_role("button", name="Quantize").click()
    expect(page.get_by_role("alert")).to_contain_text("q4_0 has no option 'bits'")
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("status").first).to_contain_text("The job “Verify” is started")
    failed = page.locator("#jobs .panel").first
    expect(failed).to_contain_text("failed")
    expect(failed.locator(".notice")).to_contain_text("smollm2@1")
    page.reload()
    expect(page.locator("#jobs .panel").first).to_contain_text("Verify")


def test_a_quantized_version_is_drawn_beside_its_parent(ann: Visit, server: Running) -> None:
    page = ann.open("/models/smollm2@1/jobs")
    page.locator("#q-scheme").select_option("q8_0")
    page.locator("#q-name").fill("made-here")
    page.get_by_label("measure its card, too").first.uncheck()
    page.get_by_role("button", name="Quantize").click()
    page.locator("#jobs").get_by_role("link", name="made-here@1").click(timeout=180_000)
    graph = page.get_by_role("group", name="Parents and children").last
    expect(graph.get_by_text("q8_0")).to_be_visible()
    graph.get_by_role("link", name="smollm2@1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("smollm2@1")
    expect(page.locator("svg.lineage").get_by_role("link", name="made-here@1")).to_be_visible()
    ask(server, "DELETE", "/llmos/v1/models/made-here")


def test_labels_are_edited_and_their_history_is_shown(ann: Visit, server: Running) -> None:
    before = ask(server, "GET", "/llmos/v1/models/smollm2@1/labels")
    page = ann.open("/models/smollm2@1")
    expect(page.get_by_label("description", exact=True)).to_have_value(HOSTILE)
    page.get_by_label("Tags, one a line").fill("team=search\napproved")
    page.get_by_role("button", name="Set the labels").click()
    expect(page.get_by_role("status").first).to_contain_text("The labels of smollm2@1 are set")
    expect(page.get_by_role("table", name="Labels")).to_contain_text("tag approved")
    assert ask(server, "GET", "/llmos/v1/models/smollm2@1/labels")["tags"] == {"team": "search", "approved": ""}
    ask(server, "PATCH", "/llmos/v1/models/smollm2@1/labels", before | {"remove_tags": ["team", "approved"]})


def test_what_is_no_signature_is_refused(ann: Visit) -> None:
    page = ann.open("/models/smollm2@1")
    expect(page.get_by_text("It has no signature.")).to_be_visible()
    page.get_by_text("Add a signature").first.click()
    page.get_by_label("A sigstore bundle").fill(HOSTILE)
    page.get_by_role("button", name="Add a signature").click()
    expect(page.get_by_role("alert")).to_be_visible()


def test_a_model_is_imported_from_the_visitors_computer(ann: Visit, server: Running, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path)
    page = ann.open("/models")
    page.get_by_label("Name of the model").fill("from-here")
    page.get_by_role("button", name="Import from this computer").click()
    expect(page.locator("#import-note")).to_contain_text("No file is chosen")
    page.get_by_label("GGUF file").set_input_files(path)
    page.get_by_role("button", name="Import from this computer").click()
    expect(page.get_by_role("status").first).to_contain_text("The files of from-here have arrived")
    jobs = "/llmos/v1/jobs?kind=model_import"
    while not (found := [each for each in ask(server, "GET", jobs)["data"] if each["ended_at"]]):
        page.evaluate("new Promise(requestAnimationFrame)")
    assert found[0]["result"]["version"] == "from-here@1"
    file = ask(server, "GET", "/llmos/v1/models/from-here/details")["files"][0]
    assert file["digest"] == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    page = ann.open("/models")
    expect(page.get_by_role("link", name="from-here@1")).to_be_visible()
    ask(server, "DELETE", "/llmos/v1/models/from-here")
