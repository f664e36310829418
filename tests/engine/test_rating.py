"""Given texts are scored: each token as the model scores it alone, each prompt computed once, and nobody delayed."""

import msgspec
import numpy as np
import pytest

from llmos.core.errors import BadRequest, Conflict, PromptTooLong
from llmos.engine import live_request
from llmos.engine.messages import Delta, Failed, Rated, Started
from llmos.engine.runner import SequencesRefused
from support.fakes import FakeRunner, continuation, drain, generate, make_engine, run, tokens_of
from support.rated import check_rated, expected, numbers, rate


def prompt(length, salt=0):
    return [(i * 7 + salt) % 250 + 1 for i in range(length)]


def options(count, length, salt=0):
    return [[(i * 31 + j * 3 + salt) % 250 + 1 for j in range(length)] for i in range(count)]


def rated(engine, *commands):
    """Run the commands, and return the event of each."""
    outputs = run(engine, *commands)
    return [outputs[command.id, 0][-1] for command in commands]


@pytest.mark.parametrize("scores_prompt", [False, True])
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 40])
def test_every_token_is_scored_as_the_model_scores_it(length, scores_prompt):
    runner = FakeRunner()
    command = rate(
        tokens=prompt(length),
        continuations=[[7], [8, 9], [8, 9], [8], *options(3, 5), [8, 9, 10]],
        scores_prompt=scores_prompt,
        num_top=3,
    )
    (event,) = rated(make_engine(runner), command)
    check_rated(event, command, runner)


def test_a_prompt_alone_is_scored():
    runner = FakeRunner()
    for length in (1, 2, 16, 17, 33):
        command = rate(tokens=prompt(length), scores_prompt=True, num_top=2)
        (event,) = rated(make_engine(runner), command)
        check_rated(event, command, runner)
        assert event.prompt_start == (1, "\x01", b"\x01")


def test_a_score_has_the_text_and_the_bytes_of_its_token():
    (event,) = rated(make_engine(), rate(continuations=["é"], num_top=1))
    assert [(score.text, score.bytes) for score in event.continuations[0]] == [("�", b"\xc3"), ("�", b"\xa9")]
    assert all(len(score.top) == 1 for score in event.continuations[0])


def test_one_prefill_serves_all_continuations():
    runner = FakeRunner(max_positions=1024)
    command = rate(tokens=prompt(512), continuations=options(4, 8))
    (event,) = rated(make_engine(runner), command)
    assert event.num_computed_tokens == runner.num_positions == 512 + 4 * 7
    assert runner.num_scored == 4 * 8
    assert len(runner.batch_sizes) == 2


def test_a_prompt_that_ends_within_a_block_costs_its_last_tokens_again():
    runner = FakeRunner(max_positions=1024)
    (event,) = rated(make_engine(runner), rate(tokens=prompt(500), continuations=options(4, 8)))
    assert event.num_computed_tokens == runner.num_positions == 500 + 7 + 3 * (500 % 16 + 7)


def test_single_tokens_cost_the_prompt_alone():
    runner = FakeRunner()
    (event,) = rated(make_engine(runner), rate(tokens=prompt(50), continuations=[[i] for i in range(100)]))
    assert event.num_computed_tokens == runner.num_positions == 50
    assert len(runner.batch_sizes) == 1


def test_a_cached_prompt_costs_its_last_block_only():
    runner = FakeRunner()
    engine = make_engine(runner)
    run(engine, generate("before", prompt(100), max_tokens=1))
    before = runner.num_positions
    command = rate(tokens=prompt(100), continuations=options(2, 1))
    (event,) = rated(engine, command)
    assert (event.num_cached_tokens, event.num_computed_tokens) == (96, 4)
    assert runner.num_positions - before == 4
    check_rated(event, command, runner)


