"""Recorded traffic, asked of a new version and of the deployed one: only with consent, and without any tool."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmos.cli import main
from llmos.client import Client
from llmos.core.errors import Conflict, NotFound
from llmos.core.schemas.releases import ReplayDescription
from llmos.core.schemas.runs import RunDescription
from llmos.gateway.releases.replaying import Consents
from support.releases import Write, apply
from support.scripted import KEY

pytestmark = [pytest.mark.process, pytest.mark.shared_gateway]

PROGRAM = """
from llmos.apps import App

LOOKED_UP = {path!r}


async def brain(text, before):
    if text == "break":
        raise ValueError("VERSION can't")
    return f"Your order is {{await status.awaited(text)}}."


app = App.from_folder(__file__, brain=brain)


@app.step
def status(order: str) -> str:
    with open(LOOKED_UP, "a") as file:
        file.write(order + "\\n")
    return "on its way"
"""
CONSENT = "consent: eval\n"


@pytest.fixture
def looked_up(tmp_path: Path) -> Path:
    return tmp_path / "looked-up"


@pytest.fixture
def folder(write: Write, looked_up: Path) -> Path:
    return program(write("v1", CONSENT), looked_up)


def program(folder: Path, looked_up: Path, **changes: str) -> Path:
    text = PROGRAM.format(path=str(looked_up))
    for old, new in changes.items():
        text = text.replace(old, new)
    (folder / "app.py").write_text(text)
    return folder


def replayed(client: Client, folder: Path, **options: int) -> ReplayDescription:
    made = client.apps.create(folder)
    return client.apps.replay(made.name, int(made.version.rpartition("@")[2]), **options)


def test_both_versions_are_asked_and_nothing_is_looked_up_again(
    client: Client, name: str, folder: Path, looked_up: Path
) -> None:
    apply(client, folder, "")
    for order in ("A1", "B2", "C3"):
        assert client.apps.run(name, order, user="ann").text == "Your order is on its way."
    found = replayed(client, program(folder, looked_up, Your="The"), max_runs=2)
    assert (found.version, found.against, found.num_runs, found.state) == (f"{name}@2", f"{name}@1", 2, "finished")
    assert looked_up.read_text().split() == ["A1", "B2", "C3"]
    assert found.comparison is not None
    assert {each.name: each.num_pairs for each in found.comparison.measures} == {
        "agreement": 2,
        "seconds": 2,
        "output_tokens": 2,
    }
    assert found.verdict == "undecided"
    assert found.sentences[-1] == "2 recorded runs may be asked again, which is too few to say much."
    texts = [case.answers[0].text for case in client.evals.get(found.id).cases]
    assert texts == ["The order is on its way."] * 2 + ["Your order is on its way."] * 2
    assert len(client.runs.list(app=name)) == 3
    with pytest.raises(NotFound):
        client.apps.get_replay("other", found.id)
    erased = client.erasures.forget("ann")
    assert [each.evals for each in erased.projects] == [[found.id]]
    with pytest.raises(NotFound):
        client.evals.get(found.id)


def test_what_was_not_recorded_can_not_be_judged_and_what_breaks_is_worse(
    client: Client, name: str, folder: Path, looked_up: Path
) -> None:
    apply(client, folder, "")
    for order in ("A1", "B2"):
        client.apps.run(name, order)
    other = program(folder, looked_up, **{"status.awaited(text)": "status.awaited(text + '!')"})
    found = replayed(client, other)
    assert [result.num_errors for result in found.results] == [2, 0]
    assert "2 can't be judged, such as for calls that weren't recorded" in found.sentences[0]
    broken = program(folder, looked_up, **{'text == "break"': "True"})
    found = replayed(client, broken)
    assert [(result.num_passed, result.num_failed) for result in found.results] == [(0, 2), (2, 0)]


def test_without_consent_nothing_is_asked(client: Client, name: str, write: Write, looked_up: Path) -> None:
    first = program(write("v1", ""), looked_up)
    apply(client, first, "")
    client.apps.run(name, "A1")
    agreed = program(write("v1", CONSENT), looked_up)
    found = replayed(client, agreed)
    assert (found.id, found.state, found.num_runs) == ("", "finished", 0)
    assert "doesn't say that its callers agreed" in found.left_out[0]
    apply(client, agreed, "")
    found = replayed(client, program(agreed, looked_up, Your="The"))
    assert found.num_runs == 0
    assert found.left_out == ["1 run left out: the app.yaml of their version doesn't say that callers agreed."]
    with pytest.raises(Conflict, match=r"@2 is deployed"):
        client.apps.replay(name, 2)


def test_runs_of_earlier_versions_count_right_after_a_release(
    client: Client, name: str, folder: Path, looked_up: Path
) -> None:
    apply(client, folder, "")
    client.apps.run(name, "A1")
    apply(client, program(folder, looked_up, Your="The"), "")
    assert [run.version for run in client.runs.list(app=name)] == [1]
    found = replayed(client, program(folder, looked_up, The="This"))
    assert (found.against, found.num_runs, found.left_out) == (f"{name}@2", 1, [])


def test_a_conversation_is_asked_with_what_was_said_before(
    client: Client, name: str, folder: Path, looked_up: Path
) -> None:
    talk = {"Your order": "After {len(before)} messages, your order"}
    apply(client, program(folder, looked_up, **talk), "")
    client.apps.run(name, "A1", session="s")
    assert client.apps.run(name, "B2", session="s").text.startswith("After 2 messages")
    found = replayed(client, program(folder, looked_up, **talk, **{"order is": "parcel is"}))
    texts = sorted(case.answers[0].text for case in client.evals.get(found.id).cases if case.model.endswith("@1"))
    assert [text.partition(",")[0] for text in texts] == ["After 0 messages", "After 2 messages"]


def test_the_command_shows_a_table(
    client: Client,
    name: str,
    folder: Path,
    looked_up: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", client.endpoint)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    assert main(["plan", str(folder), "--replay", "5"]) == 3
    assert "Nothing is deployed" in capsys.readouterr().err
    apply(client, folder, "")
    client.apps.run(name, "A1")
    program(folder, looked_up, Your="The")
    assert main(["plan", str(folder), "--replay", "5"]) == 3
    out = capsys.readouterr().out
    assert "answers that hold" in out
    assert f"% app:{name}@2: 1 of 1 answers hold their checks." in out


def test_a_run_without_its_version_is_of_the_deployed_one_if_it_began_since_then() -> None:
    at = datetime(2026, 12, 1, tzinfo=UTC)
    deployments = SimpleNamespace(get=lambda *_: SimpleNamespace(changed_at=at))
    consents = Consents(SimpleNamespace(deployments=deployments, apps=SimpleNamespace(project="p")), "support")  # type: ignore[arg-type]
    began = [RunDescription(created_at=at + timedelta(seconds=seconds)) for seconds in (-1, 0, 1)]
    assert [consents.has(run) for run in began] == [False, True, True]
