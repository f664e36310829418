"""A slow replica is waited for, a stuck one is not, and an idle one is left alone. Ticks are counted."""

import pytest

from llmos.deployments.replicas.watchdog import ReplicaTimeouts, Watchdog

pytestmark = pytest.mark.anyio

TIMEOUTS = ReplicaTimeouts(silence_seconds=1000, first_silence_seconds=3000, num_steps=20)
"""A tick is 100 seconds, so that none comes by itself."""


class Guarded:
    """A watchdog whose ticks come when the test says so."""

    def __init__(self, timeouts=TIMEOUTS):
        self.num_asked = self.num_given_up = 0
        self.computes = True
        self.dog = Watchdog(timeouts, self.asked, self.given_up, lambda: self.computes)

    def asked(self):
        self.num_asked += 1

    def given_up(self):
        self.num_given_up += 1

    def tick(self, count=1):
        for _ in range(count):
            self.dog._timer.cancel()
            self.dog._tick()

    @property
    def is_ticking(self):
        return self.dog._timer is not None


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def guarded():
    """With a replica whose steps take no time worth mentioning, at work."""
    guarded = Guarded()
    guarded.dog.on_answer(0.001)
    guarded.dog.watch()
    yield guarded
    guarded.dog.pause()


async def test_nothing_is_asked_while_nothing_is_owed(guarded):
    guarded.dog.pause()
    assert not guarded.is_ticking
    guarded.dog.watch()
    assert guarded.is_ticking
    assert guarded.num_asked == 0
    guarded.tick()
    assert guarded.num_asked == 1


async def test_who_answers_is_asked_again_and_never_given_up(guarded):
    for number in range(1, 50):
        guarded.tick(9)
        assert guarded.num_asked == number
        guarded.dog.on_answer(0.001)
    assert guarded.num_given_up == 0


async def test_who_does_not_answer_is_asked_once_and_given_up_once(guarded):
    guarded.tick(10)
    assert (guarded.num_asked, guarded.num_given_up) == (1, 0)
    assert guarded.is_ticking
    guarded.tick()
    assert (guarded.num_asked, guarded.num_given_up) == (1, 1)
    assert guarded.dog.silent_seconds == 1000
    assert not guarded.is_ticking


async def test_half_of_the_way_there_is_reason_to_worry(guarded):
    guarded.tick(5)
    assert not guarded.dog.is_overdue
    guarded.tick()
    assert guarded.dog.is_overdue
    guarded.dog.on_answer(0.001)
    assert not guarded.dog.is_overdue


async def test_long_steps_are_waited_for(guarded):
    guarded.dog.on_answer(200.0)  # 20 of them are 4,000 seconds
    guarded.tick(40)
    assert guarded.num_given_up == 0
    guarded.tick()
    assert guarded.num_given_up == 1


async def test_the_first_step_has_more_time():
    guarded = Guarded()
    guarded.dog.watch()
    guarded.tick(30)
    assert guarded.num_given_up == 0
    guarded.tick()
    assert guarded.num_given_up == 1


@pytest.mark.parametrize("step_seconds", [None, 200.0])
async def test_who_computes_nothing_has_no_more_time_for_a_long_step(step_seconds):
    guarded = Guarded()
    guarded.dog.on_answer(step_seconds)
    guarded.dog.watch()
    guarded.computes = False
    guarded.tick(10)
    assert guarded.num_given_up == 0
    assert guarded.dog.is_overdue
    guarded.tick()
    assert guarded.num_given_up == 1


async def test_a_moment_without_computing_is_forgiven(guarded):
    guarded.dog.on_answer(200.0)
    for _ in range(4):
        guarded.computes = False
        guarded.tick(8)
        guarded.computes = True
        guarded.tick()
    assert guarded.num_given_up == 0


async def test_a_queue_of_commands_that_gets_shorter_is_a_sign_of_life(guarded):
    for _ in range(10):
        guarded.tick(9)
        guarded.dog.on_progress()
    assert (guarded.num_asked, guarded.num_given_up) == (1, 0)


async def test_callers_that_come_and_go_do_not_start_the_patience_anew(guarded):
    for _ in range(10):
        guarded.tick()
        guarded.dog.pause()
        guarded.dog.watch()
    guarded.tick()
    assert guarded.num_given_up == 1