def test_a_scored_prompt_is_computed_anew_and_cached():
    runner = FakeRunner()
    engine = make_engine(runner)
    for scores_prompt, num_cached in [(True, 0), (True, 0), (False, 96)]:
        command = rate(tokens=prompt(100), continuations=options(2, 1), scores_prompt=scores_prompt)
        (event,) = rated(engine, command)
        assert event.num_cached_tokens == num_cached
        check_rated(event, command, runner)
    outputs = run(engine, generate("after", prompt(100), max_tokens=2))
    assert outputs["after", 0][0].num_cached_tokens == 96


def test_an_answer_takes_what_was_scored_from_the_cache():
    engine = make_engine()
    run(engine, rate(tokens=prompt(30), continuations=[prompt(40, 3)]))
    outputs = run(engine, generate("next", prompt(30) + prompt(40, 3), max_tokens=3))
    assert outputs["next", 0][0].num_cached_tokens == 64
    assert tokens_of(outputs["next", 0]) == continuation(prompt(30) + prompt(40, 3), 3)


def test_salts_and_callers_without_a_cache_share_nothing():
    engine = make_engine()
    run(engine, rate("a", tokens=prompt(64), continuations=[[1]], cache_salt="one"))
    (event,) = rated(engine, rate("b", tokens=prompt(64), continuations=[[1]], cache_salt="other"))
    assert event.num_cached_tokens == 0
    engine = make_engine(prefix_cache=False)
    run(engine, rate("a", tokens=prompt(64), continuations=[[1]]))
    (event,) = rated(engine, rate("b", tokens=prompt(64), continuations=[[1]]))
    assert event.num_cached_tokens == 0


@pytest.mark.parametrize("budget", [1, 3, 7, 16, 64])
def test_chunks_change_no_score(budget):
    runner = FakeRunner()
    command = rate(tokens=prompt(50), continuations=[*options(5, 9), [4]], scores_prompt=True, num_top=2)
    engine = make_engine(runner, max_batched_tokens=budget, max_sequences=1)
    (event,) = rated(engine, command)
    check_rated(event, command, runner)


def test_scores_are_the_same_beside_answers_and_with_few_blocks():
    runner = FakeRunner(num_blocks=8, max_positions=128)
    engine = make_engine(runner)
    commands = [rate(f"s{i}", prompt(20, i), options(6, 9, i), scores_prompt=i % 2 == 0, num_top=i) for i in range(5)]
    outputs = run(engine, *(generate(f"g{i}", prompt(20, i), max_tokens=60) for i in range(3)), *commands)
    assert engine.load().num_preemptions > 0
    for command in commands:
        check_rated(outputs[command.id, 0][-1], command, runner)
    for i in range(3):
        assert tokens_of(outputs[f"g{i}", 0]) == continuation(prompt(20, i), 60)


def test_a_preempted_sequence_scores_no_token_twice():
    runner = FakeRunner()
    engine = make_engine(runner, max_batched_tokens=20, max_sequences=2)
    command = rate(tokens=prompt(100), scores_prompt=True)
    engine.submit(command)
    engine.step()
    engine.step()
    engine._scheduler._preempt(engine._scheduler.running)
    (event,) = drain(engine)["s", 0]
    check_rated(event, command, runner)
    assert runner.num_scored == 99
    assert runner.num_positions == event.num_computed_tokens == 99 + 40 - 32, "scored blocks come from the cache"


def test_many_continuations_run_a_few_at_a_time():
    engine = make_engine(FakeRunner(num_blocks=256), max_sequences=8)
    engine.submit(rate(tokens=prompt(40), continuations=options(250, 6), caller="ann"))
    most = 0
    while engine.has_work:
        engine.step()
        engine.check_invariants()
        load = engine.load()
        most = max(most, load.num_running + load.num_waiting)
    assert most == live_request.MAX_QUEUED_BRANCHES


