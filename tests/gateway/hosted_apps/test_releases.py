"""Releases of applications on a server: plans, steps by real runs, rollbacks, with programs that need no model."""

import io
import json
import sys
from importlib import import_module

import pytest

from llmos.cli import main
from llmos.client import Client
from llmos.core.errors import AppFailed, BadRequest, Conflict, NotFound
from llmos.gateway.services import Services
from support.releases import STEPS, Write, apply, newest, wait_for
from support.scripted import KEY

pytestmark = [pytest.mark.process, pytest.mark.shared_gateway]


def test_a_plan_says_what_would_change_and_changes_nothing(client: Client, name: str, write: Write) -> None:
    folder = write("v1")
    plan = client.apps.plan(folder, environment="prod")
    assert (plan.current, plan.version, plan.newest_release, plan.has_changes) == (None, None, 0, True)
    assert plan.changes[0].text == f"{name} isn't deployed yet. It asks smollm2 and has 0 prompts and 2 files."
    assert client.apps.releases(name) == []
    with pytest.raises(NotFound):
        client.apps.get(name)
    apply(client, folder)
    plan = client.apps.plan(folder, environment="prod")
    assert (plan.current, plan.version, plan.has_changes, plan.changes, plan.drift) == (
        f"{name}@1",
        f"{name}@1",
        False,
        [],
        [],
    )
    changed = write("v2", STEPS + "environments: {prod: {variables: {shop: Bolt}}}\n")
    plan = client.apps.plan(changed, environment="prod")
    assert [change.text for change in plan.changes] == [
        "`variables.shop` is Bolt instead of Acme Ltd.",
        "The file app.py: 1 line added, 1 removed.",
    ]
    assert '-    return f"v1 heard {text}"' in plan.changes[1].lines
    assert plan.rollout.startswith("Its callers grow in steps: 50 %, 100 %, each after 3 runs")
    assert newest(client, name).version == f"{name}@1"


def test_a_version_takes_over_by_its_runs_and_callers_stay_with_it(client: Client, name: str, write: Write) -> None:
    assert apply(client, write("v1")).state == "active"
    release = apply(client, write("v2"))
    assert (release.state, release.before) == ("starting", f"{name}@1")
    wait_for(client, name, "running", 50)
    deployed = client.apps.deployment(name)
    assert (deployed.version, deployed.candidate, deployed.candidate_state) == (f"{name}@1", f"{name}@2", "ready")
    heard: dict[str, str] = {}
    while newest(client, name).percent == 50:
        session = f"u{len(heard)}"
        heard[session] = client.apps.run(name, "hi", session=session).text
    assert {*heard.values()} <= {"v1 heard hi", "v2 heard hi"}
    for session in [each for each, text in heard.items() if text.startswith("v2")]:
        assert client.apps.run(name, "hi", session=session).text == "v2 heard hi"
    while newest(client, name).state != "active":
        assert client.apps.run(name, "hi").text == "v2 heard hi"
    pid = deployed.pid
    deployed = client.apps.deployment(name)
    assert (deployed.version, deployed.serving, deployed.candidate) == (f"{name}@2", f"{name}@2", None)
    assert deployed.pid != pid
    assert client.apps.run(name, "environment") is not None
    kinds = [event.kind for event in client.apps.release_events(name) if event.release == 2]
    assert kinds == ["began", "stepped", "stepped", "active"]


def test_a_version_that_fails_goes_back_by_itself_with_the_reason(client: Client, name: str, write: Write) -> None:
    apply(client, write("v1"))
    apply(client, write("v2"))
    wait_for(client, name, "running", 50)
    number = 0
    while newest(client, name).state == "running":
        number += 1
        with pytest.raises(AppFailed):
            client.apps.run(name, "raise it is broken", session=f"u{number}")
    release = newest(client, name)
    assert release.state == "rolled_back"
    assert "error_rate is 1" in release.reason or "calls failed" in release.reason
    assert client.apps.run(name, "hi").text == "v1 heard hi"
    plan = client.apps.plan(write("v1"), environment="prod")
    assert (plan.current, plan.drift) == (f"{name}@1", [])


def test_a_version_that_does_not_start_gets_no_caller(client: Client, name: str, write: Write) -> None:
    apply(client, write("v1"))
    folder = write("v2")
    (folder / "app.py").write_text("raise RuntimeError('no key')\n")
    apply(client, folder)
    release = wait_for(client, name, "rolled_back")
    assert "RuntimeError: no key" in release.reason
    assert client.apps.run(name, "hi").text == "v1 heard hi"


def test_a_rollback_goes_back_at_once_and_the_history_says_who_and_why(client: Client, name: str, write: Write) -> None:
    apply(client, write("v1"))
    apply(client, write("v2"), at_once=True)
    assert client.apps.run(name, "hi").text == "v2 heard hi"
    back = client.apps.roll_back(name, reason="It is rude.")
    assert (back.number, back.version, back.state) == (3, f"{name}@1", "active")
    assert client.apps.run(name, "hi").text == "v1 heard hi"
    ended = [event for event in client.apps.release_events(name) if event.kind == "rolled_back"]
    assert [(event.release, event.actor, event.reason) for event in ended] == [(2, "owner", "It is rude.")]


