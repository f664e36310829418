"""The pool: versions load on demand, replicas that die are restarted, and every request ends."""

import asyncio
import os
import signal
from contextlib import aclosing

import pytest
from msgspec.structs import replace

from llmos.core.errors import BadModelFile, BadRequest, ReplicaFailed, Unavailable
from llmos.deployments.placing.local import LocalPlacer
from llmos.deployments.replicas.pool import default_backoff_seconds
from llmos.deployments.replicas.watchdog import ReplicaTimeouts
from llmos.engine.messages import Delta, Generate, Rated, SamplingParams, Started
from support.fakes import FakeRunner, continuation, generate, num_tokens, text_of, tokens_of
from support.rated import check_rated, rate

pytestmark = pytest.mark.process

LONG = 50_000


async def collect(events):
    return [event async for event in events]


def states(pool):
    return {status.version: status.state for status in pool.status()}


def slot_of(pool, version="m@1"):
    [slot] = pool.replica_sets[version].slots
    return slot


def test_the_first_request_loads_the_version(run_with, fake_model):
    async def test(pool):
        assert pool.status() == []
        started, *deltas = await collect(pool.generate("m@1", fake_model(), generate(max_tokens=5)))
        assert started == Started("r", 3)
        assert tokens_of(deltas) == continuation([1, 2, 3], 5)
        [status] = pool.status()
        assert (status.version, status.state, status.restarts, status.error) == ("m@1", "ready", 0, None)
        assert status.pid > 0
        assert status.ready.family == "fake"
        assert status.load.num_output_tokens == 5

    run_with(test)


def test_concurrent_requests_share_one_load(run_with, fake_model, tmp_path):
    log = tmp_path / "loads"

    async def test(pool):
        files = fake_model(load_log=str(log))
        requests = [pool.generate("m@1", files, generate(f"r{i}", max_tokens=2)) for i in range(5)]
        await asyncio.gather(pool.ensure("m@1", files), *(collect(request) for request in requests))
        assert log.read_text() == "load\n"

    run_with(test)