@pytest.mark.thorough
@pytest.mark.parametrize("caller", ["ann", "bob"])
def test_many_continuations_delay_others_little(caller):
    engine = make_engine(FakeRunner(num_blocks=256), max_sequences=8, max_batched_tokens=64)
    engine.submit(rate(tokens=prompt(40), continuations=options(250, 20), caller="ann"))
    for _ in range(5):
        engine.step()
    engine.submit(generate("g", prompt(30, 3), caller=caller, max_tokens=5))
    events = []
    for _ in range(40):
        events += engine.step()
    assert [event.finish_reason for event in events if event.id == "g"][-1] == "length"
    assert not any(isinstance(event, Rated) for event in events)


def test_the_prompts_of_many_waiting_scores_hold_up_no_answer():
    engine = make_engine(FakeRunner(num_blocks=256, max_positions=1024), max_batched_tokens=16, max_sequences=4)
    engine.submit(rate(tokens=prompt(800), continuations=options(100, 6), caller="ann"))
    engine.step()
    engine.submit(generate("g", [5], caller="bob", max_tokens=2))
    assert [event.id for _ in range(3) for event in engine.step()] == ["g", "g"]


def test_scores_in_the_background_wait_for_answers():
    runner = FakeRunner(num_blocks=64)
    engine = make_engine(runner, max_batched_tokens=32, max_sequences=4)
    commands = [rate(f"s{i}", prompt(100, i), options(4, 9), priority=-100) for i in range(4)]
    for command in commands:
        engine.submit(command)
    engine.step()
    engine.submit(generate("g", prompt(20, 9), max_tokens=4))
    events = []
    while not any(event.id == "g" for event in events):
        events += engine.step()
    assert [event.id for event in events] == ["g"]
    outputs = drain(engine)
    for command in commands:
        check_rated(outputs[command.id, 0][-1], command, runner)


class NaNRunner(FakeRunner):
    """Returns NaN behind a token."""

    def logits(self, tokens):
        return super().logits(tokens) * (np.nan if tokens[-1] == 255 else 1)


@pytest.mark.parametrize("continuations", [[[255, 5]], [[6, 7], [6, 8, 9], [6, 255, 5]]])
def test_scores_that_are_not_finite_fail_their_request_alone(continuations):
    runner = NaNRunner()
    engine = make_engine(runner)
    good = rate("good", prompt(20), options(2, 3))
    outputs = run(engine, rate("bad", prompt(20, 1), continuations), good, generate("g", prompt(9), max_tokens=3))
    assert outputs["bad", 0] == [Failed("bad", "internal_error", "The model computed logits that are not finite.")]
    check_rated(outputs["good", 0][-1], good, runner)
    assert tokens_of(outputs["g", 0]) == continuation(prompt(9), 3)
    assert engine.load().num_free_blocks == 64


def test_a_failed_request_leaves_nothing_in_the_cache():
    engine = make_engine(NaNRunner())
    run(engine, rate("bad", [*prompt(40), 255], [[5]]))
    (event,) = rated(engine, rate("next", prompt(41), [[5]]))
    assert event.num_cached_tokens == 0


def test_a_refused_sequence_fails_its_request_alone():
    class Refusing(FakeRunner):
        def forward(self, batch):
            bad = [
                s for s in range(len(batch.starts) - 1) if 255 in batch.tokens[batch.starts[s] : batch.starts[s + 1]]
            ]
            if bad:
                raise SequencesRefused(bad, "token 255")
            return super().forward(batch)

    runner = Refusing()
    good = rate("good", prompt(20), options(2, 3))
    outputs = run(make_engine(runner), good, rate("bad", prompt(20, 1), [[6, 255, 5], [7, 8]]))
    assert [type(event) for event in outputs["bad", 0]] == [Failed]
    check_rated(outputs["good", 0][-1], good, runner)


