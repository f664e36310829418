"""Autoscaling stays within its limits, and changes nothing while the demand is constant."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from llmos.deployments.desired.autoscaling import (
    CHOICES_PER_REPLICA,
    COOLDOWN_SECONDS,
    DOWN_SECONDS,
    LOW_SHARE,
    TOKENS_PER_REPLICA,
    UP_SECONDS,
    Demand,
    Scale,
    rescale,
)

NOTHING = Demand(num_choices=0, tokens_in_flight=0)

demands = st.builds(
    Demand,
    num_choices=st.integers(0, 40 * CHOICES_PER_REPLICA),
    tokens_in_flight=st.integers(0, 40 * TOKENS_PER_REPLICA),
)
limits = st.tuples(st.integers(1, 16), st.integers(0, 16)).map(lambda pair: (pair[0], pair[0] + pair[1]))
pauses = st.floats(0, 100)


def filling(num_replicas):
    return Demand(num_choices=round(num_replicas * CHOICES_PER_REPLICA), tokens_in_flight=0)


def after(scale, seconds, demand, least, most, step=0.5, now=0.0):
    """The scale after so long a time of one demand, looked at every `step` seconds."""
    for tick in range(round(seconds / step) + 1):
        scale = rescale(scale, now + tick * step, demand, least, most)
    return scale


@given(st.integers(0, 40), limits, st.lists(st.tuples(pauses, demands)))
def test_the_number_of_replicas_is_always_within_its_limits(num, limits, seen):
    scale, now = Scale(num_replicas=num), 0.0
    for pause, demand in seen:
        now += pause
        scale = rescale(scale, now, demand, *limits)
        assert limits[0] <= scale.num_replicas <= limits[1]


@given(st.integers(1, 16), limits, demands, st.lists(pauses, min_size=1))
def test_a_constant_demand_never_scales_up_and_down(num, limits, demand, rhythm):
    scale, now, numbers = rescale(Scale(num_replicas=num), 0.0, demand, *limits), 0.0, []
    for pause in rhythm * 4:
        now += pause
        scale = rescale(scale, now, demand, *limits)
        numbers.append(scale.num_replicas)
    assert numbers in (sorted(numbers), sorted(numbers, reverse=True))


@given(st.integers(1, 16), limits, demands)
def test_a_constant_demand_leads_to_as_many_replicas_as_it_fills(num, limits, demand):
    least, most = limits
    settled = after(Scale(num_replicas=num), 33 * (DOWN_SECONDS + 1), demand, least, most).num_replicas
    assert settled == most or demand.in_replicas <= settled, "it has all that it fills"
    assert settled == least or demand.in_replicas > (settled - 1) * LOW_SHARE, "and none that it has no use for"


@given(limits, st.lists(st.tuples(pauses, demands)))
def test_there_is_a_cooldown_between_two_changes(limits, seen):
    scale, now, changes = Scale(num_replicas=limits[0], changed_at=0.0), 0.0, [0.0]
    for pause, demand in seen:
        now += pause
        before, scale = scale, rescale(scale, now, demand, *limits)
        if scale.num_replicas != before.num_replicas:
            changes.append(now)
    assert all(later - earlier >= COOLDOWN_SECONDS for earlier, later in itertools.pairwise(changes))


def test_a_lasting_demand_scales_up_at_once_to_what_it_fills():
    one = Scale(num_replicas=1)
    assert after(one, UP_SECONDS - 0.5, filling(2.5), 1, 8).num_replicas == 1
    assert after(one, UP_SECONDS, filling(2.5), 1, 8).num_replicas == 3
    assert after(one, UP_SECONDS, filling(2.5), 1, 2).num_replicas == 2


def test_tokens_in_flight_count_like_open_choices():
    long_prompts = Demand(num_choices=3, tokens_in_flight=3 * TOKENS_PER_REPLICA)
    assert after(Scale(num_replicas=1), UP_SECONDS, long_prompts, 1, 8).num_replicas == 3


def test_a_short_demand_changes_nothing():
    scale = Scale(num_replicas=1)
    for second in range(100):
        scale = rescale(scale, float(second), filling(3) if second % 2 else filling(1), 1, 8)
    assert scale.num_replicas == 1


def test_it_scales_down_one_at_a_time_and_later_than_up():
    three = Scale(num_replicas=3)
    assert after(three, DOWN_SECONDS - 1, NOTHING, 1, 3).num_replicas == 3
    assert after(three, DOWN_SECONDS, NOTHING, 1, 3).num_replicas == 2
    assert after(three, 2 * DOWN_SECONDS + 1, NOTHING, 1, 3).num_replicas == 1
    assert after(three, 10 * DOWN_SECONDS, filling(2 * LOW_SHARE + 0.1), 1, 3).num_replicas == 3
