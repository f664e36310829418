"""A replica: what its process answers, how it ends, and that it never outlives its parent."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from llmos.core.errors import BadModelFile, BadRequest, Conflict, ReplicaFailed, Unavailable
from llmos.deployments.placing.cpu_activity import CpuActivity
from llmos.deployments.placing.local import LocalPlacer
from llmos.deployments.placing.placer import PlacementRequest
from llmos.deployments.replicas.replica import Replica
from llmos.deployments.replicas.watchdog import ReplicaTimeouts
from llmos.engine.messages import Delta, Generate, Started
from support.fakes import continuation, generate, num_tokens, tokens_of

pytestmark = pytest.mark.process

LONG = 50_000
"""Tokens of an answer that is longer than any test."""


@pytest.fixture
def run_with(fake_model, fake_worker):
    """Return a function that runs `test(replica)` with a fresh replica of a fake model."""

    def run(test, timeouts=None, **behaviour):
        async def body():
            request = PlacementRequest(files=fake_model(**behaviour))
            replica = await Replica.start(LocalPlacer(fake_worker), request, timeouts)
            try:
                await test(replica)
            finally:
                await replica.kill()

        asyncio.run(asyncio.wait_for(body(), 60))

    return run


async def collect(events):
    return [event async for event in events]


def test_a_request_yields_the_tokens_of_the_model_in_the_process(run_with):
    async def test(replica):
        started, *deltas = await collect(replica.generate(generate(max_tokens=9)))
        assert started == Started("r", 3)
        assert tokens_of(deltas) == continuation([1, 2, 3], 9)
        assert deltas[-1].finish_reason == "length"
        assert replica.ready.family == "fake"
        assert replica.load.num_output_tokens == 9

    run_with(test)


def test_a_load_reports_its_progress(fake_model, fake_worker):
    progress = []

    async def body():
        request = PlacementRequest(files=fake_model(tell_loading=True))
        replica = await Replica.start(LocalPlacer(fake_worker), request, None, progress.append)
        await replica.kill()

    asyncio.run(asyncio.wait_for(body(), 60))
    assert [each.percent for each in progress] == [50]
    assert progress[0].seconds_left >= 0


def test_requests_run_side_by_side(run_with):
    async def test(replica):
        answers = await asyncio.gather(
            *(collect(replica.generate(generate(f"r{i}", [i + 1], max_tokens=20))) for i in range(8))
        )
        for i, (_, *deltas) in enumerate(answers):
            assert tokens_of(deltas) == continuation([i + 1], 20)

    run_with(test)


def test_a_bad_request_raises_and_harms_no_other(run_with):
    async def test(replica):
        with pytest.raises(BadRequest, match="temperature") as error:
            await collect(replica.generate(generate(temperature=9.0)))
        assert error.value.param == "temperature"
        assert num_tokens(await collect(replica.generate(generate(max_tokens=2)))) == 2

    run_with(test)


def test_closing_the_generator_aborts_the_request(run_with):
    async def test(replica):
        async with aclosing(replica.generate(generate(max_tokens=LONG))) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
        # The abort is sent before this request, on the same socket.
        await collect(replica.generate(generate("other", max_tokens=1)))
        assert replica.load.num_running == 0
        assert replica.load.num_output_tokens < LONG

    run_with(test)


def test_two_requests_with_one_id_are_refused(run_with):
    async def test(replica):
        first = replica.generate(generate(max_tokens=LONG))
        await anext(first)
        with pytest.raises(Conflict):
            await collect(replica.generate(generate()))
        await first.aclose()

    run_with(test)


def test_a_kill_fails_running_requests_with_a_clear_error(run_with):
    async def test(replica):
        events = replica.generate(generate(max_tokens=LONG))
        await anext(events)
        os.kill(replica.pid, signal.SIGKILL)
        with pytest.raises(ReplicaFailed, match="killed by signal 9 while it worked on this request"):
            await collect(events)
        assert not replica.is_alive
        with pytest.raises(ReplicaFailed):
            await collect(replica.generate(generate()))

    run_with(test)


def test_drain_lets_running_requests_finish_and_refuses_new_ones(run_with):
    async def test(replica):
        events = replica.generate(generate(max_tokens=500))
        await anext(events)
        draining = asyncio.create_task(replica.drain())
        assert tokens_of(await collect(events)) == continuation([1, 2, 3], 500)
        await draining
        with pytest.raises(Unavailable):
            await collect(replica.generate(generate("late")))
        assert (await replica.wait()).status == 0

    run_with(test)


def test_sigterm_drains(run_with):
    async def test(replica):
        events = replica.generate(generate(max_tokens=500))
        await anext(events)
        os.kill(replica.pid, signal.SIGTERM)
        assert tokens_of(await collect(events)) == continuation([1, 2, 3], 500)
        await replica.lost
        assert (await replica.wait()).status == 0

    run_with(test)


def test_a_bad_model_fails_with_the_error_of_the_worker(run_with):
    with pytest.raises(BadModelFile, match="its header is torn"):
        run_with(None, refuse="its header is torn")


def test_a_death_while_loading_is_reported(run_with):
    with pytest.raises(ReplicaFailed, match="killed by signal 9 while it loaded the model"):
        run_with(None, die_loading=1)


def test_a_worker_that_cannot_start_is_reported(fake_model):
    async def body():
        placer = LocalPlacer((sys.executable, "-c", "raise SystemExit(3)"))
        await Replica.start(placer, PlacementRequest(files=fake_model()))

    with pytest.raises(ReplicaFailed, match="exited with status 3 while it loaded the model"):
        asyncio.run(body())


SHORT = ReplicaTimeouts(silence_seconds=0.3, first_silence_seconds=0.3, num_steps=0)
SHORT_UNLESS_IT_COMPUTES = ReplicaTimeouts(silence_seconds=0.3, first_silence_seconds=1000, num_steps=1e6)
STUCK = r"gave no sign of life for 0\.\d+ seconds and was killed while it worked on this request"


def set_timeouts(replica, timeouts):
    """Change the timeouts from now on: on a slow machine, short ones would end a test before it begins."""
    replica.watchdog.timeouts = timeouts
    replica.watchdog.pause()
    replica.watchdog.start()


def test_a_stopped_process_is_killed_and_its_requests_fail(run_with):
    async def test(replica):
        events = replica.generate(generate(max_tokens=LONG))
        while not isinstance(await anext(events), Delta):
            pass
        os.kill(replica.pid, signal.SIGSTOP)
        set_timeouts(replica, SHORT_UNLESS_IT_COMPUTES)
        with pytest.raises(ReplicaFailed, match=STUCK):
            await collect(events)
        assert not replica.is_alive
        with pytest.raises(ReplicaFailed):
            await collect(replica.generate(generate()))

    run_with(test)


def test_a_step_that_never_ends_is_detected(run_with):
    async def test(replica):
        with pytest.raises(ReplicaFailed, match=STUCK):
            await collect(replica.generate(generate(tokens=[13])))

    run_with(test, SHORT, hang_computing=1)


def test_a_thread_that_encodes_for_ever_is_detected_while_other_requests_get_tokens(run_with):
    async def test(replica):
        others = replica.generate(generate("other", max_tokens=LONG))
        await anext(others)
        set_timeouts(replica, SHORT)
        with pytest.raises(ReplicaFailed, match=STUCK):
            await collect(replica.generate(Generate(id="r", text="13")))
        with pytest.raises(ReplicaFailed, match=STUCK):
            await collect(others)

    run_with(test, hang_encoding=1)


def test_a_running_process_computes_and_a_stopped_one_does_not(run_with):
    async def test(replica):
        events = replica.generate(generate(max_tokens=LONG))
        while not isinstance(await anext(events), Delta):
            pass
        activity = CpuActivity(replica.pid)
        assert activity.has_computed()
        os.kill(replica.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, replica.pid, os.WSTOPPED)  # returns when all threads have stopped
        activity.has_computed()  # what it computed until then
        assert not activity.has_computed()
        await events.aclose()

    run_with(test)


def test_a_drain_does_not_wait_for_a_stuck_process(run_with):
    async def test(replica):
        os.kill(replica.pid, signal.SIGSTOP)
        await replica.drain()
        assert (await replica.wait()).status == -signal.SIGKILL

    run_with(test, SHORT)


def test_an_idle_replica_gets_no_pings(run_with):
    async def test(replica):
        await collect(replica.generate(generate(max_tokens=2)))
        assert not replica.watchdog.is_running

    run_with(test)


def test_a_load_that_never_ends_fails(run_with):
    with pytest.raises(Unavailable, match=r"not loaded within 0.2 seconds.*LLMOS_LOAD_SECONDS"):
        run_with(None, ReplicaTimeouts(load_seconds=0.2), hang_loading=1)


PARENT = """
from pathlib import Path
import asyncio, sys
from llmos.deployments.placing.local import LocalPlacer
from llmos.deployments.placing.placer import PlacementRequest
from llmos.deployments.replicas.replica import Replica

async def main():
    request = PlacementRequest(files={"model": Path(sys.argv[1])})
    replica = await Replica.start(LocalPlacer(sys.argv[2:]), request)
    print(replica.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_a_worker_exits_when_its_parent_is_killed(fake_model, fake_worker):
    files: dict[str, Path] = fake_model()
    command = [sys.executable, "-c", PARENT, str(files["model"]), *fake_worker]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        poll = select.poll()
        poll.register(worker, select.POLLIN)  # readable when the process has ended
        assert poll.poll(30_000), "the worker outlived its parent"
    finally:
        os.close(worker)
