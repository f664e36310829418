"""Requests join and leave, blocks run out, callers hang up: every answer stays the same."""

import numpy as np
import pytest

from llmos.core.errors import BadRequest, Conflict, PromptTooLong
from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.messages import Delta, Failed, Generate, SamplingParams, Started
from llmos.engine.sampling.sampler import Sampler
from support.fakes import (
    EOS,
    VOCAB_SIZE,
    FakeRunner,
    FakeTokenizer,
    ScriptedRunner,
    continuation,
    drain,
    generate,
    make_engine,
    run,
    text_of,
    tokens_of,
)


def prompt(length, salt=0):
    return [(i * 7 + salt) % 250 + 1 for i in range(length)]


def test_an_answer_is_what_the_model_says():
    outputs = run(make_engine(), generate(max_tokens=12))
    assert tokens_of(outputs["r", 0]) == continuation([1, 2, 3], 12)
    assert outputs["r", 0][-1].finish_reason == "length"
    assert outputs["r", 0][-1].num_output_tokens == 12


def test_requests_join_between_steps_without_changing_any_answer():
    engine = make_engine()
    engine.submit(generate("a", prompt(5), max_tokens=20))
    events = engine.step() + engine.step()
    engine.submit(generate("b", prompt(40), max_tokens=3))
    events += engine.step()
    engine.submit(generate("c", prompt(17), max_tokens=9))
    while engine.has_work:
        events += engine.step()
        engine.check_invariants()
    for id, length, count in [("a", 5, 20), ("b", 40, 3), ("c", 17, 9)]:
        assert tokens_of([e for e in events if e.id == id]) == continuation(prompt(length), count)


def test_decodes_share_one_forward_pass():
    runner = FakeRunner()
    run(make_engine(runner), *(generate(f"r{i}", prompt(4, i), max_tokens=3) for i in range(8)))
    assert runner.batch_sizes == [(8, 32), (8, 8), (8, 8)]


def test_a_long_prompt_is_computed_in_chunks_while_the_others_decode():
    runner = FakeRunner()
    engine = make_engine(runner, max_batched_tokens=16, max_sequences=4)
    engine.submit(generate("short", prompt(4), max_tokens=10))
    engine.step()
    engine.submit(generate("long", prompt(50), max_tokens=2))
    outputs = drain(engine)
    assert [n for _, n in runner.batch_sizes[1:5]] == [16, 16, 16, 6]
    assert tokens_of(outputs["short", 0]) == continuation(prompt(4), 10)[1:]
    assert tokens_of(outputs["long", 0]) == continuation(prompt(50), 2)


def test_each_step_counts_the_tokens_that_it_computed():
    runner = FakeRunner()
    engine = make_engine(runner, max_batched_tokens=16, max_sequences=4)
    engine.submit(generate("long", prompt(50), max_tokens=6))
    engine.submit(generate("short", prompt(4), max_tokens=6))
    while engine.has_work:
        engine.step()
        assert engine.num_computed_tokens == runner.num_positions
    assert runner.num_positions >= 54 + 5 + 5


def test_the_token_budget_is_never_exceeded():
    runner = FakeRunner()
    requests = [generate(f"r{i}", prompt(30 + i), max_tokens=5) for i in range(10)]
    run(make_engine(runner, max_batched_tokens=24, max_sequences=6), *requests)
    assert max(n for _, n in runner.batch_sizes) == 24
    assert max(s for s, _ in runner.batch_sizes) <= 6


def test_when_blocks_run_out_the_youngest_waits_and_all_answers_stay_the_same():
    engine = make_engine(FakeRunner(num_blocks=8, max_positions=128))
    outputs = run(engine, *(generate(f"r{i}", prompt(20, i), max_tokens=60) for i in range(4)))
    assert engine.load().num_preemptions > 0
    for i in range(4):
        assert tokens_of(outputs[f"r{i}", 0]) == continuation(prompt(20, i), 60)


def test_the_oldest_is_never_preempted():
    engine = make_engine(FakeRunner(num_blocks=8, max_positions=128))
    for i in range(3):
        engine.submit(generate(f"r{i}", prompt(20, i), max_tokens=100))
    finished = [event.id for event in _events(engine) if event.finish_reason]
    assert finished == ["r0", "r1", "r2"]


