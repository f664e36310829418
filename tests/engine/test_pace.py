"""How long a step may take is learnt from the steps, and never too short for one that is still to come."""

from llmos.engine.pace import Pace


def test_nothing_is_known_before_the_first_token():
    pace = Pace(512)
    assert pace.step_seconds is None
    pace.note(3.0, 0)  # a chunk of a prompt: how many tokens it had isn't known
    assert pace.step_seconds is None


def test_a_full_step_is_foretold_by_the_cheapest_token():
    pace = Pace(512)
    pace.note(0.01, 1)
    assert pace.step_seconds == 5.12
    pace.note(0.02, 40)
    assert pace.step_seconds == 0.0005 * 512
    pace.note(0.01, 1)
    assert pace.step_seconds == 0.0005 * 512


def test_a_step_that_took_longer_counts_as_it_was():
    pace = Pace(512)
    pace.note(9.0, 5000)  # the last chunk of a long prompt, which was not all computed in it
    pace.note(0.01, 10)
    assert 8.9 < pace.step_seconds < 9.0


def test_a_slow_moment_is_forgotten():
    pace = Pace(512)
    pace.note(9.0, 1)
    for _ in range(1000):
        pace.note(0.01, 10)
    assert pace.step_seconds == 0.001 * 512
