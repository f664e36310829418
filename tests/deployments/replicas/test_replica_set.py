"""Several replicas of one version: who has which request, and how they come and go without one being lost."""

import asyncio
import os
import signal
import time

import pytest

from llmos.core.errors import ReplicaFailed, Unavailable
from llmos.deployments.replicas.pool import Pool
from llmos.engine.config import EngineConfig
from llmos.engine.messages import Delta
from support.fakes import continuation, generate, tokens_of

LONG = 50_000
OTHER = EngineConfig(threads=1)


@pytest.fixture
def run_with(fake_worker):
    """Return a function that runs `test(pool)` with a pool of fake workers that restarts without waiting."""

    def run(test, **options):
        async def body():
            pool = Pool(**{"command": fake_worker, "backoff_seconds": lambda _: 0} | options)
            try:
                await test(pool)
            finally:
                await pool.close(drain=False)

        asyncio.run(asyncio.wait_for(body(), 60))

    return run


async def collect(events):
    return [event async for event in events]


async def scaled(pool, files, num, config=None):
    """Have so many replicas and wait for them."""
    pool.scale("m@1", files, num, config)
    while any(not slot.is_open for slot in replica_set_of(pool).slots):
        await asyncio.wait([slot.load() for slot in replica_set_of(pool).slots if not slot.is_open])


async def begun(pool, files, number, caller=""):
    """A request that has a token and goes on."""
    stream = pool.generate("m@1", files, generate(f"r{number}", max_tokens=LONG, caller=caller))
    while not isinstance(await anext(stream), Delta):
        pass
    return stream


def replica_set_of(pool):
    return pool._replica_sets["m@1"]


def status_of(pool):
    [status] = pool.status()
    return status


def test_each_wanted_replica_is_a_process(run_with, fake_model):
    async def test(pool):
        await scaled(pool, fake_model(), 2)
        status = status_of(pool)
        assert (status.state, status.num_ready, status.num_wanted) == ("ready", 2, 2)
        assert len({replica.pid for replica in status.replicas}) == 2

    run_with(test)


