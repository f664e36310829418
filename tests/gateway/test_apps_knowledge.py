"""An application over the server's knowledge, with the real embedding model: answers are quoted."""

from pathlib import Path

import pytest

from llmos.apps import App, Knowledge
from llmos.apps.testing import Cassette
from llmos.client import AsyncClient, Client
from support.minilm import pull_minilm
from support.real_server import KEY, serving

pytestmark = pytest.mark.process


def test_an_answer_is_sentences_of_the_documents(tmp_path: Path, shared_folder: Path) -> None:
    pull_minilm(tmp_path / "home", shared_folder)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "hours.md").write_text(
        "# Hours\n\nWe open at nine on weekdays. On Sundays the shop is closed.\n"
    )
    (tmp_path / "shop" / "guarantee.md").write_text("# Guarantee\n\nTwo years. Batteries are excluded.\n")
    with serving(tmp_path / "home", "minilm") as running, Client(running.url, api_key=KEY) as client:
        client.knowledge.add("faq", tmp_path / "shop")
        connect = lambda: AsyncClient(running.url, api_key=KEY)  # noqa: E731
        with App("support", knowledge=Knowledge("faq"), connect=connect) as app:
            run = app.run("Is the shop open on Sundays?", session="u42")
            with Cassette(tmp_path / "faq.json").plays(app):
                assert app.run("Are batteries part of the guarantee?").text == "Batteries are excluded."
        (citation,) = run.citations
        assert run.text == citation.quote == "On Sundays the shop is closed."
        looked_up = client.knowledge.passage("faq", "hours.md", start=citation.start, end=citation.end)
        assert looked_up.quote == run.text
        assert [step.kind for step in client.runs.get(run.id).steps] == ["retrieval", "model"]
    with App("support", knowledge=Knowledge("faq")) as app, Cassette(tmp_path / "faq.json").plays(app):
        assert app.run("Are batteries part of the guarantee?").text == "Batteries are excluded."