def _events(engine):
    while engine.has_work:
        yield from engine.step()


def test_preemption_does_not_change_a_seeded_answer():
    requests = [generate(f"r{i}", prompt(20, i), max_tokens=60, temperature=1.0, seed=i) for i in range(4)]
    roomy = run(make_engine(FakeRunner(num_blocks=64)), *requests)
    engine = make_engine(FakeRunner(num_blocks=8, max_positions=128))
    tight = run(engine, *requests)
    assert engine.load().num_preemptions > 0
    assert {key: tokens_of(deltas) for key, deltas in tight.items()} == {
        key: tokens_of(deltas) for key, deltas in roomy.items()
    }


def test_the_same_seed_gives_the_same_text_whatever_else_is_in_the_batch():
    mine = generate("mine", temperature=1.0, seed=7, max_tokens=20)
    alone = run(make_engine(), mine)
    crowd = [generate(f"r{i}", prompt(9, i), temperature=1.0, seed=i, max_tokens=15) for i in range(5)]
    together = run(make_engine(), *crowd, mine)
    assert tokens_of(together["mine", 0]) == tokens_of(alone["mine", 0])
    other = run(make_engine(), generate("mine", temperature=1.0, seed=8, max_tokens=20))
    assert tokens_of(other["mine", 0]) != tokens_of(alone["mine", 0])


def test_without_a_seed_answers_differ():
    outputs = run(make_engine(), *(generate(f"r{i}", temperature=1.0, max_tokens=20) for i in range(2)))
    assert tokens_of(outputs["r0", 0]) != tokens_of(outputs["r1", 0])


def test_n_choices_differ_and_each_is_the_same_again_with_the_same_seed():
    request = generate(n=3, temperature=1.0, seed=5, max_tokens=10)
    first, second = (run(make_engine(), request) for _ in range(2))
    answers = [tokens_of(first["r", i]) for i in range(3)]
    assert answers == [tokens_of(second["r", i]) for i in range(3)]
    assert len({tuple(answer) for answer in answers}) == 3
    single = run(make_engine(), generate(temperature=1.0, seed=5, max_tokens=10))
    assert tokens_of(single["r", 0]) == answers[0], "the first of many is the answer that one alone would be"


def test_the_choices_of_a_request_share_their_prompt():
    runner = FakeRunner()
    outputs = run(make_engine(runner), generate("r", prompt(100), n=4, max_tokens=5))
    for i in range(4):
        assert tokens_of(outputs["r", i]) == continuation(prompt(100), 5)
    # 100 tokens once, the 4 behind the last full block for the other three, 4 more for each choice
    assert runner.num_positions == 100 + 3 * 4 + 4 * 4
    # A block is read only in the steps after the one that wrote it.
    assert runner.batch_sizes[:2] == [(1, 100), (4, 1 + 3 * 4)]


def test_choices_share_their_prompt_with_too_few_blocks_for_all():
    request = generate("r", prompt(60), n=4, max_tokens=50, temperature=1.0, seed=1)
    roomy = run(make_engine(), request)
    engine = make_engine(FakeRunner(num_blocks=9, max_positions=128))
    outputs = run(engine, request)
    assert engine.load().num_preemptions > 0
    for i in range(4):
        assert tokens_of(outputs["r", i]) == tokens_of(roomy["r", i])


@pytest.mark.parametrize("num_steps", [0, 1, 2, 4, 7])
def test_an_abort_frees_all_blocks_at_once_and_no_more_events_follow(num_steps):
    engine = make_engine(max_batched_tokens=16, max_sequences=8)
    engine.submit(generate("gone", prompt(40), n=2, max_tokens=50))
    engine.submit(generate("stays", prompt(10), max_tokens=20))
    stays = []
    for _ in range(num_steps):
        stays += [e for e in engine.step() if e.id == "stays"]
    engine.abort("gone")
    engine.check_invariants()
    outputs = drain(engine)
    assert {id for id, _ in outputs} == {"stays"}
    assert tokens_of(stays + outputs["stays", 0]) == continuation(prompt(10), 20)
    assert engine.load().num_free_blocks == 64


