"""The folder that `llmos app init translate` copies, with a script in place of the model."""

import shutil
from pathlib import Path

import pytest

import llmos.applications.translate
from llmos.applications.translate import TranslationRefused
from llmos.applications.translate.__main__ import main
from llmos.apps import App, DoneEvent, TextEvent
from llmos.apps.testing import Script
from llmos.core.errors import BadRequest
from llmos.hosting.folder import AppFolder

TEMPLATE = Path(llmos.applications.translate.__file__).parent / "template"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TEMPLATE, tmp_path / "translate", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def app(folder: Path) -> App:
    return AppFolder.open(folder).load()


def test_it_translates_with_glossary_and_memory(app: App) -> None:
    with Script("Unsere Rückgaberegel für {name}: ja.").plays(app) as script:
        run = app.run("Thank you for your order.\nOur refund policy for {name}: yes.")
    assert run.text == "Vielen Dank für Ihre Bestellung.\nUnsere Rückgaberegel für {name}: ja."
    (prompt,) = script.prompts
    assert [message["role"] for message in prompt.messages] == ["system", "user"]
    assert prompt.messages[0]["content"].startswith("You translate from English to German.")
    assert prompt.messages[1]["content"] == "Translate into German: Our Rückgaberegeln for {name}: yes."
    assert "regex" in prompt.options


def test_languages_are_variables_of_a_run(app: App) -> None:
    with Script().plays(app):
        assert app.run("Thank you for your order.", variables={"target": "fr"}).text == "Merci pour votre commande."
        with pytest.raises(BadRequest, match="'xyzzy' is no language"):
            app.run("Hello", variables={"target": "xyzzy"})


def test_a_stream_has_a_line_at_a_time_and_the_run_has_the_notes(app: App) -> None:
    with Script("Eins.", "Zwei", "Zwei", "Zwei").plays(app):
        events = [*app.stream("One.\n\nTwo {x}.", variables={"on_failure": "source"})]
    assert [event.text for event in events if isinstance(event, TextEvent)] == ["Eins.\n\n", "Two {x}."]
    done = events[-1]
    assert isinstance(done, DoneEvent)
    assert done.run.text == "Eins.\n\nTwo {x}."
    assert done.run.notes == ("Part 2, 'Two {x}.', isn't translated: the last answer misses '{x}'.",)


def test_what_loses_a_placeholder_is_refused(app: App) -> None:
    with Script("Hallo", "Hallo", "Hallo").plays(app), pytest.raises(TranslationRefused, match=r"misses '\{name\}'"):
        app.run("Hello {name}")


def test_approvals_on_the_command_line_reach_the_app(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    languages = ["--from", "en", "--to", "de"]
    assert main(["approve", "Pay {x}.", "Zahle {x}.", *languages]) == 0
    assert main(["export", "all.tmx", *languages]) == 0
    assert main(["approve", "Pay {x}.", "Zahle.", *languages]) == 1
    assert "Error: The translation misses '{x}'." in capsys.readouterr().err
    (folder / "data" / "memory.jsonl").unlink()
    assert main(["import", "all.tmx", *languages]) == 0
    assert main(["list", *languages]) == 0
    assert "Pay {x}.\tZahle {x}." in capsys.readouterr().out
    app = AppFolder.open(folder).load()
    with Script().plays(app):
        assert app.run("Pay {x}.").text == "Zahle {x}."