def test_requests_go_to_the_replica_with_the_fewest_tokens_in_flight(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        await scaled(pool, files, 2)
        streams = [await begun(pool, files, number) for number in range(4)]
        assert [replica.load.num_running for replica in status_of(pool).replicas] == [2, 2]
        assert status_of(pool).load.num_running == 4, "of all together"
        assert all(replica.tokens_in_flight > LONG for replica in status_of(pool).replicas)
        for stream in streams:
            await stream.aclose()
        assert [replica.tokens_in_flight for replica in status_of(pool).replicas] == [0, 0]

    run_with(test)


def test_a_caller_stays_with_a_replica_while_that_is_hardly_busier(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        await scaled(pool, files, 2)
        for number in range(6):
            await collect(pool.generate("m@1", files, generate(f"r{number}", max_tokens=2, caller="ada")))
        assert sorted(
            replica.load.num_output_tokens if replica.load else 0 for replica in status_of(pool).replicas
        ) == [
            0,
            12,
        ]

    run_with(test)


def test_a_request_whose_replica_dies_is_answered_by_another_at_once(run_with, fake_model):
    async def test(pool):
        await scaled(pool, fake_model(die_computing=1), 1)
        files = fake_model()
        await scaled(pool, files, 2)
        # The restart is far away: only the other one can have answered.
        for slot in replica_set_of(pool).slots:
            slot._backoff_seconds = lambda _: 1000
        events = await collect(pool.generate("m@1", files, generate(tokens=[13, 1], max_tokens=4)))
        assert tokens_of(events[1:]) == continuation([13, 1], 4)
        assert sorted(replica.state for replica in status_of(pool).replicas) == ["loading", "ready"]
        assert status_of(pool).state == "ready", "one of them can answer"

    run_with(test)


def test_the_death_of_one_replica_fails_its_own_requests_alone(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        await scaled(pool, files, 2)
        streams = [await begun(pool, files, number) for number in range(2)]
        os.kill(replica_set_of(pool).slots[0].replica.pid, signal.SIGKILL)
        with pytest.raises(ReplicaFailed):
            await collect(streams[0])
        assert isinstance(await anext(streams[1]), Delta)
        await streams[1].aclose()

    run_with(test)


def test_a_replica_that_is_wanted_no_longer_ends_with_its_last_answer(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        await scaled(pool, files, 2)
        running = [pool.generate("m@1", files, generate(f"r{i}", max_tokens=300)) for i in range(2)]
        for stream in running:
            await anext(stream)
        pool.scale("m@1", files, 1)
        assert (status_of(pool).num_leaving, len(status_of(pool).replicas)) == (1, 1)
        for stream in running:
            assert tokens_of(await collect(stream)) == continuation([1, 2, 3], 300)
        await asyncio.gather(*replica_set_of(pool)._leaving.values())
        assert status_of(pool).num_leaving == 0

    run_with(test)


def test_of_several_the_one_that_does_the_least_leaves(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        await scaled(pool, files, 2)
        stream = await begun(pool, files, 0)
        busy = next(slot for slot in replica_set_of(pool).slots if slot.replica.load)
        pool.scale("m@1", files, 1)
        assert replica_set_of(pool).slots == [busy]
        await stream.aclose()

    run_with(test)


def test_replicas_of_another_configuration_are_replaced_when_the_new_ones_are_there(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        await scaled(pool, files, 1)
        before = replica_set_of(pool).slots[0]
        running = pool.generate("m@1", files, generate(max_tokens=300))
        await anext(running)
        pool.scale("m@1", files, 1, OTHER)
        assert before in replica_set_of(pool).slots, "it answers on until then"
        await asyncio.wait([slot.load() for slot in replica_set_of(pool).slots if slot is not before])
        [after] = replica_set_of(pool).slots
        assert (after.config, after.is_open) == (OTHER, True)
        assert tokens_of(await collect(running)) == continuation([1, 2, 3], 300)

    run_with(test)


def test_replicas_stay_where_their_new_configuration_can_not_be_loaded(run_with, fake_model):
    async def test(pool):
        await scaled(pool, fake_model(), 1)
        bad = fake_model("bad", refuse="No memory.")
        pool.scale("m@1", bad, 1, OTHER)
        new = replica_set_of(pool).slots[1]
        await asyncio.wait([new.loading])
        assert sorted(replica.state for replica in status_of(pool).replicas) == ["failed", "ready"]
        assert (status_of(pool).state, status_of(pool).error) == ("ready", "No memory.")
        assert len(await collect(pool.generate("m@1", bad, generate(max_tokens=1)))) == 2

    run_with(test)


def test_a_failed_load_is_tried_again_when_it_has_rested(run_with, fake_model):
    async def test(pool):
        bad = fake_model("m", refuse="torn")
        pool.scale("m@1", bad, 1)
        [slot] = replica_set_of(pool).slots
        await asyncio.wait([slot.loading])
        pool.tend()
        assert slot.state == "failed", "it rests"
        slot._rests_until = 0
        pool.scale("m@1", fake_model("m"), 1)
        pool.tend()
        await slot.loading
        assert slot.is_open

    run_with(test)


def test_who_waits_too_long_for_a_load_is_told_when_to_come_back(run_with, fake_model):
    async def test(pool):
        files = fake_model(hang_loading=1)
        with pytest.raises(Unavailable, match=r"m@1 is being loaded\. Try again in about 5 seconds") as late:
            await collect(pool.generate("m@1", files, generate()))
        assert late.value.retry_after_seconds == 5
        [slot] = replica_set_of(pool).slots
        slot.load_seconds = 1000.0
        slot._loads_since = time.monotonic() - 400
        with pytest.raises(Unavailable, match=r"40 % so far\. Try again in about 600 seconds") as late:
            await pool.ensure("m@1", files)
        assert late.value.retry_after_seconds == pytest.approx(600, abs=2)
        assert status_of(pool).percent_loaded == pytest.approx(40, abs=1)
        assert status_of(pool).seconds_left == pytest.approx(600, abs=2)
        assert status_of(pool).state == "loading", "the load goes on"

    run_with(test, wait_seconds=0)


def test_what_a_process_tells_of_its_load_is_passed_on(run_with, fake_model):
    async def test(pool):
        files = fake_model(tell_loading=True)
        told = []

        def look(loading):
            hear(loading)
            told.append((status_of(pool).state, status_of(pool).percent_loaded, status_of(pool).seconds_left))

        pool.scale("m@1", files, 1)
        [slot] = replica_set_of(pool).slots
        hear, slot._on_loading = slot._on_loading, look
        await slot.loading
        assert [(state, percent) for state, percent, _ in told] == [("loading", 50.0)]
        assert told[0][2] >= 0
        assert status_of(pool).percent_loaded is None

    run_with(test)


def test_the_server_itself_waits_for_a_load_as_long_as_it_takes(run_with, fake_model):
    async def test(pool):
        assert (await pool.ensure("m@1", fake_model(), wait=True)).family == "fake"

    run_with(test, wait_seconds=0)


def test_to_nothing_and_back_without_a_lost_request(run_with, fake_model):
    """Requests come at every moment of the unload: before, in the same moment, while it drains, when it is gone."""

    async def test(pool):
        files = fake_model()

        async def asked(number, num_turns):
            for _ in range(num_turns):
                await asyncio.sleep(0)
            events = await collect(pool.generate("m@1", files, generate(f"r{number}", max_tokens=3)))
            assert tokens_of(events[1:]) == continuation([1, 2, 3], 3)

        for turn in range(3):
            await pool.ensure("m@1", files)
            asking = [asyncio.create_task(asked(f"{turn}-{number}", number * 7)) for number in range(40)]
            await asyncio.sleep(0)
            for _ in range(3):
                pool.scale("m@1", files, 0)
                for _ in range(50):
                    await asyncio.sleep(0)
            await asyncio.gather(*asking)
            pool.scale("m@1", files, 0)
            await asyncio.gather(*replica_set_of(pool)._leaving.values())
            assert status_of(pool).state == "stopped"
        assert pool.usage("m@1").num_open == 0

    run_with(test)


def test_a_load_that_is_given_up_takes_nobody_with_it(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        asking = asyncio.create_task(collect(pool.generate("m@1", files, generate(max_tokens=2))))
        await asyncio.sleep(0)
        pool.scale("m@1", files, 0)
        assert len(await asking) == 3

    run_with(test)


def test_a_load_that_is_asked_for_where_a_replica_is_open_is_the_one_that_gave_it(run_with, fake_model):
    async def test(pool):
        await pool.ensure("m@1", fake_model())
        [slot] = pool._replica_sets["m@1"].slots
        replica = slot.replica
        assert await slot.load() is replica
        assert (slot.replica, slot.state) == (replica, "ready"), "a second process would push the first aside"

    run_with(test)


def test_another_thread_may_ask_how_they_are(run_with, fake_model):
    async def test(pool):
        pool.scale("m@1", fake_model(hang_loading=1), 1)
        [status] = await asyncio.to_thread(pool.status)
        assert status.state == "loading"

    run_with(test)


def test_a_version_that_is_gone_is_forgotten(run_with, fake_model):
    async def test(pool):
        await pool.ensure("m@1", fake_model())
        pid = status_of(pool).pid
        await pool.discard("m@1")
        assert pool.status() == []
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run_with(test)


def test_idle_is_who_nobody_waits_for(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        loading = asyncio.create_task(pool.ensure("m@1", files))
        await asyncio.sleep(0)
        assert replica_set_of(pool).is_busy
        await loading
        assert not replica_set_of(pool).is_busy
        stream = await begun(pool, files, 0)
        assert (pool.usage("m@1").num_open, pool.usage("m@1").idle_seconds) == (1, 0)
        await stream.aclose()
        replica_set_of(pool).last_asked_at -= 100
        assert pool.usage("m@1").idle_seconds >= 100
        assert pool.usage("nobody@1").num_wanted == 0

    run_with(test)


def test_closing_at_once_ends_those_too_that_were_leaving(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        stream = await begun(pool, files, 0)
        pid = status_of(pool).pid
        pool.scale("m@1", files, 0)
        await pool.close(drain=False)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(Unavailable):
            await collect(stream)

    run_with(test)