def test_an_abort_of_an_unknown_or_ended_request_does_nothing():
    engine = make_engine()
    run(engine, generate())
    engine.abort("r")
    engine.abort("never was")
    engine.check_invariants()


def test_an_id_can_be_used_again_only_when_its_request_has_ended():
    engine = make_engine()
    engine.submit(generate())
    with pytest.raises(Conflict, match="r is running already"):
        engine.submit(generate())
    drain(engine)
    assert engine.submit(generate()) == Started("r", 3)


def test_usage_counts_are_exact():
    engine = make_engine(ScriptedRunner("hello"))
    assert engine.submit(generate(tokens=[9, 9, 0], ignore_eos=False, max_tokens=50)) == Started("r", 3)
    last = drain(engine)["r", 0][-1]
    assert (last.finish_reason, last.stop_reason, last.num_output_tokens) == ("stop", EOS, 6)
    load = engine.load()
    assert (load.num_prompt_tokens, load.num_output_tokens, load.num_running, load.num_waiting) == (3, 6, 0, 0)


def test_max_tokens_defaults_to_the_room_that_is_left():
    engine = make_engine(FakeRunner(max_positions=64))
    outputs = run(engine, generate(tokens=prompt(60), max_tokens=None))
    assert tokens_of(outputs["r", 0]) == continuation(prompt(60), 4)
    assert outputs["r", 0][-1].finish_reason == "length"


@pytest.mark.parametrize("field", ["text", "messages"])
def test_a_prompt_far_over_the_context_is_refused_by_its_beginning(field):
    engine = make_engine(context_length=32)
    text = "x" * 1_000_000
    prompt = {"text": text} if field == "text" else {"messages": [{"role": "user", "content": text}]}
    with pytest.raises(PromptTooLong, match="has more than 256 tokens; the model accepts 32") as error:
        engine.submit(Generate(id="r", **prompt))
    assert error.value.param == ("prompt" if field == "text" else "messages")


@pytest.fixture
def num_encoded(monkeypatch):
    """Lengths of the texts that the tokenizer was called with."""
    lengths = []
    encode, encode_chat = FakeTokenizer.encode, FakeTokenizer.encode_chat

    def count(self, text, **options):
        lengths.append(len(text))
        return encode(self, text, **options)

    def count_chat(self, messages, **options):
        lengths.append(sum(len(message["content"]) for message in messages))
        return encode_chat(self, messages, **options)

    monkeypatch.setattr(FakeTokenizer, "encode", count)
    monkeypatch.setattr(FakeTokenizer, "encode_chat", count_chat)
    return lengths


@pytest.mark.parametrize("content", ["Hello.", ""])
def test_many_small_messages_that_are_far_too_long_are_not_encoded_whole(num_encoded, content):
    messages = [{"role": "user", "content": content}] * 100_000
    with pytest.raises(PromptTooLong, match=r"more than 256 tokens; .* 32\. Shorten it by more than 224") as error:
        make_engine(context_length=32).submit(Generate(id="r", messages=messages))
    assert error.value.param == "messages"
    assert num_encoded == [8 * 32]


def test_a_beginning_with_few_tokens_does_not_get_the_rest_encoded_whole(num_encoded, monkeypatch):
    encode = FakeTokenizer.encode  # which counts; here a run of spaces is one token
    monkeypatch.setattr(FakeTokenizer, "encode", lambda self, text, **o: encode(self, " " + text.lstrip(), **o))
    with pytest.raises(PromptTooLong):
        make_engine(context_length=32).submit(Generate(id="r", text=" " * 256 + "x" * 1_000_000))
    assert sum(num_encoded) <= 3 * 8 * 32


def test_a_prompt_over_the_context_says_both_numbers_and_the_difference():
    engine = make_engine(FakeRunner(num_blocks=600, max_positions=8192))
    with pytest.raises(PromptTooLong) as error:
        engine.submit(generate(tokens=[1] * 9120))
    assert error.value.message == ("The prompt has 9,120 tokens; the model accepts 8,192. Shorten it by 928 tokens.")
    assert error.value.param == "prompt"
    with pytest.raises(PromptTooLong, match="no room is left"):
        engine.submit(generate(tokens=[1] * 8192, max_tokens=None))


