"""What is wanted is made so, whoever wanted it, and whatever becomes of the process that makes it so."""

import asyncio
import os
import select
import signal

import pytest

from llmos.core.config import load_settings
from llmos.core.database import Database
from llmos.deployments.desired import autoscaling
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.desired.reconciler import Reconciler
from llmos.deployments.replicas.pool import Pool
from llmos.engine.config import EngineConfig
from llmos.engine.messages import Delta
from llmos.models import open_registry
from llmos.models.versions.versions import Loadable
from support.databases import KINDS
from support.fakes import generate

LONG = 50_000


class House:
    """A server's deployments, without the server."""

    def __init__(self, registry, command, **options):
        self.registry = registry
        self.deployments = Deployments(registry.database, registry)
        self.pool = Pool(command=command, backoff_seconds=lambda _: 0)
        self.reconciler = Reconciler(self.deployments, registry, self.pool, **options)

    async def reconcile(self):
        await self.reconciler.reconcile()

    async def settle(self):
        """Two passes, and in between everything that was begun comes to its end."""
        await self.reconcile()
        for replica_set in self.pool.replica_sets.values():
            if loads := [slot.load_task for slot in replica_set.slots if slot.load_task]:
                await asyncio.wait(loads)
            await replica_set.wait_until_gone()
        await self.reconcile()

    async def ask(self, ref="m@1", **sampling):
        version = self.registry.resolve(ref)
        request = generate(max_tokens=2, **sampling)
        return [event async for event in self.pool.generate(ref, self.registry.loadable(version).files, request)]

    def status(self, ref="m@1"):
        return next((status for status in self.pool.status() if status.version == ref), None)

    def happened(self, ref="m@1"):
        return [event.kind for event in self.deployments.history(ref)]

    def pass_time(self, seconds, ref="m@1"):
        self.pool.replica_sets[ref].last_used_at -= seconds


@pytest.fixture(scope="module")
def database_kind(request):
    """One is enough for most of what is asked here."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def live_in(registry, add, playable, fake_worker):
    """Return a function that runs `test(house)` in a house that has the version m@1."""
    add("m")

    def run(test, **options):
        async def body():
            house = House(registry, fake_worker, **options)
            try:
                await test(house)
            finally:
                await house.pool.close(drain=False)

        asyncio.run(asyncio.wait_for(body(), 60))

    return run


def test_what_is_deployed_runs_without_being_asked(live_in):
    async def test(house):
        house.deployments.deploy("m", min_replicas=2, max_replicas=2, actor="ada")
        await house.settle()
        assert (house.status().num_ready, house.status().num_wanted) == (2, 2)
        await house.reconcile()
        assert house.happened() == ["deployed", "ready", "ready"]

    live_in(test)


@pytest.mark.parametrize("database_kind", KINDS, indirect=True)
def test_what_another_process_wants_is_noticed(live_in, registry):
    async def test(house):
        elsewhere = Database(registry.database.url.render_as_string(hide_password=False))
        others = Deployments(elsewhere, registry)
        await house.reconcile()
        others.deploy("m", actor="ada")
        await house.settle()
        assert house.status().num_ready == 1
        others.scale("m", min_replicas=2, max_replicas=2, actor="ada")
        await house.settle()
        assert house.status().num_ready == 2
        assert "scaled" not in house.happened(), "the load has no part in it"
        others.remove("m", actor="ada")
        await house.settle()
        assert house.status().state == "stopped"
        elsewhere.close()

    live_in(test)


def test_a_change_in_this_process_is_noticed_at_once(live_in, monkeypatch):
    monkeypatch.setattr("llmos.deployments.desired.reconciler.POLL_SECONDS", 3600)
    passed = {name: asyncio.Event() for name in ("scaled", "released")}

    async def test(house):
        running = asyncio.create_task(house.reconciler.run())
        await asyncio.to_thread(house.deployments.deploy, "m", actor="ada")
        await passed["scaled"].wait()
        await asyncio.to_thread(house.deployments.remove, "m", actor="ada")
        await passed["released"].wait()
        running.cancel()
        await asyncio.wait([running])

    live_in(test, failpoint=lambda place: passed[place].set() if place in passed else None)


@pytest.mark.parametrize("num_turns", range(6))
def test_an_end_is_not_missed_for_the_news_that_come_with_it(live_in, monkeypatch, num_turns):
    """Which turn of the loop loses it is Python's own affair, so all near ones are tried."""
    monkeypatch.setattr("llmos.deployments.desired.reconciler.POLL_SECONDS", 3600)
    looked = asyncio.Event()

    async def test(house):
        real = house.reconciler.reconcile

        async def reconcile():
            await real()
            looked.set()

        house.reconciler.reconcile = reconcile
        running = asyncio.create_task(house.reconciler.run())
        await looked.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        house.deployments.on_change()
        for _ in range(num_turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running], timeout=10)
        assert running.cancelled()

    live_in(test)