def test_a_failed_step_fails_what_was_in_it():
    class Failing(FakeRunner):
        def forward(self, batch):
            if len(self.batch_sizes) == 1:
                self.batch_sizes.append(None)
                raise RuntimeError("the runner was asked to fail")
            return super().forward(batch)

    runner = Failing()
    engine = make_engine(runner, max_batched_tokens=16, max_sequences=4)
    outputs = run(engine, rate("bad", prompt(40), options(2, 3)))
    assert [type(event) for event in outputs["bad", 0]] == [Failed]
    good = rate("good", prompt(40), options(2, 3))
    (event,) = rated(engine, good)
    check_rated(event, good, runner)


def test_a_tokenizer_that_fails_ends_its_request_alone(monkeypatch):
    engine = make_engine()
    decode = engine._tokenizer.token_bytes
    monkeypatch.setattr(engine._tokenizer, "token_bytes", lambda token: 1 / 0 if token == 255 else decode(token))
    outputs = run(engine, rate("bad", prompt(4), [[255, 98]]), rate("good", prompt(4, 1), [[98]]))
    assert [type(events[-1]) for events in outputs.values()] == [Failed, Rated]


@pytest.mark.parametrize("num_steps", range(12))
def test_an_aborted_request_leaves_nothing(num_steps):
    runner = FakeRunner(num_blocks=64)
    engine = make_engine(runner, max_batched_tokens=32, max_sequences=4)
    engine.submit(rate("gone", prompt(60), options(9, 20), scores_prompt=True))
    other = rate("stays", prompt(30, 2), options(2, 5))
    engine.submit(other)
    events = [event for _ in range(num_steps) for event in engine.step()]
    engine.abort("gone")
    engine.check_invariants()
    events += [event for key, each in drain(engine).items() for event in each]
    assert [event.id for event in events] == ["stays"]
    check_rated(events[0], other, runner)
    assert engine.load().num_free_blocks == 64
    assert engine.submit(rate("gone", [1], [[2]])) == Started("gone", 1)


def test_an_id_that_is_in_use_is_refused():
    engine = make_engine()
    engine.submit(rate("r", [1], [[2]]))
    with pytest.raises(Conflict):
        engine.submit(rate("r", [1], [[2]]))


def test_the_load_counts_prompts_and_continuations():
    engine = make_engine()
    run(engine, rate("a", prompt(40), [[1, 2, 3], [1, 2, 3], [5]]))
    assert (engine.load().num_prompt_tokens, engine.load().num_cached_tokens) == (47, 0)
    run(engine, rate("b", prompt(40), scores_prompt=True))
    assert (engine.load().num_prompt_tokens, engine.load().num_cached_tokens) == (87, 0)
    run(engine, rate("c", prompt(40), [[9]]))
    assert (engine.load().num_prompt_tokens, engine.load().num_cached_tokens) == (128, 32)
    assert engine.load().num_output_tokens == 0


# --- the prompt's scores with an answer


def with_scores(id, tokens, num_top=0, **sampling):
    return msgspec.structs.replace(generate(id, tokens, **sampling), prompt_logprobs=num_top)


@pytest.mark.parametrize("length", [1, 2, 16, 17, 50])
@pytest.mark.parametrize("n", [1, 3, 40])
def test_the_scores_of_a_prompt_come_once_and_before_its_answers(length, n):
    runner = FakeRunner(num_blocks=256)
    engine = make_engine(runner, max_sequences=8, max_batched_tokens=24)
    run(engine, generate("cached", prompt(length), max_tokens=1))
    before = runner.num_positions
    engine.submit(with_scores("r", prompt(length), num_top=2, n=n, max_tokens=3))
    events = []
    while engine.has_work:
        events += engine.step()
        engine.check_invariants()
    first, *deltas = events
    assert isinstance(first, Rated)
    assert all(isinstance(event, Delta) for event in deltas)
    assert numbers(first.prompt) == expected(runner, prompt(length)[:1], prompt(length)[1:], 2)
    assert (first.continuations, first.prompt_start[0], first.num_cached_tokens) == ([], 1, 0)
    assert first.num_computed_tokens == length
    for index in range(n):
        mine = [delta for delta in deltas if delta.index == index]
        assert tokens_of(mine) == continuation(prompt(length), 3)
    assert runner.num_scored == length - 1
    assert runner.num_positions - before < length + n * (16 + 3)


