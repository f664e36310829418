"""Vector stores and file_search on the real server, with smollm2 and minilm, by the official client."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from support.default_model import pull_stored
from support.doc_pages import DocPage
from support.minilm import pull_minilm
from support.real_server import KEY, Running, serving

pytestmark = pytest.mark.process

TEXTS = {
    "guarantee.md": "# Guarantee\n\nThe guarantee covers all parts of the kettle for 24 months.\n",
    "hours.md": "# Opening hours\n\nThe shop is open from nine to five. On Sundays it is closed.\n",
    "broken.pdf": "%PDF-1.4 and nothing else",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path, smollm2_path: Path) -> Iterator[Running]:
    from llmos.core.config import load_settings
    from llmos.models import open_registry

    home = tmp_path_factory.mktemp("home")
    pull_minilm(home, shared_folder)
    pull_stored(open_registry(load_settings({"LLMOS_HOME": str(home)})), smollm2_path)
    with serving(home, "smollm2") as running:
        yield running


@pytest.fixture(scope="module")
def client(running: Running) -> openai.OpenAI:
    return running.openai()


@pytest.fixture(scope="module")
def ids(client: openai.OpenAI) -> dict[str, str]:
    return {
        name: client.files.create(file=(name, text.encode()), purpose="assistants").id for name, text in TEXTS.items()
    }


@pytest.fixture(scope="module")
def store(client: openai.OpenAI, ids: dict[str, str]) -> str:
    store = client.vector_stores.create(name="Shop")
    batch = client.vector_stores.file_batches.create_and_poll(
        store.id, file_ids=list(ids.values()), poll_interval_ms=100
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 2, 1)
    return store.id


def test_files_are_read_by_a_job_and_found_by_their_meaning(
    client: openai.OpenAI, ids: dict[str, str], store: str
) -> None:
    assert client.vector_stores.retrieve(store).status == "completed"
    broken = client.vector_stores.files.retrieve(ids["broken.pdf"], vector_store_id=store)
    assert broken.last_error is not None
    assert broken.last_error.message.startswith("broken.pdf can't be read.")
    best = client.vector_stores.search(store, query="At which times do you sell?").data[0]
    assert best.file_id == ids["hours.md"]
    best = client.vector_stores.search(store, query="warranty period").data[0]
    assert (best.file_id, best.filename) == (ids["guarantee.md"], "guarantee.md")


@pytest.mark.parametrize("stream", [False, True])
def test_the_model_answers_from_the_files_and_each_citation_holds(
    client: openai.OpenAI, ids: dict[str, str], store: str, stream: bool
) -> None:
    asked: dict[str, Any] = {
        "model": "smollm2",
        "input": "How long is the guarantee of the kettle?",
        "tools": [{"type": "file_search", "vector_store_ids": [store]}],
        "tool_choice": {"type": "file_search"},
        "include": ["file_search_call.results"],
        "max_output_tokens": 200,
        "temperature": 0,
    }
    if stream:
        *_, last = client.responses.create(**asked, stream=True)
        response = last.response  # type: ignore[union-attr]
    else:
        response = client.responses.create(**asked)
    search = response.output[0]
    assert search.type == "file_search_call"
    assert search.results is not None
    assert search.results[0].file_id == ids["guarantee.md"]
    text = response.output[-1].content[0]  # type: ignore[union-attr]
    assert "24 months" in text.text
    assert text.annotations
    for each in text.annotations:
        assert each.file_id == ids["guarantee.md"]
        assert "24 months" in text.text[: each.index]


@pytest.mark.parametrize(("what", "said"), [("file_search", "['guarantee.md'"), ("vector_stores.search(", "hours.md")])
def test_the_programs_of_the_page_work(
    running: Running, capsys: pytest.CaptureFixture[str], what: str, said: str
) -> None:
    (program,) = (each for each in DocPage("api.md").blocks("python") if what in each)
    names: dict[str, Any] = {"key": KEY}
    exec(compile(program.replace("http://127.0.0.1:8000", running.url), "docs/api.md", "exec"), names)
    assert said in capsys.readouterr().out


def test_knowledge_is_measured_with_a_dataset(running: Running, client: openai.OpenAI, store: str) -> None:
    from llmos import Client

    cases = running.home / "questions.jsonl"
    cases.write_text(
        '{"input": "How long is the guarantee?", "expected": {"quote": "24 months"}}\n'
        '{"input": "Who painted the Mona Lisa?", "expected": null}\n'
    )
    with Client(endpoint=running.url, api_key=KEY) as own:
        own.datasets.import_path(cases, "questions", shape="case")
        report = own.knowledge.evaluate(store, "questions")
        assert (report.num_answerable, report.num_unanswerable) == (1, 1)
        assert report.no_threshold is not None
        assert own.knowledge.evaluation(store).figures == report.figures
        assert own.knowledge.search(store, "guarantee").answerable is None
