"""Drafts change the number of steps of an answer and nothing else; if they don't help, they cost little."""

import random
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.messages import Delta, Generate, SamplingParams
from llmos.engine.scheduling.drafter import Drafter
from llmos.engine.scheduling.sequence import Choice, Sequence
from llmos.engine.scheduling.speculate import Speculator, allot, step_cost
from support.examples import examples
from support.fakes import (
    VOCAB_SIZE,
    FakeRunner,
    MarkovRunner,
    ScriptedRunner,
    continuation,
    drain,
    generate,
    logprobs_of,
    make_engine,
    run,
    text_of,
    tokens_of,
)


def answers(outputs):
    """Return everything that a caller sees of its answers, independent of the deltas' boundaries."""
    return {
        key: (
            text_of(deltas),
            tokens_of(deltas),
            logprobs_of(deltas),
            deltas[-1].finish_reason,
            deltas[-1].stop_reason,
            deltas[-1].num_output_tokens,
        )
        for key, deltas in outputs.items()
    }


PROMPTS = st.text(alphabet="abcd", min_size=1, max_size=40).map(lambda text: [*text.encode()])

SAMPLING = st.fixed_dictionaries(
    {"max_tokens": st.integers(1, 60), "temperature": st.sampled_from([0.0, 0.3, 1.0])},
    optional={
        "seed": st.integers(0, 99),
        "n": st.integers(1, 3),
        "ignore_eos": st.booleans(),
        "min_tokens": st.integers(0, 60),
        "stop": st.lists(st.text(alphabet="abcd", min_size=1, max_size=5), max_size=2),
        "include_stop": st.booleans(),
        "stop_token_ids": st.lists(st.sampled_from(b"abcd"), max_size=1),
        "logprobs": st.integers(0, 3),
        "logit_bias": st.dictionaries(st.sampled_from(b"abcd"), st.sampled_from([-3.0, 2.0]), max_size=2),
        "repetition_penalty": st.sampled_from([0.8, 1.2]),
        "presence_penalty": st.sampled_from([-1.0, 0.5]),
        "frequency_penalty": st.sampled_from([-0.2, 0.1, 0.6]),
        "top_p": st.sampled_from([0.5, 0.9]),
        "top_k": st.integers(1, 3),
    },
)


@pytest.mark.thorough
@settings(max_examples=examples(150), deadline=None)
@given(
    model=st.fixed_dictionaries({"seed": st.integers(0, 999), "order": st.integers(1, 3)}),
    asked=st.lists(st.tuples(PROMPTS, SAMPLING), min_size=1, max_size=4),
    num_blocks=st.sampled_from([8, 64]),
    budget=st.sampled_from([4, 16, 512]),
)
def test_every_answer_is_the_same_with_and_without_drafts(model, asked, num_blocks, budget):
    outputs, counted = [], []
    for max_draft_tokens in (0, 8):
        engine = make_engine(
            MarkovRunner(**model, num_blocks=num_blocks, max_positions=128),
            max_draft_tokens=max_draft_tokens,
            max_batched_tokens=budget,
            max_sequences=4,
        )
        requests = []
        for i, (prompt, sampling) in enumerate(asked):
            sampling = {"seed": i} | sampling
            sampling["min_tokens"] = min(sampling.get("min_tokens", 0), sampling["max_tokens"])
            requests.append(generate(f"r{i}", prompt, **sampling))
        outputs.append(answers(run(engine, *requests)))
        counted.append(engine.load().num_output_tokens)
    assert outputs[0] == outputs[1]
    assert counted[0] == counted[1] == sum(answer[-1] for answer in outputs[0].values())


def test_a_model_that_copies_needs_at_most_a_third_of_the_steps():
    text = "What it was told is what it tells; " * 2 + "and in the end it tells something else."
    engine = make_engine(ScriptedRunner(text[35:]))
    outputs = run(engine, generate(tokens=[*text.encode(), 0], ignore_eos=False, max_tokens=None))
    assert text_of(outputs["r", 0]) == text[35:]
    load = engine.load()
    assert load.num_output_tokens / load.num_steps > 3
    assert load.num_accepted_tokens == load.num_output_tokens - load.num_steps
    assert load.num_draft_tokens >= load.num_accepted_tokens