def test_what_other_hands_changed_is_drift(client: Client, name: str, write: Write) -> None:
    folder = write("v1")
    apply(client, folder)
    client.apps.deploy(client.apps.create(write("v2")).version)
    (sentence,) = client.apps.plan(folder, environment="prod").drift
    assert sentence.startswith(f"{name}@2 is deployed, by owner at ")
    assert sentence.endswith(f"the last release was {name}@1.")
    client.apps.stop(name)
    plan = client.apps.plan(write("v1"), environment="prod")
    assert plan.drift[0].startswith(f"{name}@1 was released, and was stopped by owner at ")
    assert plan.has_changes
    assert apply(client, write("v1")).state == "active"
    assert client.apps.plan(write("v1"), environment="prod").drift == []


def test_a_plan_that_is_overtaken_and_wrong_requests_are_refused(client: Client, name: str, write: Write) -> None:
    apply(client, write("v1"))
    with pytest.raises(Conflict, match=r"owner has released .* since this was planned \(release 1\)"):
        apply(client, write("v2"), newest_release=0)
    with pytest.raises(BadRequest, match=r"there is no environment 'pord'\. Did you mean prod"):
        client.apps.plan(write("v2"), environment="pord")
    with pytest.raises(BadRequest, match="must rise"):
        apply(client, write("v3", "rollout: {steps: [50, 20]}\n"), environment="")
    with pytest.raises(NotFound):
        client.apps.release(name, 99)
    assert newest(client, name).number == 1


def test_documents_that_would_become_knowledge_are_named(
    client: Client, name: str, write: Write, services: Services
) -> None:
    manifest = "knowledge: {name: faq, documents: faq}\n"
    folder = write("v1", manifest)
    (folder / "faq").mkdir()
    for document in ("a.md", "b.md"):
        (folder / "faq" / document).write_text("# Hours\n\nWe open at nine.\n")
    texts = [change.text for change in client.apps.plan(folder).changes]
    assert texts[1] == "The knowledge faq: 2 documents are new (a.md, b.md)."
    assert services.data.knowledge.of("owner").newest("faq") is None


def test_a_plan_names_the_package_that_its_documents_need(
    client: Client, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write("v1", "knowledge: {name: faq, documents: faq}\n")
    (folder / "faq").mkdir()
    (folder / "faq" / "a.md").write_text("# Hours\n")
    monkeypatch.setitem(sys.modules, "mammoth", None)
    monkeypatch.setattr("llmos.gateway.releases.planning.is_document_name", lambda _: import_module("mammoth"))
    with pytest.raises(BadRequest, match=r"needs the package mammoth.*pip install 'llmos\[data\]'"):
        client.apps.plan(folder)


def test_another_model_is_named_with_what_the_last_calls_would_cost(
    client: Client, name: str, write: Write, services: Services
) -> None:
    apply(client, write("v1", ""), environment="")
    folder = write("v1", "")
    (folder / "app.yaml").write_text(f"name: {name}\nmodel: dialogue\n")
    plan = client.apps.plan(folder)
    assert (plan.changes[0].kind, plan.changes[0].text) == ("model", "It asks dialogue instead of smollm2.")
    assert plan.cost is None  # Its models were never asked.


def test_the_commands_plan_apply_and_roll_back_with_statuses_of_their_own(
    name: str, write: Write, served: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", served)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)

    def llmos(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    folder = str(write("v1"))
    assert llmos("plan", folder, "--env", "prod")[0] == 3
    assert llmos("app", "releases", name)[2] == f"{name} has no release. To make one: llmos apply DIR\n"
    status, out, _ = llmos("apply", folder, "--env", "prod", "--yes")
    assert (status, out.splitlines()[-1]) == (0, f"Release 1: {name}@1 answers all callers in prod.")
    assert llmos("plan", folder, "--env", "prod")[:2] == (
        0,
        f"{name} in prod: {name}@1 is deployed.\nNothing would change.\n",
    )
    assert llmos("apply", folder, "--env", "prod")[0] == 0
    write("v2")
    status, out, _ = llmos("plan", f"{folder}/app.yaml", "--env", "prod")
    assert (status, '    +    return f"v2 heard {text}"' in out) == (3, True)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert llmos("apply", folder, "--env", "prod")[2].endswith("To run the command without questions, add --yes.\n")
    assert llmos("apply", folder, "--env", "prod", "--yes", "--at-once", "--json")[0] == 0
    assert llmos("app", "rollback", name, "--reason", "It is rude.")[1] == (
        f"Release 3: {name}@1 answers all callers in prod.\n"
    )
    events = json.loads(llmos("app", "releases", name, "--events", "--json")[1])
    assert [event["reason"] for event in events if event["kind"] == "rolled_back"] == ["It is rude."]
    assert llmos("app", "rollback", name)[0] == 2
    assert llmos("plan", folder, "--env", "pord")[2].startswith("Error: app.yaml: there is no environment 'pord'.")


def test_apply_waits_for_a_release_that_fails(
    name: str, write: Write, served: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", served)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    assert main(["apply", str(write("v1")), "--yes"]) == 0
    folder = write("v2")
    (folder / "app.py").write_text("raise RuntimeError('no key')\n")
    capsys.readouterr()
    assert main(["apply", str(folder), "--yes", "--wait"]) == 4
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"Release 2: {name}@2 was rolled back: ")
