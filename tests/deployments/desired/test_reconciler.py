"""The reconciler makes replicas match the deployments, even after its process was killed at any point."""

import asyncio
import os
import select
import signal

import pytest

from llmos.core.config import load_settings
from llmos.core.database import Database
from llmos.deployments.desired import autoscaling
from llmos.deployments.desired.deployment import DEFAULT_IDLE_SECONDS, DeploymentSettings
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.desired.reconciler import Reconciler, replica_settings
from llmos.deployments.placing.local import LocalPlacer
from llmos.deployments.replicas.pool import Pool
from llmos.engine.config import EngineConfig
from llmos.engine.messages import Delta
from llmos.models import open_registry
from llmos.models.versions.versions import Loadable
from support.databases import KINDS
from support.fakes import generate

pytestmark = pytest.mark.process

LONG = 50_000


class FakeServer:
    """The deployments of a server: database, reconciler and pool, without HTTP."""

    def __init__(self, registry, command, **options):
        self.registry = registry
        self.deployments = Deployments(registry.database, registry)
        self.pool = Pool(placer=LocalPlacer(command), backoff_seconds=lambda _: 0)
        self.reconciler = Reconciler(self.deployments, registry, self.pool, **options)

    async def reconcile(self):
        await self.reconciler.reconcile()

    async def reconcile_until_stable(self):
        """Make two passes, and wait between them for everything that the first has started."""
        await self.reconcile()
        for replica_set in self.pool.replica_sets.values():
            if loads := [slot.load_task for slot in replica_set.slots if slot.load_task]:
                await asyncio.wait(loads)
            await replica_set.wait_until_gone()
        await self.reconcile()

    async def ask(self, ref="m@1", **sampling):
        version = self.registry.resolve(ref)
        request = generate(max_tokens=2, **sampling)
        events = [event async for event in self.pool.generate(ref, self.registry.loadable(version).files, request)]
        assert isinstance(events[-1], Delta)
        return events[-1].num_output_tokens  # Deltas that come at once are one.

    def status(self, ref="m@1"):
        return next((status for status in self.pool.status() if status.version == ref), None)

    def event_kinds(self, ref="m@1"):
        return [event.kind for event in self.deployments.history(ref)]

    def age_last_request(self, seconds, ref="m@1"):
        self.pool.replica_sets[ref].last_used_at -= seconds