def test_a_step_returns_one_delta_for_each_choice_however_much_it_accepts():
    engine = make_engine(ScriptedRunner("ab" * 40))
    engine.submit(generate(tokens=[*b"ababab", 0], n=2, max_tokens=60, logprobs=1))
    sizes = []
    while engine.has_work:
        events = engine.step()
        assert [event.index for event in events] == sorted({event.index for event in events})
        assert all(len(event.logprobs) == len(event.token_ids) for event in events)
        sizes += [len(event.token_ids) for event in events]
    assert sum(sizes) == 120
    assert max(sizes) > 3


def test_speculation_can_be_turned_off():
    engine = make_engine(ScriptedRunner("ab" * 40), max_draft_tokens=0)
    run(engine, generate(tokens=[*b"ababab", 0], max_tokens=60))
    assert (engine.load().num_steps, engine.load().num_draft_tokens) == (60, 0)


def test_no_more_is_drafted_than_the_answer_has_room_for():
    runner = ScriptedRunner("a" * 200, max_positions=64)
    engine = make_engine(runner)
    engine.submit(generate(tokens=[*b"a" * 40, 0], max_tokens=None))
    assert sum(len(event.token_ids) for _ in range(64) for event in engine.step()) == 64 - 41
    assert runner.num_positions == 64 - 1 + engine.load().num_draft_tokens - engine.load().num_accepted_tokens


@pytest.mark.thorough
def test_drafts_do_not_change_the_sampling_distribution():
    """Pearson's chi-square over the answers of three tokens to many seeds, with drafts right and wrong."""
    num_draws, letters = examples(6000, fast=1000), [*b"abcd"]
    runner = MarkovRunner(seed=4)
    prompt = [*b"abcdabcdacbdab"]
    expected = {}
    for first in letters:
        for second in letters:
            for third in letters:
                p, before = 1.0, prompt[-1]
                for token in (first, second, third):
                    weights = np.exp(runner.logits(np.array([before], np.int32)).astype(np.float64))
                    p *= weights[token] / weights[letters].sum()
                    before = token
                expected[first, second, third] = p * num_draws
    engine = make_engine(runner)
    observed = dict.fromkeys(expected, 0)
    bias = {token: -100.0 for token in range(VOCAB_SIZE) if token not in letters}
    for seed in range(num_draws):
        outputs = run(
            engine, generate(tokens=prompt, max_tokens=3, temperature=1.0, seed=seed, logit_bias=bias), check=False
        )
        observed[tuple(tokens_of(outputs["r", 0]))] += 1
    load = engine.load()
    assert 0.1 * num_draws < load.num_accepted_tokens < 0.9 * load.num_draft_tokens, "both must come often"
    # Classes that are expected fewer than 5 times are counted as one, as the test asks for.
    classes = [(observed[key], expected[key]) for key in expected if expected[key] >= 5]
    classes.append((num_draws - sum(o for o, _ in classes), num_draws - sum(e for _, e in classes)))
    statistic = sum((o - e) ** 2 / e for o, e in classes)
    degrees = len(classes) - 1
    # 4 standard deviations of the chi-square distribution: one in 10,000 correct engines would fail
    assert statistic <= degrees + 4 * np.sqrt(2 * degrees)


@pytest.mark.thorough
@pytest.mark.parametrize("num_streams", [1, 2, 4, 8, 16, 32, 64])
def test_drafts_that_are_never_accepted_cost_less_than_3_percent(num_streams):
    """Every step of every sequence finds a match of some length, and its draft is always rejected."""
    drafters = [Drafter() for _ in range(num_streams)]
    letters = random.Random(1)
    texts = [[1, 1, 1, 1, 2, 2, 1, 2, 1] for _ in range(num_streams)]
    spent = 0.0
    for _ in range(1000):
        for text in texts:
            text.append(letters.choice([1, 1, 2]))
        guesses = [guess(drafter, text, 8) for drafter, text in zip(drafters, texts, strict=True)]
        counts = allot([guess.chances for guess in guesses], num_streams)
        spent += step_cost(num_streams + sum(counts)) - step_cost(num_streams)
        for drafter, count in zip(drafters, counts, strict=True):
            drafter.learn(count, 0)
    assert 0 < spent < 0.03 * 1000 * step_cost(num_streams)


