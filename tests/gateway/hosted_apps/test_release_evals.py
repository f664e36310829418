"""Evals as the gate of a release: a version is asked in a process of its own before any caller reaches it."""

import json
from pathlib import Path

import pytest

from llmos.cli import main
from llmos.client import Client
from llmos.core.errors import BadRequest, Conflict, PermissionDenied
from llmos.core.schemas.releases import ReleaseCheckDescription
from support.releases import Write, apply
from support.scripted import KEY

pytestmark = [pytest.mark.process, pytest.mark.shared_gateway]

EVALS = "evals: [evals/heard.yaml]\n"
HEARD = "cases: [{id: hi, input: hi, expect: {contains: heard hi}}, {id: v1, input: you, expect: {starts_with: v1}}]\n"


@pytest.fixture
def folder(write: Write) -> Path:
    return with_cases(write("v1", EVALS))


def with_cases(folder: Path, cases: str = HEARD, file: str = "heard.yaml") -> Path:
    (folder / "evals").mkdir(exist_ok=True)
    (folder / "evals" / file).write_text(cases)
    return folder


def checked(client: Client, folder: Path) -> ReleaseCheckDescription:
    made = client.apps.create(folder)
    return client.apps.check(made.name, int(made.version.rpartition("@")[2]))


def test_a_plan_says_what_must_pass(client: Client, folder: Path, write: Write) -> None:
    (planned,) = client.apps.plan(folder).evals
    assert planned.text == "It is asked the 2 cases of evals/heard.yaml first: all must pass."
    assert (planned.num_cases, planned.against) == (2, None)
    (planned,) = client.apps.plan(write("v1", EVALS + "gates: {pass_rate: 0.5, not_worse_by: 0.1}\n")).evals
    assert planned.text == "It is asked the 2 cases of evals/heard.yaml first: surely 50% must pass."


def test_a_version_is_released_only_with_the_evidence_that_it_passed(client: Client, name: str, folder: Path) -> None:
    with pytest.raises(Conflict, match=r"it hasn't been asked the cases of evals/heard.yaml"):
        apply(client, folder, "")
    found = checked(client, folder)
    assert (found.verdict, found.exit_status, found.version) == ("passed", 0, f"{name}@1")
    assert found.evals[0].models == [f"app:{name}@1"]
    assert found.sentences[-1] == "evals/heard.yaml: Passed."
    assert client.apps.releases(name) == []
    release = apply(client, folder, "")
    assert (release.state, release.evals) == ("active", [found.evals[0].id])
    began = next(event for event in client.apps.release_events(name) if event.kind == "began")
    assert began.reason == f"{name}@1 takes over at once; it passed {found.evals[0].id}"
    assert apply(client, folder, "").number == 1


def test_a_version_that_fails_reaches_no_caller(client: Client, name: str, folder: Path, write: Write) -> None:
    checked(client, folder)
    apply(client, folder, "")
    second = with_cases(write("v2", EVALS))
    found = checked(client, second)
    assert (found.verdict, found.exit_status) == ("failed", 4)
    with pytest.raises(Conflict, match=r"evals/heard.yaml failed \(eval-\w+\)\. all_pass: v1 must pass, and fails"):
        apply(client, second, "")
    assert client.apps.run(name, "hi").text == "v1 heard hi"
    release = apply(client, second, "", without_evals=True)
    assert (release.state, release.evals) == ("active", [])
    began = [event.reason for event in client.apps.release_events(name) if event.kind == "began"]
    assert began[-1].endswith("without the evals that it should pass")


def test_the_deployed_version_is_asked_too_where_a_gate_compares(client: Client, name: str, write: Write) -> None:
    manifest = f"{EVALS}gates: {{not_worse_by: 0.05}}\n"
    first = with_cases(write("v1", manifest))
    assert checked(client, first).verdict == "passed"
    apply(client, first, "")
    second = with_cases(write("v2", manifest))
    found = checked(client, second)
    assert (found.against, found.evals[0].models) == (f"{name}@1", [f"app:{name}@2", f"app:{name}@1"])
    assert (found.verdict, found.exit_status) == ("undecided", 5)
    assert found.evals[0].comparison is not None
    assert (found.evals[0].comparison.only_second, found.evals[0].comparison.both) == (1, 1)
    assert "would decide" in found.sentences[-2]


