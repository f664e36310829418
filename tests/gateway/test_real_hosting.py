"""Hosted applications on the real server, with the real model and unmodified clients."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anthropic
import openai
import pytest

from llmos.client import Client
from llmos.core.errors import Conflict
from support.hosted_apps import write_echo
from support.looking import pause_thread
from support.real_server import KEY, Running, serving
from support.releases import apply

pytestmark = pytest.mark.process

MANIFEST = """name: faq
model: smollm2
prompt: You help the customers of {{shop}}. Be brief.
variables: {shop: Acme}
options: {max_tokens: 12, temperature: 0}
"""
PROGRAM = """
from llmos.apps import App, Citation, Reply, Sentence

PLACE = Citation(knowledge="faq@1", document="hours.md", start=3, end=28, quote="We are open from 9 to 5.")


def brain(text, before):
    cited = Sentence(text="We are open from 9 to 5.", citations=(PLACE,))
    return Reply(text="Yes. We are open from 9 to 5. Bye.", sentences=(cited,))


app = App.from_folder(__file__, brain=brain)
"""


@pytest.fixture(scope="module")
def client(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a server with two applications: `faq` asks the model, and `cites` cites."""
    folder = tmp_path_factory.mktemp("apps")
    for name in ("faq", "cites"):
        (folder / name).mkdir()
    (folder / "faq" / "app.yaml").write_text(MANIFEST)
    (folder / "cites" / "app.yaml").write_text("name: cites\nmodel: smollm2\n")
    (folder / "cites" / "app.py").write_text(PROGRAM)
    with Client(running.url, api_key=KEY) as client:
        for name in ("faq", "cites"):
            deployed = client.apps.deploy(client.apps.create(folder / name).version)
            assert deployed.state == "ready", deployed.reason
        yield client
        for name in ("faq", "cites"):
            client.apps.stop(name)


def test_openais_client_gets_the_models_answer(running: Running, client: Client) -> None:
    with running.openai() as openais:
        question = [{"role": "user", "content": "Say hello."}]
        whole = openais.chat.completions.create(model="app:faq", messages=question, user="ada")  # type: ignore[arg-type]
        pieces = openais.chat.completions.create(
            model="app:faq",
            messages=question,  # type: ignore[arg-type]
            stream=True,
            stream_options={"include_usage": True},
            metadata={"shop": "Acme", "trace": "1"},
        )
        chunks = [*pieces]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert whole.choices[0].message.content == text
    assert text
    assert whole.model == "app:faq@1"
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 12
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens > 10
    assert client.apps.run("faq", "Say hello.").text == text
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    with running.openai() as openais, pytest.raises(openai.BadRequestError, match="has tools of its own"):
        openais.chat.completions.create(model="app:faq", messages=question, tools=[tool])  # type: ignore[call-overload]


def test_citations_are_annotations_for_openais_client(running: Running, client: Client) -> None:
    text = "Yes. We are open from 9 to 5. Bye."
    with running.openai() as openais:
        question = [{"role": "user", "content": "When?"}]
        message = openais.chat.completions.create(model="app:cites", messages=question).choices[0].message  # type: ignore[arg-type]
        response = openais.responses.create(model="app:cites", input="When?")
        streamed = openais.chat.completions.create(model="app:cites", messages=question, stream=True)  # type: ignore[arg-type]
        deltas = [chunk.choices[0].delta for chunk in streamed]
    assert message.content == text
    assert message.annotations is not None
    (annotation,) = message.annotations
    cited = annotation.url_citation
    assert text[cited.start_index : cited.end_index] == "We are open from 9 to 5."
    assert (cited.title, cited.url.partition("?")[0]) == ("hours.md", "/llmos/v1/knowledge/faq@1/documents/hours.md")
    assert [each for delta in deltas for each in getattr(delta, "annotations", None) or ()]
    part = response.output[0].content[0]  # type: ignore[union-attr, index]
    (citation,) = part.annotations  # type: ignore[union-attr]
    assert (citation.type, citation.filename, citation.index) == ("file_citation", "hours.md", 29)  # type: ignore[union-attr]


def test_citations_reach_anthropics_client(running: Running, client: Client) -> None:
    with anthropic.Anthropic(base_url=running.url, api_key=KEY, max_retries=0) as anthropics:
        asked = {"model": "app:cites", "max_tokens": 100, "messages": [{"role": "user", "content": "When?"}]}
        message = anthropics.messages.create(**asked)  # type: ignore[call-overload]
        with anthropics.messages.stream(**asked) as stream:  # type: ignore[arg-type]
            streamed = stream.get_final_message()
    for each in (message, streamed):
        (block,) = each.content
        assert block.text == "Yes. We are open from 9 to 5. Bye."
        (citation,) = block.citations
        assert (citation.type, citation.document_title) == ("char_location", "hours.md")
        assert citation.cited_text == "We are open from 9 to 5."
    assert message.model == "app:cites@1"


def test_a_server_that_is_killed_leaves_no_process_and_the_next_one_starts_what_is_deployed(
    tmp_path: Path,
) -> None:
    """It is killed in the middle of the evals of a release: nothing is released, and they go on where they were."""
    home = tmp_path / "home"  # Two servers on one home have a process each.
    next_version = write_echo(tmp_path / "next", "v2", name="survivor", manifest="evals: [evals/cases.yaml]\n")
    (next_version / "evals").mkdir()
    (next_version / "evals" / "cases.yaml").write_text(
        "- {id: quick, input: hi, expect: {contains: v2 heard}}\n"
        f"- {{id: held, input: hold {tmp_path / 'go'}, expect: {{contains: v2 heard}}}}\n"
    )
    with serving(home) as server, Client(server.url, api_key=KEY) as client:
        folder = write_echo(tmp_path / "echo", name="survivor")
        deployed = client.apps.deploy(client.apps.create(folder).version)
        (key,) = [each for each in client.keys.list() if each.app == "survivor" and each.state == "active"]
        assert client.apps.create(next_version).version == "survivor@2"
        (begun,) = client.apps.start_check("survivor", 2).evals
        while client.evals.get(begun.id).num_done == 0:
            pause_thread()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        assert deployed.pid is not None
        while _is_alive(deployed.pid):
            pause_thread()
    with serving(home) as server, Client(server.url, api_key=KEY) as client:
        assert client.apps.run("survivor", "hello").text == "v1 heard hello"
        assert client.keys.get(key.id).state == "revoked"
        assert client.apps.releases("survivor") == []
        with pytest.raises(Conflict, match="survivor@2 isn't released: it is still being asked"):
            apply(client, next_version, "")
        (tmp_path / "go").touch()
        found = client.apps.check("survivor", 2)
        assert (found.verdict, [run.id for run in found.evals]) == ("passed", [begun.id])
        assert apply(client, next_version, "").state == "active"
        assert client.apps.run("survivor", "hello").text == "v2 heard hello"
        client.apps.stop("survivor")
        assert server.end() == 0


def _is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