def test_max_tokens_over_the_room_is_refused_with_the_numbers():
    with pytest.raises(BadRequest, match=r"60 tokens and max_tokens is 5, together 65; the model accepts 64.*to 4"):
        make_engine(FakeRunner(max_positions=64)).submit(generate(tokens=prompt(60), max_tokens=5))


def test_max_tokens_may_exceed_the_context_if_the_caller_allows_it():
    engine = make_engine(context_length=32)
    outputs = run(engine, generate(tokens=prompt(20), max_tokens=100_000, may_exceed_context=True))
    assert len(tokens_of(outputs["r", 0])) == 12
    assert outputs["r", 0][-1].finish_reason == "length"


def test_a_prompt_is_counted_whether_or_not_it_fits():
    engine = make_engine(context_length=32)
    assert engine.count(generate(tokens=prompt(50))).num_prompt_tokens == 50
    with pytest.raises(PromptTooLong, match="more than 256"):
        engine.count(Generate(id="r", text="x" * 1_000_000))


def test_only_text_of_the_assistants_can_be_continued():
    user = {"role": "user", "content": "a"}
    call = {"role": "assistant", "content": "", "tool_calls": [{}]}
    for messages in ([], [user], [user, call], [user, {"role": "assistant", "content": None}]):
        with pytest.raises(BadRequest, match="can be continued") as caught:
            make_engine().prepare(Generate(id="r", messages=messages, continue_final_message=True))
        assert caught.value.param == "messages"


def test_a_small_cache_limits_the_context():
    with pytest.raises(PromptTooLong, match="the model accepts 32"):
        make_engine(FakeRunner(num_blocks=2)).submit(generate(tokens=prompt(40)))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Generate(id="r"), "no prompt"),
        (Generate(id="r", text="a", tokens=[1]), "text and tokens"),
        (Generate(id="r", text=""), "empty"),
        (Generate(id="r", tokens=[1, VOCAB_SIZE]), f"token {VOCAB_SIZE}; the model's tokens are 0 to {VOCAB_SIZE - 1}"),
        (Generate(id="r", tokens=[-1]), "token -1"),
    ],
)
def test_an_invalid_prompt_is_refused(request_, message):
    with pytest.raises(BadRequest, match=message):
        make_engine().submit(request_)


def test_messages_go_through_the_template_and_text_does_not():
    engine = make_engine()
    params = SamplingParams(max_tokens=1)
    assert engine.submit(Generate(id="a", messages=[{"content": "hi"}], sampling=params)).num_prompt_tokens == 3
    assert engine.submit(Generate(id="b", text="hi", sampling=params)).num_prompt_tokens == 2


def test_a_user_text_goes_through_the_template_if_there_is_one():
    engine = make_engine()
    params = SamplingParams(max_tokens=1)
    assert engine.submit(Generate(id="a", user_text="hi", sampling=params)).num_prompt_tokens == 3
    engine._tokenizer.has_template = False
    assert engine.submit(Generate(id="b", user_text="hi", sampling=params)).num_prompt_tokens == 2


@pytest.mark.parametrize("prompt", [{"text": "x" * 99}, {"user_text": "x" * 99}, {"tokens": [1] * 99}])
def test_a_prompt_that_is_too_long_names_its_field(prompt):
    for context_length in (64, 8):
        with pytest.raises(PromptTooLong) as error:
            make_engine(context_length=context_length).submit(Generate(id="r", **prompt))
        assert error.value.param == "prompt"


def test_messages_for_a_model_without_a_template_are_refused():
    engine = make_engine()
    engine._tokenizer.has_template = False
    with pytest.raises(BadRequest, match="no chat template") as error:
        engine.submit(Generate(id="r", messages=[{"content": "hi"}]))
    assert error.value.param == "messages"


def test_echo_puts_the_prompt_in_front_of_every_choice():
    engine = make_engine(ScriptedRunner(" end"))
    engine.submit(Generate(id="r", text="begin\0", echo=True, sampling=SamplingParams(n=2, temperature=0)))
    outputs = drain(engine)
    assert [text_of(outputs["r", i]) for i in range(2)] == ["begin\0 end"] * 2