@pytest.fixture(scope="module")
def database_kind(request):
    """SQLite alone is enough for most tests here."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def run_with(registry, add, playable, fake_worker):
    """Return a function that runs `test(server)` with a server that has the version m@1."""
    add("m")

    def run(test, **options):
        async def body():
            server = FakeServer(registry, fake_worker, **options)
            try:
                await test(server)
            finally:
                await server.pool.close(drain=False)

        asyncio.run(asyncio.wait_for(body(), 60))

    return run


@pytest.fixture
def run_with_two(run_with, registry, fake_worker):
    """Return a function that runs `test(one, other)` with two servers on one database. Both have loaded m@1, which is
    put to sleep after a minute."""

    def run(test):
        async def body(one):
            other = FakeServer(registry, fake_worker)
            try:
                one.deployments.deploy("m", DeploymentSettings(idle_seconds=60), actor="ada")
                for server in (one, other):
                    await server.reconcile_until_stable()
                await test(one, other)
            finally:
                await other.pool.close(drain=False)

        run_with(body)

    return run


def test_a_deployed_version_is_loaded_without_a_request(run_with):
    async def test(server):
        server.deployments.deploy("m", DeploymentSettings(min_replicas=2, max_replicas=2), actor="ada")
        await server.reconcile_until_stable()
        assert (server.status().num_ready, server.status().num_wanted) == (2, 2)
        await server.reconcile()
        assert server.event_kinds() == ["deployed", "ready", "ready"]

    run_with(test)


@pytest.mark.parametrize("database_kind", KINDS, indirect=True)
def test_changes_by_another_process_are_reconciled(run_with, registry):
    async def test(server):
        elsewhere = Database(registry.database.url.render_as_string(hide_password=False))
        others = Deployments(elsewhere, registry)
        await server.reconcile()
        others.deploy("m", actor="ada")
        await server.reconcile_until_stable()
        assert server.status().num_ready == 1
        others.scale("m", min_replicas=2, max_replicas=2, actor="ada")
        await server.reconcile_until_stable()
        assert server.status().num_ready == 2
        assert "scaled" not in server.event_kinds(), "the load did not cause it"
        others.remove("m", actor="ada")
        await server.reconcile_until_stable()
        assert server.status().state == "stopped"
        elsewhere.close()

    run_with(test)


def test_a_change_in_this_process_is_noticed_at_once(run_with, monkeypatch):
    monkeypatch.setattr("llmos.deployments.desired.reconciler.POLL_SECONDS", 3600)
    passed = {name: asyncio.Event() for name in ("scaled", "released")}

    async def test(server):
        running = asyncio.create_task(server.reconciler.run())
        await asyncio.to_thread(server.deployments.deploy, "m", actor="ada")
        await passed["scaled"].wait()
        await asyncio.to_thread(server.deployments.remove, "m", actor="ada")
        await passed["released"].wait()
        running.cancel()
        await asyncio.wait([running])

    run_with(test, failpoint=lambda name: passed[name].set() if name in passed else None)


@pytest.mark.parametrize("num_turns", range(6))
def test_a_cancellation_is_not_lost_to_a_change_at_the_same_moment(run_with, monkeypatch, num_turns):
    """The iteration of the event loop that would lose it depends on asyncio, so all near ones are tried."""
    monkeypatch.setattr("llmos.deployments.desired.reconciler.POLL_SECONDS", 3600)
    reconciled = asyncio.Event()

    async def test(server):
        real = server.reconciler.reconcile

        async def reconcile():
            await real()
            reconciled.set()

        server.reconciler.reconcile = reconcile
        running = asyncio.create_task(server.reconciler.run())
        await reconciled.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        server.deployments.on_change()
        for _ in range(num_turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running], timeout=10)
        assert running.cancelled()

    run_with(test)


def test_a_failed_pass_is_logged_and_the_next_one_runs(run_with, monkeypatch, caplog):
    monkeypatch.setattr("llmos.deployments.desired.reconciler.POLL_SECONDS", 0)
    scaled = asyncio.Event()

    async def test(server):
        server.deployments.deploy("m", actor="ada")
        lists = iter([RuntimeError("The database is gone.")])
        real = server.deployments.list

        def list_():
            if error := next(lists, None):
                raise error
            return real()

        server.deployments.list = list_
        running = asyncio.create_task(server.reconciler.run())
        await scaled.wait()
        running.cancel()
        await asyncio.wait([running])
        assert "can't be reconciled" in caplog.text

    run_with(test, failpoint=lambda name: scaled.set() if name == "scaled" else None)


def test_a_replica_that_dies_is_restarted_and_the_history_says_so(run_with):
    async def test(server):
        server.deployments.deploy("m", actor="ada")
        await server.reconcile_until_stable()
        slot = server.pool.replica_sets["m@1"].slots[0]
        os.kill(server.status().pid, signal.SIGKILL)
        await slot.replica.lost
        await asyncio.sleep(0)
        await slot.death_report
        await server.reconcile_until_stable()
        assert server.status().num_ready == 1
        assert server.event_kinds() == ["deployed", "ready", "died", "ready"]
        assert "killed by signal 9" in server.deployments.history("m")[2].reason

    run_with(test)


def test_a_failed_load_says_why_and_is_tried_again(run_with, playable):
    async def test(server):
        playable("m@1", refuse="The file is torn.")
        server.deployments.deploy("m", actor="ada")
        await server.reconcile_until_stable()
        assert (server.status().state, server.status().error) == ("failed", "The file is torn.")
        assert server.event_kinds() == ["deployed", "failed"]
        playable("m@1")
        server.reconciler._database_state = None
        server.pool.replica_sets["m@1"].slots[0].retry_at = 0
        await server.reconcile_until_stable()
        assert server.status().num_ready == 1

    run_with(test)


def test_a_deployment_that_is_put_to_sleep_sleeps_until_a_request_wakes_it(run_with):
    async def test(server):
        server.deployments.deploy("m", actor="ada")
        await server.reconcile_until_stable()
        server.deployments.sleep("m", actor="ada")
        await server.reconcile_until_stable()
        assert server.status().state == "stopped"
        await server.reconcile()
        assert server.deployments.get("m").asleep
        assert await server.ask() == 2
        await server.reconcile()
        assert not server.deployments.get("m").asleep
        assert server.event_kinds() == ["deployed", "ready", "slept", "woken", "ready"]
        woken = server.deployments.history("m")[3]
        assert (woken.actor, woken.reason) == ("reconciler", "A request came.")

    run_with(test)


def test_sleep_works_before_the_wake_by_a_request_is_recorded(run_with):
    async def test(server):
        server.deployments.deploy("m", DeploymentSettings(min_replicas=0), actor="ada")
        await server.reconcile_until_stable()
        await server.ask()
        server.deployments.sleep("m", actor="ada")
        await server.reconcile_until_stable()
        assert server.status().state == "stopped"
        assert server.deployments.get("m").asleep

    run_with(test)


def test_what_happens_to_a_replica_is_recorded_at_once(run_with, monkeypatch):
    monkeypatch.setattr("llmos.deployments.desired.reconciler.POLL_SECONDS", 3600)
    recorded = asyncio.Event()

    async def test(server):
        running = asyncio.create_task(server.reconciler.run())
        await asyncio.to_thread(server.deployments.deploy, "m", actor="ada")
        await recorded.wait()
        assert server.event_kinds() == ["deployed", "ready"]
        running.cancel()
        await asyncio.wait([running])

    run_with(test, failpoint=lambda name: recorded.set() if name == "after record" else None)


@pytest.mark.parametrize("placement", [None, "nodes"])
def test_on_demand_a_deployment_runs_here_from_a_request_until_it_is_idle(run_with, placement):
    async def test(server):
        settings = DeploymentSettings(min_replicas=2, max_replicas=2, placement=placement, keep_warm=True)
        server.deployments.deploy("m", settings, actor="ada")
        await server.reconcile_until_stable()
        assert server.status() is None or server.status().state == "stopped"
        await server.ask()
        await server.reconcile_until_stable()
        assert server.status().num_ready == 2
        server.age_last_request(DEFAULT_IDLE_SECONDS)
        await server.reconcile_until_stable()
        assert server.status().state == "stopped"
        assert not server.deployments.get("m").asleep, "other servers with the database go on"

    run_with(test, on_demand=True)


def test_on_demand_a_version_without_a_deployment_stops_when_it_is_idle(run_with):
    async def test(server):
        await server.ask()
        await server.reconcile_until_stable()
        assert server.status().num_ready == 1
        server.age_last_request(DEFAULT_IDLE_SECONDS)
        await server.reconcile_until_stable()
        assert server.status().state == "stopped"

    run_with(test, on_demand=True)


def test_a_request_for_a_sleeping_deployment_starts_it_with_its_settings(run_with):
    async def test(server):
        options = {"max_draft_tokens": 0}
        settings = DeploymentSettings(min_replicas=0, max_replicas=1, options=options)
        server.deployments.deploy("m", settings, actor="ada")
        await server.reconcile_until_stable()
        await server.ask()
        assert server.pool.replica_sets["m@1"].slots[0].settings.config.max_draft_tokens == 0

    run_with(test)


def test_a_deployment_with_no_replica_is_loaded_by_wake(run_with):
    async def test(server):
        server.deployments.deploy("m", DeploymentSettings(min_replicas=0, max_replicas=2), actor="ada")
        await server.reconcile_until_stable()
        assert server.status().state == "stopped", "with min_replicas 0, it begins asleep"
        server.deployments.wake("m", actor="ada")
        await server.reconcile_until_stable()
        assert server.status().num_ready == 1

    run_with(test)


def test_a_deployment_goes_to_sleep_after_idle_seconds(run_with):
    async def test(server):
        server.deployments.deploy("m", DeploymentSettings(idle_seconds=10), actor="ada")
        await server.reconcile_until_stable()
        server.age_last_request(9)
        await server.reconcile()
        assert not server.deployments.get("m").asleep
        server.age_last_request(1)
        await server.reconcile_until_stable()
        assert server.deployments.get("m").asleep
        assert server.status().state == "stopped"
        assert server.deployments.history("m")[-1].reason == "Idle for 10 seconds."

    run_with(test)


def test_an_idle_server_does_not_put_the_replicas_of_another_to_sleep(run_with_two):
    async def test(idle, busy):
        idle.age_last_request(100)
        await idle.reconcile_until_stable()
        await busy.reconcile_until_stable()
        assert (idle.status().state, busy.status().state) == ("stopped", "ready")
        assert not busy.deployments.get("m").asleep
        await idle.reconcile_until_stable()
        assert idle.status().state == "stopped", "that another server woke it is no request for this one"
        slept, woken = idle.deployments.history("m@1")[-2:]
        assert (slept.kind, woken.kind, woken.reason) == (
            "slept",
            "woken",
            "Another server was idle; this one isn't.",
        )
        await idle.ask()
        await idle.reconcile_until_stable()
        assert (idle.status().state, busy.status().state) == ("ready", "ready")

    run_with_two(test)


def test_a_person_puts_the_replicas_of_all_servers_to_sleep_and_wakes_them(run_with_two):
    async def test(one, other):
        one.deployments.sleep("m", actor="ada")
        for server in (one, other):
            await server.reconcile_until_stable()
        assert (one.status().state, other.status().state) == ("stopped", "stopped")
        one.deployments.wake("m", actor="ada")
        for server in (one, other):
            await server.reconcile_until_stable()
        assert (one.status().state, other.status().state) == ("ready", "ready")

    run_with_two(test)


def test_servers_that_are_all_idle_are_all_put_to_sleep(run_with_two):
    async def test(one, other):
        one.age_last_request(100)
        other.age_last_request(100)
        for server in (one, other):
            await server.reconcile_until_stable()
        assert (one.status().state, other.status().state) == ("stopped", "stopped")
        assert one.deployments.get("m").asleep

    run_with_two(test)


def test_a_request_while_the_sleep_is_committed_keeps_it_awake(run_with):
    async def test(server):
        server.deployments.deploy("m", DeploymentSettings(idle_seconds=10), actor="ada")
        await server.reconcile_until_stable()
        pid = server.status().pid
        server.age_last_request(10)
        sleep = server.deployments.sleep

        def slow_sleep(ref, **options):
            asked = asyncio.run_coroutine_threadsafe(server.ask(), loop)
            assert asked.result(60) == 2
            return sleep(ref, **options)

        loop, server.deployments.sleep = asyncio.get_running_loop(), slow_sleep
        await server.reconcile()
        assert not server.deployments.get("m").asleep
        assert server.status().pid == pid
        assert server.event_kinds()[-2:] == ["slept", "woken"]

    run_with(test)


def test_a_deployment_that_is_kept_warm_or_busy_or_has_no_idle_seconds_never_sleeps(run_with, add):
    async def test(server):
        server.deployments.deploy("m", DeploymentSettings(keep_warm=True), actor="ada")
        await server.reconcile_until_stable()
        server.age_last_request(10**9)
        await server.reconcile()
        server.deployments.deploy("m", DeploymentSettings(idle_seconds=1), actor="ada")
        stream = server.pool.generate("m@1", {}, generate(max_tokens=LONG))
        await anext(stream)
        server.age_last_request(10**9)
        await server.reconcile()
        await stream.aclose()
        server.deployments.deploy("m", actor="ada")
        server.age_last_request(10**9)
        await server.reconcile()
        assert server.status().num_wanted == 1
        assert "slept" not in server.event_kinds()

    run_with(test)


def test_it_scales_up_under_load_to_max_replicas_and_the_history_says_why(run_with, monkeypatch):
    monkeypatch.setattr(autoscaling, "CHOICES_PER_REPLICA", 1)
    monkeypatch.setattr(autoscaling, "UP_SECONDS", 0)

    async def test(server):
        server.deployments.deploy("m", DeploymentSettings(max_replicas=2), actor="ada")
        await server.reconcile_until_stable()
        files = server.registry.loadable(server.registry.resolve("m")).files
        streams = [server.pool.generate("m@1", files, generate(f"r{i}", max_tokens=LONG)) for i in range(3)]
        for stream in streams:
            while not isinstance(await anext(stream), Delta):
                pass
        await server.reconcile_until_stable()
        assert (server.status().num_ready, server.status().num_wanted) == (2, 2)
        scaled = next(event for event in server.deployments.history("m") if event.kind == "scaled")
        assert scaled.data == {"from": 1, "to": 2}
        assert scaled.actor == "autoscaler"
        assert scaled.reason.startswith("3 choices are open")
        for stream in streams:
            await stream.aclose()

    run_with(test)


@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        ({}, None),  # all cores
        ({"max_replicas": 2}, 4),
        ({"max_replicas": 64}, 1),
        ({"max_replicas": 2, "options": {"threads": 7}}, 7),
    ],
)
def test_replicas_share_the_cores_of_this_machine_unless_threads_is_set(registry, add, settings, threads):
    add("m")
    deployment = Deployments(registry.database, registry).deploy("m", DeploymentSettings(**settings), actor="ada")
    assert replica_settings(deployment, EngineConfig(), 8).config.threads == threads


def test_options_of_a_deployment_override_those_of_the_server(registry, add):
    add("m")
    settings = DeploymentSettings(options={"max_sequences": 2})
    deployment = Deployments(registry.database, registry).deploy("m", settings, actor="ada")
    config = replica_settings(deployment, EngineConfig(max_draft_tokens=0, max_sequences=9), 8).config
    assert (config.max_sequences, config.max_draft_tokens) == (2, 0)


def test_options_that_contradict_the_servers_are_reported_as_a_problem(run_with, add):
    async def test(server):
        add("other")
        server.deployments.deploy("m", DeploymentSettings(options={"max_sequences": 512}), actor="ada")
        server.deployments.deploy("other", actor="ada")
        await server.reconcile_until_stable()
        assert "max_batched_tokens" in server.reconciler.problem("m@1")
        assert server.reconciler.problem("other@1") is None
        assert server.status("other@1").num_ready == 1

    run_with(test, config=EngineConfig(max_batched_tokens=64))


def test_a_version_that_was_removed_is_stopped_and_forgotten(run_with, registry, add):
    async def test(server):
        add("other")
        await server.reconcile_until_stable()
        await server.ask("m@1")
        await server.ask("other@1")
        pid = server.status().pid
        registry.remove("m")
        await server.reconcile()
        await server.reconciler.wait_until_discarded()
        assert [status.version for status in server.pool.status()] == ["other@1"]
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run_with(test)


def test_a_deployment_whose_version_was_removed_says_so(run_with, registry):
    async def test(server):
        server.deployments.deploy("m", actor="ada")
        registry.remove("m")
        await server.reconcile()
        assert server.reconciler.problem("m@1") == "m@1 isn't on this machine. Get it, or: llmos undeploy m@1"

    run_with(test)


def test_the_capacity_callback_gets_the_number_of_ready_replicas(run_with):
    capacity = {}

    async def test(server):
        server.deployments.deploy("m", DeploymentSettings(min_replicas=2, max_replicas=2), actor="ada")
        await server.reconcile_until_stable()
        assert capacity == {"m@1": 2}

    run_with(test, on_capacity=capacity.__setitem__)


# Killed at every failpoint


async def run_through_all_states(server):
    """Do everything that a reconciler ever does: start, record, put to sleep, wake, release."""
    await server.reconcile_until_stable()
    server.age_last_request(10)
    await server.reconcile_until_stable()
    await server.ask()
    await server.reconcile_until_stable()
    server.deployments.remove("m", actor="ada")
    await server.reconcile_until_stable()


def run_in_new_server(url, fake_worker, model, act, **options):
    """Run `act` with a server that has just been started on this database."""
    registry = open_registry(load_settings({"LLMOS_HOME": str(model["model"].parent), "LLMOS_DATABASE_URL": url}))
    registry.loadable = lambda version: Loadable(version=version, files=model)

    async def body():
        server = FakeServer(registry, fake_worker, **options)
        try:
            return await act(server)
        finally:
            await server.pool.close(drain=False)

    try:
        return asyncio.run(asyncio.wait_for(body(), 60))
    finally:
        registry.database.close()


def live_and_be_killed_at(url, fake_worker, model, index):
    """Run a server in a process that is killed at this failpoint. Return False if it has fewer failpoints."""
    counter = iter(range(10**6))

    def failpoint(name):
        if next(counter) == index:
            os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if not pid:
        status = 1
        try:
            run_in_new_server(url, fake_worker, model, run_through_all_states, failpoint=failpoint)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "it ended for no other reason"
    return os.WIFSIGNALED(status)


def exits_without_help(pid):
    """Return True if the process is gone within a minute."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 60)[0])
    finally:
        os.close(handle)