def test_it_goes_on_when_a_pass_fails(live_in, monkeypatch, caplog):
    monkeypatch.setattr("llmos.deployments.desired.reconciler.POLL_SECONDS", 0)
    scaled = asyncio.Event()

    async def test(house):
        house.deployments.deploy("m", actor="ada")
        lists = iter([RuntimeError("The database is gone.")])
        real = house.deployments.list

        def list_():
            if error := next(lists, None):
                raise error
            return real()

        house.deployments.list = list_
        running = asyncio.create_task(house.reconciler.run())
        await scaled.wait()
        running.cancel()
        await asyncio.wait([running])
        assert "can't be looked after" in caplog.text

    live_in(test, failpoint=lambda place: scaled.set() if place == "scaled" else None)


def test_a_replica_that_dies_comes_back_and_the_history_says_so(live_in):
    async def test(house):
        house.deployments.deploy("m", actor="ada")
        await house.settle()
        slot = house.pool.replica_sets["m@1"].slots[0]
        os.kill(house.status().pid, signal.SIGKILL)
        await slot.replica.lost
        await asyncio.sleep(0)
        await slot.death_report
        await house.settle()
        assert house.status().num_ready == 1
        assert house.happened() == ["deployed", "ready", "died", "ready"]
        assert "killed by signal 9" in house.deployments.history("m")[2].reason

    live_in(test)


def test_what_can_not_be_loaded_says_why_and_is_tried_again(live_in, playable):
    async def test(house):
        playable("m@1", refuse="The file is torn.")
        house.deployments.deploy("m", actor="ada")
        await house.settle()
        assert (house.status().state, house.status().error) == ("failed", "The file is torn.")
        assert house.happened() == ["deployed", "failed"]
        playable("m@1")
        house.reconciler._state = None
        house.pool.replica_sets["m@1"].slots[0].retry_at = 0
        await house.settle()
        assert house.status().num_ready == 1

    live_in(test)


def test_it_sleeps_until_a_request_wakes_it(live_in):
    async def test(house):
        house.deployments.deploy("m", actor="ada")
        await house.settle()
        house.deployments.sleep("m", actor="ada")
        await house.settle()
        assert house.status().state == "stopped"
        await house.reconcile()
        assert house.deployments.get("m").asleep
        assert len(await house.ask()) == 3
        await house.reconcile()
        assert not house.deployments.get("m").asleep
        assert house.happened() == ["deployed", "ready", "slept", "woken", "ready"]
        woken = house.deployments.history("m")[3]
        assert (woken.actor, woken.reason) == ("reconciler", "A request came.")

    live_in(test)


def test_an_owner_who_says_sleep_is_heard_although_it_is_not_yet_noted_that_a_request_woke_it(live_in):
    async def test(house):
        house.deployments.deploy("m", min_replicas=0, actor="ada")
        await house.settle()
        await house.ask()
        house.deployments.sleep("m", actor="ada")
        await house.settle()
        assert house.status().state == "stopped"
        assert house.deployments.get("m").asleep

    live_in(test)


def test_what_happens_to_a_replica_is_written_down_at_once(live_in, monkeypatch):
    monkeypatch.setattr("llmos.deployments.desired.reconciler.POLL_SECONDS", 3600)
    noted = asyncio.Event()

    async def test(house):
        running = asyncio.create_task(house.reconciler.run())
        await asyncio.to_thread(house.deployments.deploy, "m", actor="ada")
        await noted.wait()
        assert house.happened() == ["deployed", "ready"]
        running.cancel()
        await asyncio.wait([running])

    live_in(test, failpoint=lambda place: noted.set() if place == "after record" else None)


