"""The applications `summarize` and `write` with the real model: whatever it writes, what they promise holds."""

from pathlib import Path
from typing import Any

import pytest

import llmos.applications
from llmos.applications.figures import MARK, unverified
from llmos.applications.summarize import Summarizer
from llmos.applications.write import Writer
from llmos.apps import App, Limits
from llmos.client import AsyncClient
from support.doc_pages import DocPage
from support.real_server import KEY, Running

MINUTES = Path(llmos.applications.__file__).parent / "summarize" / "template" / "data" / "minutes.md"

pytestmark = pytest.mark.process


def run(running: Running, brain: Any, input: Any, **variables: Any) -> Any:
    app = App(
        "writing",
        model="smollm2",
        prompt="Write short, plain sentences.",
        brain=brain,
        options={"temperature": 0},
        limits=Limits(steps=100),
        connect=lambda: AsyncClient(running.url, api_key=KEY),
    )
    with app:
        return app.run(input, variables=variables)


def test_a_composed_summary_cites_places_of_the_document_through_its_levels(running: Running) -> None:
    text = MINUTES.read_text()
    found = run(running, Summarizer(chunk_tokens=300), text, mode="compose", sentences=2, unsupported="mark")
    assert found.usage.num_calls >= 3, "chunks, and their summaries together"
    assert 1 <= len(found.sentences) <= 2
    assert found.citations
    for citation in found.citations:
        assert text[citation.start : citation.end] == citation.quote
    prompts = [step for step in found.steps if step.key.startswith("ask:")]
    assert len(prompts) == found.usage.num_calls, "each is in the journal"


def test_chunks_fit_by_the_servers_count_in_any_script(running: Running) -> None:
    text = "記録された文はここにあります。" * 40 + "x" * 600
    found = run(running, Summarizer(chunk_tokens=300), text, mode="compose", sentences=1)
    asked = [step.result["usage"]["prompt_tokens"] for step in found.steps if step.key.startswith("ask:")]
    assert len(asked) >= 3
    assert max(asked) <= 300


def test_a_text_has_its_facts_and_marks_on_figures_without_a_source(running: Running) -> None:
    brief = {
        "topic": "The new bakery in Leipzig",
        "facts": ["The bakery opens on 1 May 2027", "A roll costs 80 cents"],
        "words": 80,
        "sections": 2,
    }
    found = run(running, Writer(), brief)
    assert found.text.startswith("# ")
    assert found.text.count("\n## ") == 2
    met = found.output["constraints"]
    assert met["fact: The bakery opens on 1 May 2027"]
    assert met["fact: A roll costs 80 cents"]
    known = [brief["topic"], *brief["facts"]]
    for figure in unverified(found.text, known):
        assert found.text.startswith(MARK, figure.span[1])
        assert figure.text in found.output["unverified"]


def test_polishing_changes_no_figure_and_no_name(running: Running) -> None:
    text = "We has 12 shops in 3 towns since 2019.\n\nYesterday Ada Okafor meet the mayor of Leipzig."
    found = run(running, Writer(), text, task="polish")
    for kept in ("12", "3 towns", "2019", "Okafor", "Leipzig"):
        assert kept in found.text
    assert found.output["is_changed"] == (found.text != text)


def test_the_page_says_what_happens(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    said = {}
    for section in ("`summarize`", "`write`"):
        names: dict[str, Any] = {}
        for program in DocPage("applications.md").blocks("python", section):
            exec(compile(program, "docs/applications.md", "exec"), names)
        names["app"].close()
        said[section] = capsys.readouterr().out
    assert said["`summarize`"].splitlines()[:2] == [
        "The council voted for a bridge of steel.",
        "(89, 129)",
    ]
    assert "opens on 1 May 2027" in said["`write`"]
    assert "[-" in said["`write`"]