class FailingRunner(FakeRunner):
    """Returns NaN for a prompt that begins with the token 66, and raises for one that begins with 13."""

    def forward(self, batch):
        if 13 in batch.tokens[batch.starts[:-1]][batch.context_lengths == 0]:
            raise RuntimeError("broken")
        return super().forward(batch)

    def logits(self, tokens):
        return super().logits(tokens) if tokens[0] != 66 else np.full(VOCAB_SIZE, np.nan, np.float32)


def test_nan_logits_fail_their_request_only():
    outputs = run(make_engine(FailingRunner()), generate("bad", [66], n=2), generate("good", [1, 2, 3]))
    message = "The model computed logits that are not finite."
    assert outputs["bad", 0] == [Failed("bad", "internal_error", message)]
    assert tokens_of(outputs["good", 0]) == continuation([1, 2, 3], 8)


def test_a_failed_forward_pass_fails_the_requests_in_the_batch_only():
    engine = make_engine(FailingRunner(), max_sequences=1, max_batched_tokens=64)
    outputs = run(engine, generate("bad", [13]), generate("good", [1, 2, 3]))
    assert [type(event) for event in outputs["bad", 0]] == [Failed]
    assert tokens_of(outputs["good", 0]) == continuation([1, 2, 3], 8)
    assert engine.load().num_free_blocks == 64


def test_a_sampling_error_of_one_request_fails_that_one_only():
    engine = make_engine()
    bad = engine.prepare(generate("bad", [5, 6], n=2, temperature=1.0))
    bad.sequences[1].sampling.top_p = -1.0
    engine.submit(generate("before", [1, 2, 3]))
    engine.admit(bad)
    engine.submit(generate("long", prompt(100)))
    outputs = drain(engine)
    assert outputs["bad", 0] == [Failed("bad", "internal_error", "The next token could not be chosen.")]
    assert tokens_of(outputs["before", 0]) == continuation([1, 2, 3], 8)
    assert tokens_of(outputs["long", 0]) == continuation(prompt(100), 8)


def test_a_sampler_that_always_fails_fails_every_request():
    def broken(*_):
        raise MemoryError

    engine = Engine(FakeRunner(), FakeTokenizer(), EngineConfig(), Sampler(broken))
    outputs = run(engine, generate("a"), generate("b"))
    assert [type(event) for event in outputs["a", 0] + outputs["b", 0]] == [Failed, Failed]
    assert engine.load().num_free_blocks == 64


def test_nan_logits_behind_a_rejected_draft_are_ignored():
    """Logits behind a rejected token are never looked at."""

    class FailsLate(ScriptedRunner):
        def logits(self, tokens):
            answered = bytes(tokens[int(np.flatnonzero(tokens == 0)[-1]) + 1 :].tolist())
            return super().logits(tokens) if self.text.startswith(answered) else np.full(VOCAB_SIZE, np.nan, np.float32)

    runner = FailsLate("abcabcabd" * 5)
    runner.text = b"abcabcabd" * 5
    engine = make_engine(runner)
    outputs = run(engine, generate(tokens=[*b"abcabcabc", 0], max_tokens=45))
    assert text_of(outputs["r", 0]) == runner.text.decode()
    assert engine.load().num_accepted_tokens < engine.load().num_draft_tokens


def test_nan_logits_in_an_accepted_draft_end_the_answer_after_its_tokens():
    class FailsLate(ScriptedRunner):
        def logits(self, tokens):
            num_answered = len(tokens) - 1 - int(np.flatnonzero(tokens == 0)[-1])
            return super().logits(tokens) if num_answered < 21 else np.full(VOCAB_SIZE, np.nan, np.float32)

    for max_draft_tokens in (0, 8):
        engine = make_engine(FailsLate("ab" * 40), max_draft_tokens=max_draft_tokens)
        *deltas, failed = run(engine, generate(tokens=[*b"ababab", 0], max_tokens=50))["r", 0]
        assert tokens_of(deltas) == [*b"ab" * 10, ord("a")]
        assert isinstance(failed, Failed)
        assert engine.load().num_output_tokens == 21


def test_a_step_without_work_does_nothing():
    engine = make_engine()
    assert engine.step() == []
    assert engine.load().num_steps == 0