def test_a_version_that_does_not_start_could_not_run(client: Client, name: str, folder: Path) -> None:
    (folder / "app.py").write_text("raise RuntimeError('no key')\n")
    found = checked(client, folder)
    assert (found.verdict, found.exit_status) == ("could_not_run", 1)
    assert "RuntimeError: no key" in client.evals.get(found.evals[0].id).cases[0].reason


def test_a_version_is_asked_by_its_number_by_who_may_deploy(client: Client, name: str, folder: Path) -> None:
    client.apps.create(folder)
    assert client.apps.run(f"{name}@1", "hi").text == "v1 heard hi"
    made = client.keys.create(role="viewer")
    with Client(client.endpoint, api_key=made.key) as other, pytest.raises(PermissionDenied):
        other.evals.run({"cases": [{"id": "a", "input": "x", "expect": {"contains": "x"}}]}, models=[f"app:{name}@1"])


def test_wrong_suites_are_found_when_it_is_planned(client: Client, folder: Path, write: Write) -> None:
    with_cases(folder, "cases: [{id: a, input: x, expect: {contain: x}}]\n")
    with pytest.raises(BadRequest, match=r"evals/heard.yaml, line 1: there is no check `contain`"):
        client.apps.plan(folder)
    folder = write("v1", "evals: [evals/herd.yaml]\n")
    with pytest.raises(BadRequest, match=r"app.yaml: `evals`: there is no file 'evals/herd.yaml'"):
        client.apps.plan(folder)


def test_the_commands_have_a_status_for_each_verdict(
    client: Client,
    name: str,
    folder: Path,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", client.endpoint)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)

    def llmos(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    status, out, _ = llmos("plan", str(folder), "--evals")
    assert status == 3
    assert "? It is asked the 2 cases of evals/heard.yaml first: all must pass." in out
    assert out.splitlines()[-1] == "? evals/heard.yaml: Passed."
    assert llmos("apply", str(folder), "--yes")[0] == 0
    with_cases(write("v2", EVALS))
    status, out, _ = llmos("plan", str(folder), "--evals", "--json")
    assert (status, json.loads(out)["check"]["verdict"]) == (4, "failed")
    status, out, err = llmos("apply", str(folder), "--yes")
    assert (status, err.splitlines()[-1]) == (4, f"{name}@2 is not released.")
    assert "Gate all_pass: failed. v1 must pass, and fails." in out
    assert llmos("apply", str(folder), "--yes", "--without-evals")[0] == 0


REFUNDS = """
from llmos.apps import App

REFUNDED = {path!r}


async def brain(text, before):
    return await refund.awaited(text)


app = App.from_folder(__file__, brain=brain)


@app.step(effect=True)
def refund(order: str) -> str:
    with open(REFUNDED, "a") as file:
        file.write(order + "\\n")
    return f"{{order}} is refunded"
"""


def test_cases_have_no_effects_but_those_that_the_suite_allows(
    client: Client, folder: Path, write: Write, tmp_path: Path
) -> None:
    refunded = tmp_path / "refunded"
    (folder / "app.py").write_text(REFUNDS.format(path=str(refunded)))
    case = "id: a, input: A1, expect: {contains: is refunded}"
    refused = checked(client, with_cases(folder, f"cases: [{{{case}}}]\n"))
    assert (refused.verdict, refunded.exists()) == ("could_not_run", False)
    mocked = f"cases: [{{{case}, mocks: [{{tool: refund, arguments: {{order: A1}}, result: it is refunded}}]}}]\n"
    assert (checked(client, with_cases(folder, mocked)).verdict, refunded.exists()) == ("passed", False)
    assert checked(client, with_cases(folder, f"effects: true\ncases: [{{{case}}}]\n")).verdict == "passed"
    assert refunded.read_text() == "A1\n"