def test_nothing_is_drafted_where_nothing_repeats():
    engine = make_engine(FakeRunner())
    outputs = run(engine, generate(tokens=range(1, 100), max_tokens=150))
    assert tokens_of(outputs["r", 0]) == continuation(range(1, 100), 150)
    assert engine.load().num_draft_tokens < 20


def test_drafts_resume_when_a_model_begins_to_copy():
    drafter = Drafter()
    tokens = [1] * 10
    for _ in range(200):
        [count] = allot([guess(drafter, tokens, 8).chances], 1)
        drafter.learn(count, 0)
    counts = []
    for _ in range(60):
        [count] = allot([guess(drafter, tokens, 8).chances], 1)
        drafter.learn(count, count)
        counts.append(count)
    assert counts[0] <= 1
    assert counts[-1] == 8


def test_a_full_batch_drafts_only_nearly_certain_tokens():
    assert allot([[0.5, 0.25, 0.01]], 1) == [2]
    assert allot([[0.5, 0.25, 0.1]] * 16, 16) == [0] * 16
    assert allot([[0.98] * 8] + [[0.5] * 8] * 31, 32) == [8] + [0] * 31
    assert allot([[0.5, 0.25]], 512) == [0], "a prompt that is computed besides leaves no time over"


def test_a_step_takes_longer_with_each_row():
    costs = [step_cost(rows) for rows in range(1, 600)]
    assert costs[0] == 1
    assert all(a < b for a, b in pairwise(costs))


def guess(drafter, tokens, limit):
    drafter.index(tokens, len(tokens))
    return drafter.guess(tokens, limit)


def choice(prompt, num_computed=None):
    """Return a choice of which so many tokens are computed; all but the last: it decodes."""
    made = Choice("r", prompt, sampling=None, output=SimpleNamespace(num_tokens_left=100))
    made.num_computed = len(prompt) - 1 if num_computed is None else num_computed
    return made


def tokens_after(tokens, limit=4):
    found = guess(Drafter(), tokens, limit)
    return None if found is None else found.tokens


def test_the_longest_match_is_used_and_the_latest_of_equals():
    assert tokens_after([7, 1, 2, 3, 50, 51, 9, 2, 3, 60, 61, 1, 2, 3]) == [50, 51, 9, 2]
    assert tokens_after([1, 2, 50, 51, 9, 1, 2, 60, 61, 8, 1, 2]) == [60, 61, 8, 1]


def test_a_pair_of_tokens_without_an_earlier_occurrence_gives_no_guess():
    assert tokens_after([1, 2, 3, 4, 5]) is None
    assert tokens_after([1, 3, 2, 3]) is None
    assert tokens_after([1]) is None


def test_a_loop_is_continued_to_the_limit():
    assert tokens_after([1, 2, 3, 1, 2, 3], 7) == [1, 2, 3, 1, 2, 3, 1]
    assert tokens_after([5, 5, 5], 3) == [5, 5, 5]


def test_a_drafter_follows_a_sequence_that_grows():
    tokens = [1, 2, 3, 4]
    drafter = Drafter()
    assert guess(drafter, tokens, 2) is None
    tokens += [9, 1, 2]
    assert guess(drafter, tokens, 2).tokens == [3, 4]
    tokens += [3, 4, 9]
    assert guess(drafter, tokens, 2).tokens == [1, 2]


def test_very_long_prompts_are_indexed_over_several_steps():
    prompts = [[*range(i, i + 5000), i + 4800, i + 4801] for i in (0, 10_000)]
    running = [choice(prompt) for prompt in prompts]
    speculator = Speculator(max_draft_tokens=2, max_batched_tokens=512)
    drafted = []
    for _ in range(6):
        speculator.propose(running)
        drafted.append([sequence.draft[:1] for sequence in running])
    # 2,048 tokens a step, of both together.
    assert drafted == [[[], []]] * 2 + [[[4802], []]] * 2 + [[[4802], [14_802]]] * 2


