"""Which replica should have a request: the least busy one, or the caller's own while it is hardly busier."""

from hypothesis import given
from hypothesis import strategies as st

from llmos.deployments.replicas.load_balancing import DEFAULT_OUTPUT_TOKENS, STICKY_TOKENS, OpenRequest, choose_replica
from llmos.engine.messages import Delta, Embed, Generate, SamplingParams, Started
from support.fakes import generate


def test_a_request_weighs_its_prompt_and_what_it_may_write_and_less_as_the_answer_comes():
    open_request = OpenRequest(generate(tokens=range(10), max_tokens=5, n=2))
    assert open_request.tokens == 20
    open_request.on_event(Started("r", 12))
    assert open_request.tokens == 22
    open_request.on_event(Delta(id="r", index=0, num_output_tokens=3))
    assert open_request.tokens == 7, "the prompt is computed"
    open_request.on_event(Delta(id="r", index=1, num_output_tokens=5))
    open_request.on_event(Delta(id="r", index=0, num_output_tokens=9))
    assert open_request.tokens == 2, "whoever goes on still weighs something"


def test_without_a_limit_an_answer_is_taken_to_be_of_usual_length():
    messages = [{"role": "user", "content": "four" * 7}, {"role": "user", "content": [{"type": "text"}]}]
    assert OpenRequest(Generate(id="r", messages=messages)).tokens == 7 + DEFAULT_OUTPUT_TOKENS
    assert OpenRequest(Generate(id="r", text="fourfour", sampling=SamplingParams(max_tokens=1))).tokens == 3
    assert OpenRequest(Embed(id="r", inputs=["fourfour", [1, 2, 3]])).tokens == 6


def test_the_least_busy_replica_has_a_request_of_nobody_in_particular():
    assert choose_replica([7, 3, 9], ["1", "2", "3"], "") == 1
    assert choose_replica([3, 3], ["1", "2"], "") == 0


@given(st.text(min_size=1), st.integers(1, 8))
def test_a_caller_comes_back_to_the_same_replica_until_it_is_clearly_busier(caller, num):
    names = [str(number) for number in range(num)]
    own = choose_replica([0] * num, names, caller)
    tokens = [0] * num
    tokens[own] = STICKY_TOKENS
    assert choose_replica(tokens, names, caller) == own
    tokens[own] += 1
    assert num == 1 or choose_replica(tokens, names, caller) != own


@given(st.text(min_size=1), st.integers(2, 8), st.data())
def test_a_replica_that_goes_moves_no_other_callers(caller, num, data):
    names = [str(number) for number in range(num)]
    own = names[choose_replica([0] * num, names, caller)]
    left = [name for name in names if name != data.draw(st.sampled_from([name for name in names if name != own]))]
    assert left[choose_replica([0] * len(left), left, caller)] == own