def test_the_owner_may_wake_it_too(live_in):
    async def test(house):
        house.deployments.deploy("m", min_replicas=0, max_replicas=2, actor="ada")
        await house.settle()
        assert house.status() is None, "what may be nothing begins as nothing"
        house.deployments.wake("m", actor="ada")
        await house.settle()
        assert house.status().num_ready == 1

    live_in(test)


def test_who_is_idle_for_long_enough_sleeps(live_in):
    async def test(house):
        house.deployments.deploy("m", idle_seconds=10, actor="ada")
        await house.settle()
        house.pass_time(9)
        await house.reconcile()
        assert not house.deployments.get("m").asleep
        house.pass_time(1)
        await house.settle()
        assert house.deployments.get("m").asleep
        assert house.status().state == "stopped"
        assert house.deployments.history("m")[-1].reason == "Idle for 10 seconds."

    live_in(test)


def test_a_request_that_comes_while_it_falls_asleep_keeps_it_awake(live_in):
    async def test(house):
        house.deployments.deploy("m", idle_seconds=10, actor="ada")
        await house.settle()
        pid = house.status().pid
        house.pass_time(10)
        sleep = house.deployments.sleep

        def slow_sleep(ref, **options):
            asked = asyncio.run_coroutine_threadsafe(house.ask(), loop)
            assert len(asked.result(60)) == 3
            return sleep(ref, **options)

        loop, house.deployments.sleep = asyncio.get_running_loop(), slow_sleep
        await house.reconcile()
        assert not house.deployments.get("m").asleep
        assert house.status().pid == pid
        assert house.happened()[-2:] == ["slept", "woken"]

    live_in(test)


def test_what_is_kept_warm_or_works_or_has_no_idle_time_never_sleeps(live_in, add):
    async def test(house):
        house.deployments.deploy("m", keep_warm=True, actor="ada")
        await house.settle()
        house.pass_time(10**9)
        await house.reconcile()
        house.deployments.deploy("m", idle_seconds=1, actor="ada")
        stream = house.pool.generate("m@1", {}, generate(max_tokens=LONG))
        await anext(stream)
        house.pass_time(10**9)
        await house.reconcile()
        await stream.aclose()
        house.deployments.deploy("m", actor="ada")
        house.pass_time(10**9)
        await house.reconcile()
        assert house.status().num_wanted == 1
        assert "slept" not in house.happened()

    live_in(test)


def test_it_grows_under_load_to_its_most_and_the_history_says_why(live_in, monkeypatch):
    monkeypatch.setattr(autoscaling, "CHOICES_PER_REPLICA", 1)
    monkeypatch.setattr(autoscaling, "UP_SECONDS", 0)

    async def test(house):
        house.deployments.deploy("m", max_replicas=2, actor="ada")
        await house.settle()
        files = house.registry.loadable(house.registry.resolve("m")).files
        streams = [house.pool.generate("m@1", files, generate(f"r{i}", max_tokens=LONG)) for i in range(3)]
        for stream in streams:
            while not isinstance(await anext(stream), Delta):
                pass
        await house.settle()
        assert (house.status().num_ready, house.status().num_wanted) == (2, 2)
        scaled = next(event for event in house.deployments.history("m") if event.kind == "scaled")
        assert scaled.data == {"from": 1, "to": 2}
        assert scaled.actor == "autoscaler"
        assert scaled.reason.startswith("3 choices are open")
        for stream in streams:
            await stream.aclose()

    live_in(test)


def test_replicas_share_the_cores_of_this_machine_unless_somebody_says(live_in):
    async def test(house):
        house.reconciler._num_cores = 8

        def threads(**wanted):
            return house.reconciler._config_of(house.deployments.deploy("m", **wanted, actor="ada")).threads

        assert threads() is None, "all of them"
        assert threads(max_replicas=2) == 4
        assert threads(max_replicas=64) == 1
        assert threads(max_replicas=2, options={"threads": 7}) == 7

    live_in(test, config=EngineConfig(max_draft_tokens=0))


def test_its_options_are_those_of_its_engines(live_in):
    async def test(house):
        config = house.reconciler._config_of(house.deployments.deploy("m", options={"max_sequences": 2}, actor="ada"))
        assert (config.max_sequences, config.max_draft_tokens) == (2, 0)

    live_in(test, config=EngineConfig(max_draft_tokens=0))


