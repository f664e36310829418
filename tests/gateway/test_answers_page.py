"""docs/monitoring.md: its commands and programs about answers and the log work, with a server and without."""

import json
import re
import shlex
from dataclasses import replace

import pytest

from llmos.apps import App
from llmos.cli import main
from llmos.client import AsyncClient, Client
from llmos.core.clock import utc_now
from llmos.core.log_files import LogFiles
from llmos.core.schemas.answers import AnswerTimings
from llmos.gateway.calls.record import Record, Recorder
from llmos.gateway.log import Log, LogSink
from llmos.gateway.services import Services
from llmos.security.callers import owner
from support.doc_pages import DocPage
from support.scripted import KEY

PAGE = DocPage("monitoring.md")


@pytest.fixture
def asked(served: str, services: Services, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the id of an answer of a server that commands and programs ask."""
    monkeypatch.setenv("LLMOS_ENDPOINT", served)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    monkeypatch.setenv("LLMOS_DATABASE_URL", services.settings.database_url)
    monkeypatch.setenv("LLMOS_HOME", str(services.settings.home))
    with Client() as client:
        return client.models.get("dialogue").chat([{"role": "user", "content": "Hi"}]).id


def test_the_program_works(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = PAGE.blocks("python", "Answers")
    exec(compile(program, "docs/monitoring.md", "exec"), {})
    first, valid = capsys.readouterr().out.splitlines()
    assert (first.split()[:2], valid) == ([asked, "smollm2@1"], "True")


@pytest.mark.parametrize("is_remote", [True, False])
def test_every_command_works_with_a_server_and_without(
    is_remote: bool, asked: str, services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if is_remote:
        monkeypatch.setattr("llmos.cli.control.opening.is_remote", lambda settings: True)
    else:
        monkeypatch.delenv("LLMOS_API_KEY")
        services.answer_sink.flush()
    for command in PAGE.blocks("sh", "Answers")[0].splitlines():
        program, *arguments = shlex.split(command.replace("ANSWER_ID", asked))
        assert program == "llmos"
        assert main(arguments) == 0, f"{command}: {capsys.readouterr().err}"
    shown = capsys.readouterr().out
    assert re.search(r"tokens +5 input \(0 cached\), 3 output", shown)
    assert "signed by" in shown
    assert main(["answer", "show", asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_receipt_valid"] is True
    assert main(["answer", "show", "answer-none"]) == 2
    assert "There is no answer 'answer-none'" in capsys.readouterr().err


def test_the_page_has_every_time() -> None:
    table = PAGE.text.partition("| `timings` | seconds |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(AnswerTimings.__struct_fields__)


def test_an_application_knows_what_its_run_costs(served: str, services: Services) -> None:
    services.billing.price_books.set({"currency": "EUR", "prices": {"default": {"per_call": "0.25"}}})
    with App("writer", model="dialogue", connect=lambda: AsyncClient(served, api_key=KEY)) as app:
        run = app.run("Hi")
    assert (run.cost, run.currency) == (250_000_000, "EUR")
    with Client(served, api_key=KEY) as client:
        kept = client.runs.get(run.id)
        assert (kept.usage.cost, kept.usage.currency) == (250_000_000, "EUR")
        assert client.answers.list().data[0].cost == "0.25"


@pytest.mark.parametrize("is_remote", [True, False])
def test_every_command_about_the_log_works(
    is_remote: bool, asked: str, services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if is_remote:
        monkeypatch.setattr("llmos.cli.control.opening.is_remote", lambda settings: True)
    else:
        monkeypatch.delenv("LLMOS_API_KEY")
    files = LogFiles(services.settings.logs_path, max_bytes=100_000)
    log = Log("off", files=files)
    Recorder([LogSink(log)])._deliver("on_closed", _record("req_9"))
    log.close()
    for command in PAGE.blocks("sh", "The log")[0].splitlines():
        capsys.readouterr()
        program, *arguments = shlex.split(command.replace("REQUEST_ID", "req_9"))
        assert program == "llmos"
        assert main(arguments) == 0, f"{command}: {capsys.readouterr().err}"
    (line,) = json.loads(capsys.readouterr().out)["data"]
    assert (line["request"], line["event"]) == ("req_9", "request")


def _record(request_id: str) -> Record:
    caller = replace(owner(), request_id=request_id)
    return Record("answer-9", "generate", "dialogue", caller, utc_now(), outcome="answered")


def test_the_live_view_shows_what_the_server_does(
    asked: str, services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    services.billing.price_books.set({"currency": "EUR", "prices": {"default": {"per_call": "0.25"}}})
    with Client() as client:
        client.models.get("dialogue").chat([{"role": "user", "content": "Hi"}])
        services.billing.ledger_writer.flush()
        activity = client.activity()
    assert activity.num_answered >= 2
    assert activity.spend.hour == activity.spend.day == {"EUR": "0.25"}
    for command in PAGE.blocks("sh", "A live view")[0].splitlines():
        assert main([*shlex.split(command)[1:], "--every", "0.2"]) == 0, capsys.readouterr().err
    shown, _, printed = capsys.readouterr().out.partition("{")
    assert "spend this hour  0.25 EUR" in shown
    assert json.loads("{" + printed)["num_answered"] == activity.num_answered