@pytest.mark.parametrize("length", [1, 2, 40, 64])
def test_a_prompt_can_be_scored_without_an_answer(length):
    runner = FakeRunner(max_positions=64)
    engine = make_engine(runner)
    request = with_scores("r", prompt(length), 2, n=2, max_tokens=0)
    started = engine.submit(msgspec.structs.replace(request, echo=True))
    assert started.num_prompt_tokens == length
    rated, *choices = [event for _ in range(20) for event in engine.step()]
    engine.check_invariants()
    assert not engine.has_work
    assert numbers(rated.prompt) == expected(runner, prompt(length)[:1], prompt(length)[1:], 2)
    assert rated.num_prompt_tokens == length
    text = bytes(prompt(length)).decode(errors="replace")
    assert [(each.index, each.text, each.finish_reason, each.num_output_tokens) for each in choices] == [
        (0, text, "length", 0),
        (1, text, "length", 0),
    ]


def test_a_prompt_that_is_scored_alone_is_checked_as_any_other():
    engine = make_engine(FakeRunner(max_positions=64))
    with pytest.raises(PromptTooLong, match="Shorten it by 1 token"):
        engine.prepare(with_scores("r", prompt(65), max_tokens=0))
    for params, words in [({"n": 0}, "n is 0"), ({"temperature": 3}, "temperature is 3")]:
        with pytest.raises(BadRequest, match=words):
            engine.prepare(with_scores("r", prompt(5), max_tokens=0, **params))
    with pytest.raises(BadRequest, match="max_tokens is 0"):
        engine.prepare(generate("r", prompt(5), max_tokens=0))


def test_an_answer_is_the_same_with_its_prompts_scores():
    requests = [generate("r", prompt(40), temperature=1.0, seed=3, n=4, logprobs=2)]
    plain = run(make_engine(), *requests)
    scored = run(make_engine(), *(with_scores("r", prompt(40), temperature=1.0, seed=3, n=4, logprobs=2) for _ in "a"))
    assert [tokens_of(plain["r", i]) for i in range(4)] == [
        tokens_of([event for event in scored["r", i] if isinstance(event, Delta)]) for i in range(4)
    ]


def test_a_prompt_whose_scores_are_not_finite_fails_its_request():
    outputs = run(make_engine(NaNRunner()), with_scores("bad", [1, 255, 2], n=2), generate("good", [1, 2]))
    assert [type(event) for event in outputs["bad", 0]] == [Failed]
    assert tokens_of(outputs["good", 0]) == continuation([1, 2], 8)


@pytest.mark.parametrize("num_steps", range(8))
def test_an_answer_is_aborted_with_its_scores(num_steps):
    engine = make_engine(max_batched_tokens=16, max_sequences=4)
    engine.submit(with_scores("gone", prompt(60), n=6, max_tokens=4))
    for _ in range(num_steps):
        engine.step()
    engine.abort("gone")
    engine.check_invariants()
    assert not engine.has_work
    assert engine.load().num_free_blocks == 64


@pytest.mark.parametrize("num_top", [-1, 21])
def test_too_many_likely_tokens_are_refused(num_top):
    with pytest.raises(BadRequest, match=f"num_top is {num_top}; it takes a whole number from 0 to 20") as error:
        make_engine().prepare(rate(continuations=[[1]], num_top=num_top))
    assert error.value.param == "num_top"
    with pytest.raises(BadRequest, match="prompt_logprobs is"):
        make_engine().prepare(with_scores("r", [1], num_top=num_top))