def test_events_of_a_step_are_one_delta_per_choice():
    engine = make_engine()
    engine.submit(generate("a", n=2))
    engine.submit(generate("b"))
    events = engine.step()
    assert [(type(e), e.id, e.index) for e in events] == [(Delta, "a", 0), (Delta, "a", 1), (Delta, "b", 0)]


def scripted(text, **sampling):
    """Ask a model that answers `text` and ends; return (answer, finish_reason, stop_reason, number of tokens)."""
    options = {"ignore_eos": False, "max_tokens": 50} | sampling
    outputs = run(make_engine(ScriptedRunner(text)), generate(tokens=[9, 0], **options))["r", 0]
    return text_of(outputs), outputs[-1].finish_reason, outputs[-1].stop_reason, outputs[-1].num_output_tokens


def test_the_end_of_sequence_token_ends_an_answer():
    assert scripted("hello") == ("hello", "stop", EOS, 6)


def test_ignore_eos_continues_to_max_tokens():
    assert scripted("hello", ignore_eos=True, max_tokens=9) == ("hello", "length", None, 9)


def test_a_stop_string_ends_an_answer_before_or_behind_it():
    assert scripted("hello world", stop=["o w", "zzz"]) == ("hell", "stop", "o w", 7)
    assert scripted("hello world", stop=["o w"], include_stop=True) == ("hello w", "stop", "o w", 7)


def test_a_stop_token_ends_an_answer_even_when_eos_is_ignored():
    assert scripted("hello", stop_token_ids=[ord("l")], ignore_eos=True) == ("he", "stop", ord("l"), 3)


def test_min_tokens_bans_whatever_would_stop_the_answer():
    assert scripted("hi", min_tokens=6) == ("hi....", "stop", EOS, 7)
    assert scripted("hi", min_tokens=6, max_tokens=6) == ("hi....", "length", None, 6)
    assert scripted("hi there", min_tokens=4, stop_token_ids=[ord("i")]) == ("h. there", "stop", EOS, 9)


def test_logit_bias_changes_the_answer():
    assert scripted("aaaa", logit_bias={ord("b"): 100.0}, max_tokens=3) == ("bbb", "length", None, 3)


def test_a_frequency_penalty_stops_a_repetition():
    # The logit is 10 - 2 for every "a" so far, until it is no higher than that of "."
    assert scripted("a" * 40, frequency_penalty=2.0, max_tokens=6)[0] == "aaaaa."


def test_logprobs_come_with_every_token():
    outputs = run(make_engine(), generate(logprobs=2, max_tokens=4))["r", 0]
    for delta in outputs:
        [entry] = delta.logprobs
        assert [entry.token_id] == delta.token_ids
        assert entry.top[0] == (entry.token_id, entry.text, entry.bytes, entry.logprob)
        assert len(entry.top) == 2
        assert entry.top[1][3] <= entry.logprob < 0


@pytest.mark.parametrize(("asked", "num_tokens"), [(None, 5), (3, 3), (9, 9)])
def test_an_answer_without_a_limit_has_that_of_the_deployment(asked, num_tokens):
    deltas = run(make_engine(default_max_tokens=5), generate(max_tokens=asked))[("r", 0)]
    assert len(tokens_of(deltas)) == num_tokens
    assert deltas[-1].finish_reason == "length"


@pytest.mark.parametrize(("asked", "ignored"), [(8, []), (10_000, ["max_tokens"]), (None, [])])
def test_a_limit_that_is_more_than_fits_is_named_as_ignored(asked, ignored):
    assert make_engine().submit(generate(max_tokens=asked, may_exceed_context=True)).ignored == ignored


def test_the_first_delta_says_how_long_the_request_waited_for_room(monkeypatch):
    engine = make_engine(max_sequences=1)
    clock = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    engine.submit(generate("first", prompt(4), max_tokens=3))
    engine.submit(generate("second", prompt(4, 1), max_tokens=3))
    waited = {}
    while engine.has_work:
        for event in engine.step():
            waited.setdefault(event.id, []).append(event.queued_micros)
        clock[0] += 1
    assert waited == {"first": [0, 0, 0], "second": [3_000_000, 0, 0]}