async def is_as_desired(server):
    """Reconcile, and return True if the replicas are as the database wants them."""
    await server.reconcile_until_stable()
    deployed = server.deployments.list()
    if not deployed:
        return server.pool.status() == []
    if deployed[0].asleep:
        is_so = server.pool.status() == []
        return is_so and await server.ask() == 2
    return server.status().num_ready == 1 and await server.ask() == 2


def test_a_server_killed_at_any_failpoint_leaves_no_process_and_the_next_one_reconciles(
    registry, database_url, add, fake_worker, fake_model, tmp_path
):
    add("m")
    deployments, log = Deployments(registry.database, registry), tmp_path / "pids"
    model = fake_model(pid_log=str(log))
    index = 0
    while True:
        deployments.deploy("m", DeploymentSettings(idle_seconds=10), actor="ada")
        deployments.wake("m", actor="ada")  # the server before may have put it to sleep
        was_killed = live_and_be_killed_at(database_url, fake_worker, model, index)
        workers = [int(line) for line in log.read_text().split()] if log.exists() else []
        assert all(map(exits_without_help, workers)), f"orphans after failpoint {index}"
        log.unlink(missing_ok=True)
        if not was_killed:
            break
        assert run_in_new_server(database_url, fake_worker, model, is_as_desired), (
            f"not as desired after failpoint {index}"
        )
        log.unlink(missing_ok=True)
        index += 1
    assert index >= 20, "it was killed at every failpoint"
