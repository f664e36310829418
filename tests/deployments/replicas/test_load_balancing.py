"""A request goes to the least busy replica, or to the caller's preferred one while that is hardly busier."""

from hypothesis import given
from hypothesis import strategies as st

from llmos.deployments.replicas.load_balancing import DEFAULT_OUTPUT_TOKENS, STICKY_TOKENS, OpenRequest, choose_replica
from llmos.engine.messages import Delta, Embed, Generate, Rate, SamplingParams, Started
from support.fakes import generate


def test_a_request_counts_its_prompt_and_its_largest_output_and_less_as_tokens_come():
    open_request = OpenRequest(generate(tokens=range(10), max_tokens=5, n=2))
    assert open_request.tokens == 20
    open_request.on_event(Started("r", 12))
    assert open_request.tokens == 22
    open_request.on_event(Delta(id="r", index=0, num_output_tokens=3))
    assert open_request.tokens == 7, "the prompt is computed"
    open_request.on_event(Delta(id="r", index=1, num_output_tokens=5))
    open_request.on_event(Delta(id="r", index=0, num_output_tokens=9))
    assert open_request.tokens == 2, "a request that runs counts at least one token for each choice"


def test_a_request_without_max_tokens_counts_the_default_output():
    messages = [{"role": "user", "content": "four" * 7}, {"role": "user", "content": [{"type": "text"}]}]
    assert OpenRequest(Generate(id="r", messages=messages)).tokens == 7 + DEFAULT_OUTPUT_TOKENS
    assert OpenRequest(Generate(id="r", text="fourfour", sampling=SamplingParams(max_tokens=1))).tokens == 3
    assert OpenRequest(Embed(id="r", inputs=["fourfour", [1, 2, 3]])).tokens == 6
    scored = Rate(request=Generate(id="r", text="four", caller="ann"), continuations=["fourfour", [1, 2, 3]])
    assert (OpenRequest(scored).tokens, OpenRequest(scored).caller) == (1 + 2 + 3 + 1, "ann")


def test_a_request_without_a_caller_goes_to_the_least_busy_replica():
    assert choose_replica([7, 3, 9], ["1", "2", "3"], "") == 1
    assert choose_replica([3, 3], ["1", "2"], "") == 0


@given(st.text(min_size=1), st.integers(1, 8))
def test_a_caller_gets_the_same_replica_until_that_is_clearly_busier(caller, num):
    names = [str(index) for index in range(num)]
    preferred = choose_replica([0] * num, names, caller)
    tokens = [0] * num
    tokens[preferred] = STICKY_TOKENS
    assert choose_replica(tokens, names, caller) == preferred
    tokens[preferred] += 1
    assert num == 1 or choose_replica(tokens, names, caller) != preferred


@given(st.text(min_size=1), st.integers(2, 8), st.data())
def test_a_removed_replica_moves_only_its_own_callers(caller, num, data):
    names = [str(index) for index in range(num)]
    preferred = names[choose_replica([0] * num, names, caller)]
    remaining = [
        name for name in names if name != data.draw(st.sampled_from([name for name in names if name != preferred]))
    ]
    assert remaining[choose_replica([0] * len(remaining), remaining, caller)] == preferred
