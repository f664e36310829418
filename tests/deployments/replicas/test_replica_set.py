"""The replicas of one version: which of them gets a request, and how they are added, replaced and stopped."""

import asyncio
import os
import signal
import time

import pytest

from llmos.core.errors import ReplicaFailed, Unavailable
from llmos.deployments.placing.placer import ReplicaSettings
from llmos.engine.config import EngineConfig
from llmos.engine.messages import Delta
from support.fakes import continuation, generate, num_tokens, tokens_of

pytestmark = pytest.mark.process

LONG = 50_000
OTHER = ReplicaSettings(config=EngineConfig(threads=1))


async def collect(events):
    return [event async for event in events]


async def scaled(pool, files, num, settings=None):
    """Scale to this many replicas and wait until all are ready."""
    pool.scale("m@1", files, num, settings)
    while any(not slot.is_open for slot in replica_set_of(pool).slots):
        await asyncio.wait([slot.load() for slot in replica_set_of(pool).slots if not slot.is_open])


async def open_stream(pool, files, number, caller=""):
    """Return the stream of a request that has had its first token."""
    stream = pool.generate("m@1", files, generate(f"r{number}", max_tokens=LONG, caller=caller))
    while not isinstance(await anext(stream), Delta):
        pass
    return stream


def replica_set_of(pool):
    return pool.replica_sets["m@1"]


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
        streams = [await open_stream(pool, files, number) for number in range(4)]
        assert [replica.load.num_running for replica in status_of(pool).replicas] == [2, 2]
        assert status_of(pool).load.num_running == 4, "summed over the replicas"
        assert all(replica.tokens_in_flight > LONG for replica in status_of(pool).replicas)
        for stream in streams:
            await stream.aclose()
        assert [replica.tokens_in_flight for replica in status_of(pool).replicas] == [0, 0]

    run_with(test)


def test_a_caller_keeps_its_replica_while_that_is_hardly_busier(run_with, fake_model):
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


def test_a_request_whose_replica_dies_is_answered_by_another_one(run_with, fake_model):
    async def test(pool):
        await scaled(pool, fake_model(die_computing=1), 1)
        files = fake_model()
        await scaled(pool, files, 2)
        events = await collect(pool.generate("m@1", files, generate(tokens=[13, 1], max_tokens=4)))
        assert tokens_of(events[1:]) == continuation([13, 1], 4)
        assert sorted(replica.state for replica in status_of(pool).replicas) == ["loading", "ready"]
        assert status_of(pool).state == "ready", "one of them can answer"

    # The restart is far away, so that only the other replica can have answered.
    run_with(test, backoff_seconds=lambda num_deaths: 1000 * num_deaths)