def test_a_longer_match_gives_higher_chances():
    long, short = (guess(Drafter(), tokens, 3).chances for tokens in ([1] * 40, [1, 2, 3, 4, 5, 1, 2]))
    assert all(a > b for a, b in zip(long, short, strict=True))
    assert sorted(short, reverse=True) == short


def test_a_failing_drafter_disables_drafts_for_its_sequence_only():
    engine = make_engine(ScriptedRunner("ab" * 40))
    broken = engine.prepare(generate("broken", [*b"ababab", 0], max_tokens=40))
    broken.sequences[0].drafter = SimpleNamespace(guess=None)
    engine.admit(broken)
    engine.submit(generate("good", [*b"ababab", 0], max_tokens=40))
    outputs = drain(engine)
    assert text_of(outputs["broken", 0]) == text_of(outputs["good", 0]) == "ab" * 20
    assert len(outputs["broken", 0]) == 40
    assert len(outputs["good", 0]) < 20


def test_a_draft_takes_no_budget_and_no_blocks_from_others():
    """Two sequences side by side, with room for exactly their tokens."""
    texts = {"a": "ab" * 14, "b": "cd" * 14}
    for options in ({"max_batched_tokens": 2, "max_sequences": 2}, {"max_sequences": 2}):
        engine = make_engine(ScriptedRunner("ab" * 40, num_blocks=4, max_positions=32), **options)
        for id in texts:
            engine.submit(generate(id, [97, 98, 97, 0], max_tokens=28))
        outputs = drain(engine)
        assert [text_of(outputs[id, 0]) for id in texts] == ["ab" * 14] * 2
        assert engine.load().num_preemptions == 0


def test_sequences_that_do_not_decode_get_no_draft():
    decodes, prefills, scores = choice([1] * 20), choice([1] * 20, num_computed=8), Sequence("r", [1] * 20)
    scores.num_computed = 19
    for each in (decodes, prefills, scores):
        each.draft = [9]
        Speculator(8, 512).propose([each])
    assert decodes.draft == [1] * len(decodes.draft) != []
    assert prefills.draft == scores.draft == []


TEXT = (
    "The assignment statement binds names to values and modifies attributes or items of mutable objects. "
    "An assignment evaluates the expression list and assigns the single resulting object to each of the targets. "
)


def test_the_real_models_tokens_are_the_same_with_and_without_drafts(smollm2_path):
    outputs, loads = [], []
    repeated = f"{TEXT}\n\n{TEXT[:101]}"
    for max_draft_tokens in (0, 8):
        config = EngineConfig(context_length=512, threads=1, max_draft_tokens=max_draft_tokens)
        engine, _ = load_engine({"model.gguf": smollm2_path}, config)
        greedy = SamplingParams(temperature=0, max_tokens=40, ignore_eos=True)
        drawn = SamplingParams(temperature=0.8, seed=1, max_tokens=40, ignore_eos=True, frequency_penalty=0.1)
        engine.submit(Generate(id="copies", text=repeated, sampling=greedy))
        copied = drain(engine)
        engine.submit(Generate(id="drawn", text=repeated, sampling=drawn))
        engine.submit(Generate(id="beside", text=TEXT + "In short, ", sampling=greedy))
        outputs.append(answers(copied | drain(engine)))
        loads.append(engine.load())
    assert outputs[0] == outputs[1]
    assert loads[1].num_steps < loads[0].num_steps
    assert 0 < loads[1].num_accepted_tokens < loads[1].num_draft_tokens


def test_deltas_of_a_step_are_merged_completely():
    engine = make_engine(ScriptedRunner("abab" * 20))
    outputs = run(engine, generate(tokens=[*b"ababab", 0], max_tokens=50, logprobs=0))["r", 0]
    assert all(isinstance(delta, Delta) for delta in outputs)
    assert "".join(delta.text for delta in outputs).encode() == bytes(tokens_of(outputs))
    counts = np.cumsum([len(delta.token_ids) for delta in outputs]).tolist()
    assert [delta.num_output_tokens for delta in outputs] == counts