def test_options_that_contradict_the_servers_are_a_problem_that_is_told(live_in, add):
    async def test(house):
        add("other")
        house.deployments.deploy("m", options={"max_sequences": 512}, actor="ada")
        house.deployments.deploy("other", actor="ada")
        await house.settle()
        assert "max_batched_tokens" in house.reconciler.problem("m@1")
        assert house.reconciler.problem("other@1") is None
        assert house.status("other@1").num_ready == 1

    live_in(test, config=EngineConfig(max_batched_tokens=64))


def test_a_version_that_was_removed_is_stopped_and_forgotten(live_in, registry, add):
    async def test(house):
        add("other")
        await house.settle()
        await house.ask("m@1")
        await house.ask("other@1")
        pid = house.status().pid
        registry.remove("m")
        await house.reconcile()
        await asyncio.gather(*house.reconciler._discarding.values())
        assert [status.version for status in house.pool.status()] == ["other@1"]
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    live_in(test)


def test_a_deployment_whose_version_is_lost_says_so(live_in, registry):
    async def test(house):
        house.deployments.deploy("m", actor="ada")
        registry.remove("m")
        await house.reconcile()
        assert house.reconciler.problem("m@1") == "m@1 isn't on this machine. Get it, or: llmos undeploy m@1"

    live_in(test)


def test_it_tells_how_many_replicas_are_ready(live_in):
    told = {}

    async def test(house):
        house.deployments.deploy("m", min_replicas=2, max_replicas=2, actor="ada")
        await house.settle()
        assert told == {"m@1": 2}

    live_in(test, on_capacity=told.__setitem__)


# kill -9


async def live_a_life(house):
    """Everything that a reconciler ever does: begin, note, put to sleep, wake, release."""
    await house.settle()
    house.pass_time(10)
    await house.settle()
    await house.ask()
    await house.settle()
    house.deployments.remove("m", actor="ada")
    await house.settle()


def in_a_new_house(url, fake_worker, model, act, **options):
    """Run `act` as a server would that has just been started on this database."""
    registry = open_registry(load_settings({"LLMOS_HOME": str(model["model"].parent), "LLMOS_DATABASE_URL": url}))
    registry.loadable = lambda version: Loadable(version=version, files=model)

    async def body():
        house = House(registry, fake_worker, **options)
        try:
            return await act(house)
        finally:
            await house.pool.close(drain=False)

    try:
        return asyncio.run(asyncio.wait_for(body(), 60))
    finally:
        registry.database.close()


def life_that_is_killed(url, fake_worker, model, number):
    """Live in a process of its own that is killed at this place of its life. Return whether it came that far."""
    places = iter(range(10**6))

    def failpoint(place):
        if next(places) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if not pid:
        status = 1
        try:
            in_a_new_house(url, fake_worker, model, live_a_life, failpoint=failpoint)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "it fails for no other reason"
    return os.WIFSIGNALED(status)


def ends_by_itself(pid):
    """Whether a process is gone within the patience of a test."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 60)[0])
    finally:
        os.close(handle)


async def as_wanted(house):
    """Look after what is wanted, and say whether it is so."""
    await house.settle()
    deployed = house.deployments.list()
    if not deployed:
        return house.pool.status() == []
    if deployed[0].asleep:
        is_so = house.pool.status() == []
        return is_so and len(await house.ask()) == 3
    return house.status().num_ready == 1 and len(await house.ask()) == 3


def test_a_server_that_is_killed_anywhere_leaves_nothing_behind_and_the_next_makes_it_so(
    registry, database_url, add, fake_worker, fake_model, tmp_path
):
    add("m")
    deployments, log = Deployments(registry.database, registry), tmp_path / "pids"
    model = fake_model(pid_log=str(log))
    number = 0
    while True:
        deployments.deploy("m", idle_seconds=10, actor="ada")
        deployments.wake("m", actor="ada")  # the life before may have ended asleep
        was_killed = life_that_is_killed(database_url, fake_worker, model, number)
        workers = [int(line) for line in log.read_text().split()] if log.exists() else []
        assert all(map(ends_by_itself, workers)), f"orphans after place {number}"
        log.unlink(missing_ok=True)
        if not was_killed:
            break
        assert in_a_new_house(database_url, fake_worker, model, as_wanted), f"not as wanted after place {number}"
        log.unlink(missing_ok=True)
        number += 1
    assert number >= 20, "it was killed at every place"
