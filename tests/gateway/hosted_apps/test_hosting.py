"""Applications in processes of a server, with programs that need no model."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmos.client import Client
from llmos.core.errors import AppFailed, BadRequest, LLMOSError, ModelNotFound, NotFound, PermissionDenied
from llmos.gateway.control.app_deployments import check_may_deploy
from llmos.gateway.services import Services
from llmos.security.callers import Caller, owner
from llmos.security.keys import NewKey
from llmos.security.limits import Limits
from support.hosted_apps import write_echo
from support.looking import pause, pause_thread
from support.scripted import KEY

pytestmark = [pytest.mark.process, pytest.mark.shared_gateway]

Deploy = Callable[..., Any]


@pytest.fixture
def client(served: str) -> Iterator[Client]:
    with Client(served, api_key=KEY) as client:
        yield client


@pytest.fixture
def deploy(client: Client, tmp_path: Path) -> Iterator[Deploy]:
    """Deploy an echo, and stop it at the end."""
    names: set[str] = set()

    def deploy(version: str = "v1", **options: str) -> Any:
        name = options.setdefault("name", f"echo-{os.urandom(4).hex()}")
        folder = write_echo(tmp_path / f"{name}-{version}", version, **options)
        names.add(name)
        return client.apps.deploy(client.apps.create(folder).version)

    yield deploy
    for name in names:
        client.apps.stop(name)


def test_a_deployed_application_answers(client: Client, deploy: Deploy) -> None:
    deployed = deploy()
    assert (deployed.state, deployed.serving, deployed.reason) == ("ready", f"{deployed.app}@1", None)
    run = client.apps.run(deployed.app, "hello")
    assert (run.text, run.state, run.app) == ("v1 heard hello", "succeeded", deployed.app)
    assert client.runs.get(run.id).state == "succeeded"
    events = [*client.apps.stream(deployed.app, "hello")]
    assert [event.type for event in events] == ["text", "done"]
    assert events[-1].run is not None
    assert events[-1].run.text == "v1 heard hello"
    assert [line.partition(" ")[2] for line in client.apps.logs(deployed.app)] == ["asked hello"] * 2


def test_answers_know_the_run_that_they_belong_to(client: Client, deploy: Deploy) -> None:
    name = deploy().app
    run = client.apps.run(name, "ask smollm2 hello")
    answers = client.answers.list(run=run.id).data
    assert {(each.asked, each.app) for each in answers} == {(f"app:{name}", name), ("smollm2", name)}
    assert client.answers.list(run=client.apps.run(name, "hello").id).data[0].asked == f"app:{name}"


def test_an_answer_of_an_application_has_facts_a_receipt_metrics_and_limits(
    client: Client, deploy: Deploy, services: Services, served: str
) -> None:
    name = deploy().app
    _, text = services.keys.create(NewKey(limits=Limits(requests_per_minute=1)))
    ask: dict[str, Any] = {"model": f"app:{name}", "messages": [{"role": "user", "content": "hello"}]}
    with httpx.Client(base_url=served, headers={"authorization": f"Bearer {text}"}, timeout=60) as http:
        reply = http.post("/v1/chat/completions", json=ask)
        assert http.post("/v1/chat/completions", json=ask).status_code == 429
    page = client.answers.get(reply.json()["id"])
    assert (page.app, page.outcome, page.charges) == (name, "answered", [])
    assert page.receipt is not None
    assert (page.receipt.runner, page.is_receipt_valid) == ("app", True)
    assert [each.id for each in client.answers.list(app=name).data] == [page.id]
    metrics = httpx.get(f"{served}/metrics", headers={"authorization": f"Bearer {KEY}"}).text
    assert f'llmos_e2e_request_latency_seconds_count{{model_name="app:{name}@1"}} 1.0' in metrics


def test_a_version_that_serves_already_is_deployed_again_without_waiting(
    client: Client, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = deploy()
    monkeypatch.setattr("llmos.gateway.hosted_apps.supervisor.SETTLE_SECONDS", 3600.0)
    again = client.apps.deploy(deployed.version)
    assert (again.state, again.pid, again.restarts) == ("ready", deployed.pid, 0)


def test_a_conversation_is_kept_in_a_session_or_sent_with_the_input(client: Client, deploy: Deploy) -> None:
    name = deploy().app
    client.apps.run(name, "hello", session="u1", user="ada")
    assert client.apps.run(name, "before", session="u1").text == "['hello', 'v1 heard hello'] in Acme"
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert client.apps.run(name, "before", messages=messages, variables={"shop": "Bolt"}).text == "['a', 'b'] in Bolt"
    with pytest.raises(BadRequest, match="send one of them"):
        client.apps.run(name, "x", messages=messages, session="u1")


def test_a_crash_costs_its_own_run_and_the_next_one_waits_for_the_new_process(client: Client, deploy: Deploy) -> None:
    name = deploy().app
    with pytest.raises(AppFailed, match="ended in the middle of this run"):
        client.apps.run(name, "die")
    assert _ask_until_it_answers(client, name) == "v1 heard hello"
    assert client.apps.deployment(name).restarts >= 1


def test_a_run_that_ends_its_process_each_time_is_left_alone(client: Client, deploy: Deploy) -> None:
    name = deploy().app
    with pytest.raises(AppFailed):
        client.apps.run(name, "die")
    while client.apps.deployment(name).restarts < 3:
        pause_thread()
    while client.apps.deployment(name).state != "ready":
        pause_thread()
    assert client.apps.run(name, "hello").text == "v1 heard hello"
    assert client.apps.deployment(name).restarts == 3


def test_a_run_that_a_crash_left_is_continued_and_its_effect_is_not_done_again(
    client: Client, deploy: Deploy, tmp_path: Path
) -> None:
    name = deploy().app
    with pytest.raises(AppFailed):
        client.apps.run(name, f"crash-once {tmp_path}")
    (run,) = client.runs.list(app=name)
    while (found := client.runs.get(run.id)).state == "running":
        pause_thread()
    assert (found.state, found.output) == ("succeeded", "survived")
    assert len((tmp_path / "notes").read_text().splitlines()) == 1


def test_a_run_waits_for_a_person_and_is_resumed(client: Client, deploy: Deploy) -> None:
    name = deploy().app
    waiting = client.apps.run(name, "wait AB1")
    assert (waiting.state, waiting.waits_for, waiting.waits_with) == ("waiting", "approval", {"order": "AB1"})
    assert client.apps.resume(name, waiting.id, True).text == "decided: True"
    with pytest.raises(BadRequest, match="isn't waiting for a value"):
        client.apps.resume(name, waiting.id, True)


def test_a_signal_continues_the_run(client: Client, deploy: Deploy) -> None:
    name = deploy().app
    waiting = client.apps.run(name, "wait AB1")
    client.runs.signal(waiting.id, "approval", "yes")
    while (found := client.runs.get(waiting.id)).state in ("ready", "running"):
        pause_thread()
    assert found.output == "decided: yes"


def test_a_new_version_takes_over_without_a_refused_call_and_the_old_one_ends_its_runs(
    client: Client, deploy: Deploy, tmp_path: Path
) -> None:
    name = deploy(name="takeover").app
    held: list[Any] = []
    thread = threading.Thread(target=lambda: held.append(client.apps.run(name, f"hold {tmp_path}/end")))
    thread.start()
    while not client.apps.deployment(name).num_runs:
        pause_thread()
    answers: list[str] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            answers.append(client.apps.run(name, "x").text)

    asking = threading.Thread(target=ask)
    asking.start()
    assert deploy("v2", name="takeover").serving == f"{name}@2"
    assert client.apps.run(name, "y").text == "v2 heard y"
    is_over.set()
    asking.join()
    assert {*answers} <= {"v1 heard x", "v2 heard x"}
    (tmp_path / "end").touch()
    thread.join()
    assert held[0].text.startswith("v1 heard hold")


def test_a_version_that_does_not_start_leaves_the_one_before(client: Client, deploy: Deploy, tmp_path: Path) -> None:
    name = deploy(name="broken").app
    folder = write_echo(tmp_path / "next", name="broken")
    (folder / "app.py").write_text("import no_such_module\n")
    failed = client.apps.deploy(client.apps.create(folder).version)
    assert (failed.state, failed.serving, failed.version) == ("failed", f"{name}@1", f"{name}@2")
    assert failed.reason is not None
    assert "app.py, line 1 can't be loaded: ModuleNotFoundError" in failed.reason
    assert client.apps.run(name, "hello").text == "v1 heard hello"


def test_the_process_has_its_own_key_and_nothing_of_the_servers(
    client: Client, deploy: Deploy, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOS_MASTER_KEY", "secret")
    monkeypatch.setenv("SHOP_TOKEN", "token")
    name = deploy(manifest="environment: [SHOP_TOKEN]\npermissions: [datasets:read]\n").app
    variables = client.apps.run(name, "environment").text.split(",")
    assert {"SHOP_TOKEN", "LLMOS_ENDPOINT", "LLMOS_API_KEY"} <= {*variables}
    assert "LLMOS_MASTER_KEY" not in variables
    (key,) = [each for each in client.keys.list() if each.app == name]
    assert key.routes == ["smollm2"]
    assert key.permissions == ["inference", "models:read", "apps:read", "apps:run", "datasets:read"]
    if client.apps.deployment(name).is_isolated:
        assert client.apps.run(name, f"see {services.settings.home}/keys").text == "FileNotFoundError"
        assert str(os.getpid()) not in client.apps.run(name, "see /proc").text.split(",")
    client.apps.stop(name)
    while client.keys.get(key.id).state != "revoked":
        pause_thread()


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("environment: [LLMOS_MASTER_KEY]\n", "LLMOS_MASTER_KEY, which is the server's own"),
        ("permissions: [datasets:reed]\n", "datasets:read"),
    ],
)
def test_a_manifest_that_asks_for_too_much_is_refused(
    client: Client, tmp_path: Path, manifest: str, message: str
) -> None:
    folder = write_echo(tmp_path / "app", name="greedy", manifest=manifest)
    with pytest.raises(BadRequest, match=message):
        client.apps.deploy(client.apps.create(folder).version)


def test_memory_is_limited(client: Client, deploy: Deploy) -> None:
    name = deploy(manifest="memory_mb: 256\n").app
    with pytest.raises(AppFailed, match="MemoryError"):
        client.apps.run(name, "eat 4000")
    assert client.apps.run(name, "eat 1").text == str(1 << 20)


def test_what_the_program_raises_fails_the_run(client: Client, deploy: Deploy) -> None:
    name = deploy().app
    with pytest.raises(AppFailed, match="ValueError: no stock"):
        client.apps.run(name, "raise no stock")
    assert client.runs.list(app=name)[0].state == "failed"
    assert "Traceback" in "\n".join(client.apps.logs(name))


def test_applications_that_ask_each_other_for_ever_are_ended(client: Client, deploy: Deploy) -> None:
    deploy(name="ping", manifest="models: ['app:pong', 'app:ping']\n")
    deploy(name="pong", manifest="models: ['app:ping']\n")
    assert client.apps.run("ping", "ask app:pong hello").text == "v1 heard hello"
    with pytest.raises(LLMOSError, match="may ask each other for ever"):
        client.apps.run("ping", "ask app:pong ask app:ping " * 8 + "hello")
    with pytest.raises(LLMOSError, match="may ask each other for ever"):
        client.apps.run("ping", "ask app:ping " * 16 + "hello")
    assert client.apps.run("ping", "hello").text == "v1 heard hello"


def test_another_project_does_not_see_the_application(
    client: Client, deploy: Deploy, services: Services, served: str
) -> None:
    name = deploy().app
    client.projects.create("other")
    _, text = services.keys.create(NewKey(project="other"))
    with Client(served, api_key=text) as other:
        assert other.apps.deployments() == []
        with pytest.raises(ModelNotFound, match="No app"):
            other.apps.run(name, "hello")
        with pytest.raises(NotFound):
            other.apps.deployment(name)
        with pytest.raises(PermissionDenied, match="apps:deploy"):
            other.apps.deploy(name)
    assert f"app:{name}" not in _models(served, text)
    assert f"app:{name}" in _models(served, KEY)


def test_owners_of_other_projects_deploy_only_where_the_server_allows_it(
    client: Client, services: Services, served: str, tmp_path: Path
) -> None:
    client.projects.create("shop")
    _, text = services.keys.create(NewKey(project="shop", role="owner"))
    with Client(served, api_key=text) as other:
        version = other.apps.create(write_echo(tmp_path / "echo")).version
        with pytest.raises(PermissionDenied, match="LLMOS_PROJECT_APPS=on"):
            other.apps.deploy(version)
    caller = Caller(project="shop", key_id="key-1")
    check_may_deploy(caller, is_open_to_projects=True)
    with pytest.raises(PermissionDenied):
        check_may_deploy(caller, is_open_to_projects=False)
    check_may_deploy(owner(), is_open_to_projects=False)


def test_a_caller_who_hangs_up_cancels_the_run(client: Client, deploy: Deploy, served: str, tmp_path: Path) -> None:
    name = deploy().app

    async def hang_up() -> None:
        async with httpx.AsyncClient(base_url=served, headers={"x-api-key": KEY}, timeout=60) as http:
            body = {"input": f"hold {tmp_path}/never"}
            asked = asyncio.create_task(http.post(f"/llmos/v1/apps/{name}/runs", json=body))
            while not (await http.get(f"/llmos/v1/runs?app={name}")).json()["data"]:
                await pause()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    asyncio.run(hang_up())
    while (run := client.runs.list(app=name)[0]).state == "running":
        pause_thread()
    assert run.state == "cancelled"


def test_logs_are_followed(client: Client, deploy: Deploy) -> None:
    name = deploy().app
    lines = client.apps.logs(name, follow=True)
    client.apps.run(name, "one")
    assert next(lines).endswith("asked one")
    client.apps.run(name, "two")
    assert next(lines).endswith("asked two")
    lines.close()  # type: ignore[attr-defined]


def test_an_application_that_is_stopped_answers_no_more(client: Client, deploy: Deploy) -> None:
    name = deploy().app
    pid = client.apps.deployment(name).pid
    assert client.apps.stop(name).state == "stopped"
    with pytest.raises(ModelNotFound, match="No app"):
        client.apps.run(name, "hello")
    assert pid is not None
    while _is_alive(pid):
        pause_thread()
    assert client.apps.deploy(name).state == "ready"
    with pytest.raises(NotFound, match="never deployed"):
        client.apps.stop("nothing")


def _models(served: str, key: str) -> list[str]:
    data = httpx.get(f"{served}/v1/models", headers={"x-api-key": key}).json()["data"]
    return [each["id"] for each in data]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _ask_until_it_answers(client: Client, name: str) -> str | None:
    """Ask again when the run that a crash left, which is continued after a moment, has ended the process once more."""
    while True:
        with suppress(AppFailed):
            return client.apps.run(name, "hello").text