def test_a_cancelled_request_does_not_cancel_the_load_that_others_wait_for(run_with, fake_model, tmp_path):
    log = tmp_path / "loads"

    async def test(pool):
        files = fake_model(load_log=str(log))
        first, second = (asyncio.create_task(pool.ensure("m@1", files)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).family == "fake"
        assert first.cancelled()
        assert log.read_text() == "load\n"

    run_with(test)


def test_versions_run_side_by_side(run_with, fake_model):
    async def test(pool):
        await asyncio.gather(*(pool.ensure(name, fake_model(name)) for name in ("a@1", "b@1")))
        assert states(pool) == {"a@1": "ready", "b@1": "ready"}
        assert len({status.pid for status in pool.status()}) == 2

    run_with(test)


def test_a_bad_model_fails_its_requests_and_the_next_request_loads_it_again(run_with, fake_model):
    async def test(pool):
        with pytest.raises(BadModelFile, match="torn"):
            await pool.ensure("m@1", fake_model("bad", refuse="torn"))
        [status] = pool.status()
        assert (status.state, status.error, status.pid) == ("failed", "torn", None)
        await pool.ensure("m@1", fake_model("repaired"))
        assert states(pool) == {"m@1": "ready"}

    run_with(test)


def test_a_load_whose_process_dies_is_tried_again(run_with, fake_model, tmp_path):
    log = tmp_path / "loads"

    async def test(pool):
        await pool.ensure("m@1", fake_model(die_loading=2, load_log=str(log)))
        assert log.read_text() == "load\n" * 3

    run_with(test)


def test_a_load_whose_process_always_dies_fails_its_requests(run_with, fake_model):
    async def test(pool):
        files = fake_model(die_loading=1000)
        failures = await asyncio.gather(
            pool.ensure("m@1", files),
            collect(pool.generate("m@1", files, generate())),
            return_exceptions=True,
        )
        assert [type(failure) for failure in failures] == [ReplicaFailed, ReplicaFailed]
        assert states(pool) == {"m@1": "failed"}

    run_with(test)


def test_a_request_without_a_token_is_tried_again_when_its_replica_dies(run_with, fake_model):
    async def test(pool):
        files = fake_model(die_computing=1)
        events = await collect(pool.generate("m@1", files, generate(tokens=[13, 1], max_tokens=4)))
        kinds = [type(event) for event in events]
        assert (kinds[0], kinds.count(Started), num_tokens(events)) == (Started, 1, 4)
        assert tokens_of(events[1:]) == continuation([13, 1], 4)
        assert pool.status()[0].restarts == 1

    run_with(test)


def test_a_request_that_kills_its_replica_twice_fails(run_with, fake_model):
    async def test(pool):
        with pytest.raises(ReplicaFailed, match="killed by signal 9"):
            await collect(pool.generate("m@1", fake_model(die_computing=2), generate(tokens=[13, 1])))
        assert num_tokens(await collect(pool.generate("m@1", fake_model(), generate(max_tokens=2)))) == 2

    run_with(test)


def test_prompt_tokens_are_counted_by_a_replica(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        assert await pool.count("m@1", files, generate(tokens=range(17))) == 17
        with pytest.raises(BadRequest, match="token 999"):
            await pool.count("m@1", files, generate(tokens=[999]))
        pid = pool.status()[0].pid
        os.kill(pid, signal.SIGSTOP)  # before it answers
        counting = asyncio.create_task(pool.count("m@1", files, generate("again", tokens=range(18))))
        await asyncio.sleep(0)  # it is sent
        os.kill(pid, signal.SIGKILL)
        assert await counting == 18, "it is tried again"

    run_with(test)


def test_texts_are_scored_by_a_replica_and_again_when_it_dies(run_with, fake_model):
    async def test(pool):
        files, command = fake_model(die_computing=1), rate("s", [13, 1], [[5, 6], [7]])
        check_rated(await pool.rate("m@1", files, command), command, FakeRunner())
        assert pool.status()[0].restarts == 1
        with pytest.raises(BadRequest, match="token 999") as error:
            await pool.rate("m@1", files, rate("bad", [1], [[2], [999]]))
        assert error.value.param == "continuations[1]"

    run_with(test)


def test_cancelled_scoring_stops_the_work(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        await pool.ensure("m@1", files)
        rating = asyncio.create_task(pool.rate("m@1", files, rate("s", [1], [[i, *range(200)] for i in range(160)])))
        await asyncio.sleep(0)  # it is sent
        await collect(pool.generate("m@1", files, generate("beside", max_tokens=1)))
        assert not rating.done()
        assert pool.status()[0].load.num_running > 0
        rating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rating
        await collect(pool.generate("m@1", files, generate("behind", max_tokens=1)))
        assert (pool.status()[0].load.num_running, pool.status()[0].load.num_waiting) == (0, 0)
        assert pool.activity("m@1").num_open == 0

    run_with(test)


def test_the_scores_of_a_prompt_come_before_its_answer(run_with, fake_model):
    async def test(pool):
        request = replace(generate(tokens=[13, 1], max_tokens=3), prompt_logprobs=1)
        events = await collect(pool.generate("m@1", fake_model(die_computing=1), request))
        kinds = [type(event) for event in events]
        assert (kinds[:2], kinds.count(Started), num_tokens(events)) == ([Started, Rated], 1, 3)

    run_with(test)


def test_every_request_ends_when_its_replica_is_killed_under_load(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        streams = [pool.generate("m@1", files, generate(f"r{i}", max_tokens=LONG)) for i in range(4)]
        for stream in streams:
            while not isinstance(await anext(stream), Delta):
                pass
        [before] = pool.status()
        os.kill(before.pid, signal.SIGKILL)
        failures = await asyncio.gather(*map(collect, streams), return_exceptions=True)
        assert [type(failure) for failure in failures] == [ReplicaFailed] * 4
        # It is restarted without a request, and answers.
        events = await collect(pool.generate("m@1", files, generate(max_tokens=3)))
        assert tokens_of(events[1:]) == continuation([1, 2, 3], 3)
        [after] = pool.status()
        assert (after.state, after.restarts) == ("ready", 1)
        assert after.pid != before.pid

    run_with(test)


def test_a_dead_replica_is_restarted_without_a_request(run_with, fake_model):
    async def test(pool):
        await pool.ensure("m@1", fake_model())
        slot = slot_of(pool)
        os.kill(pool.status()[0].pid, signal.SIGKILL)
        await slot.replica.lost
        assert states(pool) == {"m@1": "loading"}
        await slot.load_task
        assert states(pool) == {"m@1": "ready"}

    run_with(test)


def test_every_death_is_logged(run_with, fake_model, caplog):
    async def test(pool):
        await pool.ensure("m@1", fake_model(die_loading=1))
        pid = pool.status()[0].pid
        os.kill(pid, signal.SIGKILL)
        await slot_of(pool).replica.lost
        await pool.ensure("m@1", fake_model())
        loading, serving = caplog.messages
        assert loading == "m@1: The model's process was killed by signal 9 while it loaded the model."
        assert serving == f"m@1: The model's process {pid} was killed by signal 9. It is being restarted."

    run_with(test)


SHORT = ReplicaTimeouts(silence_seconds=0.3, first_silence_seconds=0.3, num_steps=0)


def test_a_stuck_replica_is_restarted_and_answers_the_next_request(run_with, fake_model, caplog):
    async def test(pool):
        files = fake_model()
        running = pool.generate("m@1", files, generate(max_tokens=LONG))
        while not isinstance(await anext(running), Delta):
            pass
        os.kill(pool.status()[0].pid, signal.SIGSTOP)
        watchdog = slot_of(pool).replica.watchdog
        watchdog.timeouts = SHORT  # Only now: a slow machine must not end the test earlier.
        watchdog.pause()
        watchdog.start()
        with pytest.raises(ReplicaFailed, match="gave no sign of life"):
            await collect(running)
        events = await collect(pool.generate("m@1", files, generate(max_tokens=3)))
        assert tokens_of(events[1:]) == continuation([1, 2, 3], 3)
        [status] = pool.status()
        assert (status.state, status.restarts, status.error) == ("ready", 1, None)
        [message] = caplog.messages
        assert "gave no sign of life for" in message
        assert "LLMOS_STUCK_SECONDS" in message

    run_with(test)


def test_a_request_without_a_token_is_tried_again_when_its_replica_is_stuck(run_with, fake_model):
    async def test(pool):
        files = fake_model(hang_computing=1)
        await pool.ensure("m@1", files)
        pool.timeouts = ReplicaTimeouts()
        events = await collect(pool.generate("m@1", files, generate(tokens=[13, 1], max_tokens=4)))
        assert tokens_of(events[1:]) == continuation([13, 1], 4)

    run_with(test, timeouts=SHORT)


def test_a_silent_replica_is_shown_as_stuck_before_it_is_killed(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        running = pool.generate("m@1", files, generate(max_tokens=LONG))
        await anext(running)
        os.kill(pool.status()[0].pid, signal.SIGSTOP)
        watchdog = slot_of(pool).replica.watchdog
        for _ in range(6):
            assert states(pool) == {"m@1": "ready"}
            watchdog.tick()
        assert states(pool) == {"m@1": "stuck"}
        await running.aclose()

    run_with(test, timeouts=ReplicaTimeouts(silence_seconds=1000, first_silence_seconds=1000))


def test_the_status_of_a_replica_that_is_restarted_says_why(run_with, fake_model):
    async def test(pool):
        await pool.ensure("m@1", fake_model())
        slot = slot_of(pool)
        os.kill(pool.status()[0].pid, signal.SIGKILL)
        await slot.replica.lost
        await slot.death_report
        [status] = pool.status()
        assert (status.state, status.error) == (
            "loading",
            "The model's process was killed by signal 9. It is being restarted.",
        )

    run_with(test, backoff_seconds=lambda num_deaths: 100 * num_deaths)


def test_a_request_does_not_wait_for_a_restart_that_is_far_away(run_with, fake_model):
    async def test(pool):
        await pool.ensure("m@1", fake_model())
        slot = slot_of(pool)
        os.kill(pool.status()[0].pid, signal.SIGKILL)
        await slot.replica.lost
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="died 1 times in a row") as error:
            await pool.ensure("m@1", fake_model())
        assert 5 < error.value.retry_after_seconds <= 20

    run_with(test, backoff_seconds=lambda num_deaths: 20 * num_deaths)


def test_the_pause_before_a_start_doubles_with_every_early_death():
    assert [default_backoff_seconds(n) for n in (0, 1, 2, 3, 4, 5)] == [0, 0, 0.5, 1, 2, 4]
    assert default_backoff_seconds(100) == 30


def test_closing_the_generator_aborts_the_request(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        async with aclosing(pool.generate("m@1", files, generate(max_tokens=LONG))) as events:
            await anext(events)
        await collect(pool.generate("m@1", files, generate("other", max_tokens=1)))
        assert pool.status()[0].load.num_running == 0

    run_with(test)


def test_a_bad_request_is_not_tried_again(run_with, fake_model):
    async def test(pool):
        with pytest.raises(BadRequest, match="top_p"):
            await collect(pool.generate("m@1", fake_model(), generate(top_p=7.0)))
        assert pool.status()[0].restarts == 0

    run_with(test)


def test_stop_drains_and_the_next_request_loads_again(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        running = pool.generate("m@1", files, generate(max_tokens=300))
        await anext(running)
        stopping = asyncio.create_task(pool.stop("m@1"))
        assert tokens_of(await collect(running)) == continuation([1, 2, 3], 300)
        await stopping
        [status] = pool.status()
        assert (status.state, status.pid, status.restarts) == ("stopped", None, 0)
        assert num_tokens(await collect(pool.generate("m@1", files, generate(max_tokens=2)))) == 2

    run_with(test)


def test_a_stop_while_loading_fails_the_requests_that_wait(run_with, fake_model):
    async def test(pool):
        waiting = asyncio.create_task(pool.ensure("m@1", fake_model()))
        await asyncio.sleep(0)
        await pool.stop("m@1")
        with pytest.raises(Unavailable, match="being stopped"):
            await waiting
        assert states(pool) == {"m@1": "stopped"}

    run_with(test)


def test_stop_waits_for_the_process_of_a_replica_that_has_just_died(run_with, fake_model):
    async def test(pool):
        await pool.ensure("m@1", fake_model())
        slot, pid = slot_of(pool), pool.status()[0].pid
        os.kill(pid, signal.SIGKILL)
        await slot.replica.lost
        await asyncio.sleep(0)
        await pool.stop("m@1")
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run_with(test, backoff_seconds=lambda num_deaths: 100 * num_deaths)


def test_close_lets_running_requests_finish_and_refuses_new_ones(run_with, fake_model):
    async def test(pool):
        files = fake_model()
        running = pool.generate("m@1", files, generate(max_tokens=300))
        await anext(running)
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="shutting down"):
            await collect(pool.generate("m@1", files, generate("late")))
        assert tokens_of(await collect(running)) == continuation([1, 2, 3], 300)
        await closing

    run_with(test)


def test_close_without_draining_fails_running_requests_at_once(run_with, fake_model):
    async def test(pool):
        running = pool.generate("m@1", fake_model(), generate(max_tokens=LONG))
        await anext(running)
        pid = pool.status()[0].pid
        await pool.close(drain=False)
        with pytest.raises(Unavailable, match="being stopped"):
            await collect(running)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run_with(test)


def test_the_real_worker_answers_with_the_real_model_and_again_after_kill_9(run_with, smollm2_path):
    request = Generate(
        id="r",
        messages=[{"role": "user", "content": "What is the capital of France? Answer in one sentence."}],
        sampling=SamplingParams(temperature=0, max_tokens=40),
    )

    async def test(pool):
        files = {"model.gguf": smollm2_path}
        before = await collect(pool.generate("smollm2@1", files, request))
        assert "Paris" in text_of(before)
        os.kill(pool.status()[0].pid, signal.SIGKILL)
        assert text_of(await collect(pool.generate("smollm2@1", files, request))) == text_of(before)

    run_with(test, placer=LocalPlacer())
