"""The watchdog waits for a slow replica, reports a stuck one, and leaves an idle one alone. Ticks are counted."""

import pytest

from llmos.deployments.replicas.watchdog import ReplicaTimeouts, Watchdog

pytestmark = pytest.mark.anyio

TIMEOUTS = ReplicaTimeouts(silence_seconds=1000, first_silence_seconds=3000, num_steps=20)
"""A tick is 100 seconds, so that none comes by itself."""


class WatchedReplica:
    """A replica that answers pings, and a watchdog that ticks, when the test says so."""

    def __init__(self):
        self.num_pings = self.num_times_stuck = 0
        self.is_computing = True
        self.watchdog = Watchdog(TIMEOUTS, self.on_ping, self.on_stuck, lambda: self.is_computing)

    def on_ping(self):
        self.num_pings += 1

    def on_stuck(self):
        self.num_times_stuck += 1

    def tick(self, count=1):
        for _ in range(count):
            self.watchdog.tick()


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def replica():
    """A replica with running requests, whose steps take a millisecond."""
    replica = WatchedReplica()
    replica.watchdog.on_pong(0.001)
    replica.watchdog.start()
    yield replica
    replica.watchdog.pause()


async def test_a_paused_watchdog_sends_no_pings(replica):
    replica.watchdog.pause()
    assert not replica.watchdog.is_running
    replica.watchdog.start()
    assert replica.watchdog.is_running
    assert replica.num_pings == 0
    replica.tick()
    assert replica.num_pings == 1


async def test_a_replica_that_answers_is_pinged_again_and_never_reported_stuck(replica):
    for num_pings in range(1, 50):
        replica.tick(9)
        assert replica.num_pings == num_pings
        replica.watchdog.on_pong(0.001)
    assert replica.num_times_stuck == 0


async def test_a_replica_that_does_not_answer_is_pinged_once_and_reported_stuck_once(replica):
    replica.tick(10)
    assert (replica.num_pings, replica.num_times_stuck) == (1, 0)
    assert replica.watchdog.is_running
    replica.tick()
    assert (replica.num_pings, replica.num_times_stuck) == (1, 1)
    assert replica.watchdog.silent_seconds == 1000
    assert not replica.watchdog.is_running


async def test_a_replica_is_overdue_after_half_of_its_timeout(replica):
    replica.tick(5)
    assert not replica.watchdog.is_overdue
    replica.tick()
    assert replica.watchdog.is_overdue
    replica.watchdog.on_pong(0.001)
    assert not replica.watchdog.is_overdue


async def test_long_steps_lengthen_the_timeout(replica):
    replica.watchdog.on_pong(200.0)  # 20 of them are 4,000 seconds
    replica.tick(40)
    assert replica.num_times_stuck == 0
    replica.tick()
    assert replica.num_times_stuck == 1


async def test_the_first_step_has_a_longer_timeout():
    replica = WatchedReplica()
    replica.watchdog.start()
    replica.tick(30)
    assert replica.num_times_stuck == 0
    replica.tick()
    assert replica.num_times_stuck == 1


@pytest.mark.parametrize("step_seconds", [None, 200.0])
async def test_long_steps_do_not_lengthen_the_timeout_of_a_replica_that_computes_nothing(step_seconds):
    replica = WatchedReplica()
    replica.watchdog.on_pong(step_seconds)
    replica.watchdog.start()
    replica.is_computing = False
    replica.tick(10)
    assert replica.num_times_stuck == 0
    assert replica.watchdog.is_overdue
    replica.tick()
    assert replica.num_times_stuck == 1


async def test_a_short_time_without_computing_is_no_reason_to_report_a_replica(replica):
    replica.watchdog.on_pong(200.0)
    for _ in range(4):
        replica.is_computing = False
        replica.tick(8)
        replica.is_computing = True
        replica.tick()
    assert replica.num_times_stuck == 0


async def test_progress_with_the_commands_before_the_ping_restarts_the_timeout(replica):
    for _ in range(10):
        replica.tick(9)
        replica.watchdog.on_progress()
    assert (replica.num_pings, replica.num_times_stuck) == (1, 0)


async def test_a_pause_does_not_restart_the_timeout(replica):
    for _ in range(10):
        replica.tick()
        replica.watchdog.pause()
        replica.watchdog.start()
    replica.tick()
    assert replica.num_times_stuck == 1