def test_the_death_of_a_replica_fails_only_its_own_requests(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        await scaled(pool, files, 2)
        streams = [await open_stream(pool, files, number) for number in range(2)]
        os.kill(replica_set_of(pool).slots[0].replica.pid, signal.SIGKILL)
        with pytest.raises(ReplicaFailed):
            await collect(streams[0])
        assert isinstance(await anext(streams[1]), Delta)
        await streams[1].aclose()

    run_with(test)


def test_a_surplus_replica_stops_after_its_last_answer(run_with, fake_model):
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
        await replica_set_of(pool).wait_until_gone()
        assert status_of(pool).num_leaving == 0

    run_with(test)


def test_the_least_busy_replica_is_the_one_that_stops(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        await scaled(pool, files, 2)
        stream = await open_stream(pool, files, 0)
        busy = next(slot for slot in replica_set_of(pool).slots if slot.replica.load)
        pool.scale("m@1", files, 1)
        assert replica_set_of(pool).slots == [busy]
        await stream.aclose()

    run_with(test)


def test_replicas_of_an_old_configuration_are_replaced_when_the_new_ones_are_ready(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        await scaled(pool, files, 1)
        before = replica_set_of(pool).slots[0]
        running = pool.generate("m@1", files, generate(max_tokens=300))
        await anext(running)
        pool.scale("m@1", files, 1, OTHER)
        assert before in replica_set_of(pool).slots, "it answers until then"
        await asyncio.wait([slot.load() for slot in replica_set_of(pool).slots if slot is not before])
        [after] = replica_set_of(pool).slots
        assert (after.settings, after.is_open) == (OTHER, True)
        assert tokens_of(await collect(running)) == continuation([1, 2, 3], 300)

    run_with(test)


def test_replicas_stay_if_the_new_configuration_can_not_be_loaded(run_with, fake_model):
    async def test(pool):
        await scaled(pool, fake_model(), 1)
        bad = fake_model("bad", refuse="No memory.")
        pool.scale("m@1", bad, 1, OTHER)
        new = replica_set_of(pool).slots[1]
        await asyncio.wait([new.load_task])
        assert sorted(replica.state for replica in status_of(pool).replicas) == ["failed", "ready"]
        assert (status_of(pool).state, status_of(pool).error) == ("ready", "No memory.")
        assert num_tokens(await collect(pool.generate("m@1", bad, generate(max_tokens=1)))) == 1

    run_with(test)


def test_a_failed_load_is_tried_again_when_the_retry_is_due(run_with, fake_model):
    async def test(pool):
        bad = fake_model("m", refuse="torn")
        pool.scale("m@1", bad, 1)
        [slot] = replica_set_of(pool).slots
        await asyncio.wait([slot.load_task])
        pool.retry_failed()
        assert slot.state == "failed", "the retry is not due"
        slot.retry_at = 0
        pool.scale("m@1", fake_model("m"), 1)
        pool.retry_failed()
        await slot.load_task
        assert slot.is_open

    run_with(test)


def test_a_request_that_waits_too_long_for_a_load_learns_when_to_retry(run_with, fake_model):
    async def test(pool):
        files = fake_model(hang_loading=1)
        with pytest.raises(Unavailable, match=r"m@1 is being loaded\. Try again in about 5 seconds") as late:
            await collect(pool.generate("m@1", files, generate()))
        assert late.value.retry_after_seconds == 5
        [slot] = replica_set_of(pool).slots
        slot.load_seconds = 1000.0
        slot.load_started_at = time.monotonic() - 400
        with pytest.raises(Unavailable, match=r"40 % so far\. Try again in about 600 seconds") as late:
            await pool.ensure("m@1", files)
        assert late.value.retry_after_seconds == pytest.approx(600, abs=2)
        assert status_of(pool).percent_loaded == pytest.approx(40, abs=1)
        assert status_of(pool).seconds_left == pytest.approx(600, abs=2)
        assert status_of(pool).state == "loading", "the load continues"

    run_with(test, wait_seconds=0)


def test_the_status_shows_the_progress_that_the_process_reports(run_with, fake_model):
    async def test(pool):
        files = fake_model(tell_loading=True)
        seen = []

        def on_loading(loading):
            real(loading)
            seen.append((status_of(pool).state, status_of(pool).percent_loaded, status_of(pool).seconds_left))

        pool.scale("m@1", files, 1)
        [slot] = replica_set_of(pool).slots
        real, slot._on_loading = slot._on_loading, on_loading
        await slot.load_task
        assert [(state, percent) for state, percent, _ in seen] == [("loading", 50.0)]
        assert seen[0][2] >= 0
        assert status_of(pool).percent_loaded is None

    run_with(test)


def test_ensure_can_wait_for_a_load_however_long_it_takes(run_with, fake_model):
    async def test(pool):
        assert (await pool.ensure("m@1", fake_model(), wait=True)).family == "fake"

    run_with(test, wait_seconds=0)


def test_no_request_is_lost_while_the_version_is_scaled_to_zero_and_back(run_with, fake_model):
    """Requests come at every moment of the unload: before it, while it drains, and when the process is gone."""

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
            await replica_set_of(pool).wait_until_gone()
            assert status_of(pool).state == "stopped"
        assert pool.activity("m@1").num_open == 0

    run_with(test)


def test_a_request_survives_the_cancelling_of_the_load_that_it_waits_for(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        asking = asyncio.create_task(collect(pool.generate("m@1", files, generate(max_tokens=2))))
        await asyncio.sleep(0)
        pool.scale("m@1", files, 0)
        assert num_tokens(await asking) == 2

    run_with(test)


def test_load_returns_the_finished_load_while_its_replica_is_open(run_with, fake_model):
    async def test(pool):
        await pool.ensure("m@1", fake_model())
        [slot] = pool.replica_sets["m@1"].slots
        replica = slot.replica
        assert await slot.load() is replica
        assert (slot.replica, slot.state) == (replica, "ready"), "no second process is started"

    run_with(test)


def test_another_thread_may_ask_for_the_status(run_with, fake_model):
    async def test(pool):
        pool.scale("m@1", fake_model(hang_loading=1), 1)
        [status] = await asyncio.to_thread(pool.status)
        assert status.state == "loading"

    run_with(test)


def test_a_discarded_version_is_stopped_and_forgotten(run_with, fake_model):
    async def test(pool):
        await pool.ensure("m@1", fake_model())
        pid = status_of(pool).pid
        await pool.discard("m@1")
        assert pool.status() == []
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run_with(test)


def test_a_version_is_busy_while_a_request_waits_for_its_load(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        loading = asyncio.create_task(pool.ensure("m@1", files))
        await asyncio.sleep(0)
        assert replica_set_of(pool).is_busy
        await loading
        assert not replica_set_of(pool).is_busy
        stream = await open_stream(pool, files, 0)
        assert (pool.activity("m@1").num_open, pool.activity("m@1").idle_seconds) == (1, 0)
        await stream.aclose()
        replica_set_of(pool).last_used_at -= 100
        assert pool.activity("m@1").idle_seconds >= 100
        assert pool.activity("nobody@1").num_wanted == 0

    run_with(test)


def test_close_without_draining_also_ends_replicas_that_were_draining(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        stream = await open_stream(pool, files, 0)
        pid = status_of(pool).pid
        pool.scale("m@1", files, 0)
        await pool.close(drain=False)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(Unavailable):
            await collect(stream)

    run_with(test)
