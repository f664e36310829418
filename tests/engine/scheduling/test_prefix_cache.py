"""A computed prefix is not computed again, and no block is read for other tokens than its own."""

import msgspec
import pytest

from llmos.engine.messages import Delta, Failed
from llmos.engine.scheduling.prefix_cache import PrefixCache
from support.fakes import VOCAB_SIZE, FakeRunner, continuation, drain, generate, make_engine, run, tokens_of

STEM = [(i * 7) % 250 + 1 for i in range(100)]


def salted(salt, id="r", tokens=tuple(STEM), **sampling):
    return msgspec.structs.replace(generate(id, tokens, **sampling), cache_salt=salt)


def cached_tokens(outputs, id):
    return [delta.num_cached_tokens for delta in outputs[id, 0]]


def add_path(prefixes, salt, tokens):
    """Add these tokens block by block; return the path."""
    path = []
    for start in range(0, len(tokens), 16):
        key, parent = tuple(tokens[start : start + 16]), path[-1] if path else salt
        path.append(prefixes.child(parent, key) or prefixes.add(parent, key, block=len(list(prefixes))))
    return path


def test_the_longest_prefix_is_found_and_no_more_than_was_asked_for():
    prefixes = PrefixCache()
    path = add_path(prefixes, "", [1] * 16 + [2] * 16 + [3] * 16)
    other = add_path(prefixes, "", [1] * 16 + [4] * 16)
    assert other[0] is path[0]
    assert prefixes.match("", [1] * 16 + [2] * 16 + [5] * 16, 3) == path[:2]
    assert prefixes.match("", [1] * 16 + [4] * 16 + [3] * 16, 3) == other
    assert prefixes.match("", [1] * 16 + [2] * 16 + [3] * 16, 2) == path[:2]
    assert prefixes.match("", [1] * 15 + [2], 1) == []
    assert prefixes.match("other", [1] * 16, 1) == []
    assert list(prefixes) == [path[0], path[1], other[1], path[2]]


def test_a_known_path_is_updated_instead_of_searched_again():
    class Tokens(list):
        num_reads = 0

        def __getitem__(self, key):
            self.num_reads += 1
            return super().__getitem__(key)

    prefixes, path = PrefixCache(), []
    tokens = Tokens([1] * 160)
    nodes = add_path(prefixes, "", [1] * 128)
    assert prefixes.match("", tokens, 10, path) == nodes
    tokens.num_reads = 0
    assert prefixes.match("", tokens, 10, path) == nodes
    assert tokens.num_reads == 1, "only what may have come behind it"
    for node in reversed(nodes[3:]):
        prefixes.remove(node)
    assert prefixes.match("", tokens, 10, path) == nodes[:3]
    assert add_path(prefixes, "", [1] * 96) == prefixes.match("", tokens, 10, path)
    for node in reversed(list(prefixes)):
        prefixes.remove(node)
    assert prefixes.match("", tokens, 10, path) == []


def test_a_salt_without_prefixes_is_forgotten():
    prefixes = PrefixCache()
    for node in reversed(add_path(prefixes, "salt", [1] * 32)):
        prefixes.remove(node)
    assert list(prefixes) == []
    assert prefixes._roots == {}
    add_path(prefixes, "salt", [1] * 16)
    assert len(prefixes.match("salt", [1] * 16, 1)) == 1


def test_a_second_request_computes_only_its_new_tokens():
    runner = FakeRunner()
    engine = make_engine(runner)
    first = run(engine, generate("a", STEM, max_tokens=1))
    second = run(engine, generate("b", STEM[:80] + [9] * 10, max_tokens=5))
    assert runner.num_positions == 100 + 10 + 4
    assert cached_tokens(first, "a") == [0]
    assert cached_tokens(second, "b") == [80, 0, 0, 0, 0], "reported once"
    assert tokens_of(second["b", 0]) == continuation(STEM[:80] + [9] * 10, 5)
    load = engine.load()
    assert (load.num_prompt_tokens, load.num_cached_tokens) == (190, 80)


def test_the_last_token_of_a_prompt_is_always_computed():
    runner = FakeRunner()
    engine = make_engine(runner)
    for name in "ab":
        outputs = run(engine, generate(name, STEM[:64], max_tokens=1))
    assert cached_tokens(outputs, "b") == [48]
    assert runner.num_positions == 64 + 16


def test_the_next_turn_of_a_conversation_begins_with_the_answer_too():
    engine = make_engine()
    outputs = run(engine, generate("a", STEM, max_tokens=30))
    answer = tokens_of(outputs["a", 0])
    outputs = run(engine, generate("b", [*STEM, *answer, 5, 6, 7], max_tokens=2))
    assert cached_tokens(outputs, "b")[0] == 128
    assert tokens_of(outputs["b", 0]) == continuation([*STEM, *answer, 5, 6, 7], 2)


def test_the_prompt_of_many_choices_is_counted_once():
    engine = make_engine()
    run(engine, generate("a", STEM, max_tokens=1))
    outputs = run(engine, generate("b", STEM, n=3, max_tokens=2))
    assert [[d.num_cached_tokens for d in outputs["b", i]] for i in range(3)] == [[96, 0], [0, 0], [0, 0]]
    assert engine.load().num_cached_tokens == 96


def test_a_preemption_is_not_counted_as_a_hit():
    engine = make_engine(FakeRunner(num_blocks=8, max_positions=128))
    outputs = run(engine, *(generate(f"r{i}", [i + 1] * 20, max_tokens=60) for i in range(4)))
    assert engine.load().num_preemptions > 0
    assert engine.load().num_cached_tokens == 0
    assert all(delta.num_cached_tokens == 0 for deltas in outputs.values() for delta in deltas)


def test_cached_tokens_are_reported_even_if_a_stop_string_holds_the_first_ones_back():
    engine = make_engine()
    run(engine, generate("a", STEM, max_tokens=1))
    first = continuation(STEM, 1)
    outputs = run(engine, generate("b", STEM, max_tokens=4, stop=[bytes(first).decode(errors="replace") + "never"]))
    assert sum(cached_tokens(outputs, "b")) == 96


def test_salts_share_nothing():
    runner = FakeRunner()
    outputs = run(make_engine(runner), salted("one", "a", max_tokens=1), salted("two", "b", max_tokens=1))
    assert runner.num_positions == 200
    assert runner.batch_sizes[0] == (2, 200), "neither waits for the other"
    assert cached_tokens(outputs, "a") == cached_tokens(outputs, "b") == [0]


def test_without_the_cache_only_the_choices_of_a_request_share():
    runner = FakeRunner()
    engine = make_engine(runner, prefix_cache=False)
    run(engine, generate("a", STEM, n=2, max_tokens=2), generate("b", STEM, max_tokens=1))
    run(engine, generate("a", STEM, max_tokens=1))
    assert runner.num_positions == (100 + 4 + 2) + 100 + 100
    assert engine.load().num_cached_blocks == 0


def test_requests_that_come_together_compute_their_common_prompt_once():
    runner = FakeRunner()
    engine = make_engine(runner, max_batched_tokens=32, max_sequences=8)
    prompts = [STEM + [i + 1] * 6 for i in range(8)]
    outputs = run(engine, *(generate(f"r{i}", prompt, max_tokens=2) for i, prompt in enumerate(prompts)))
    assert runner.num_positions == 96 + 8 * 10 + 8
    for i, prompt in enumerate(prompts):
        assert tokens_of(outputs[f"r{i}", 0]) == continuation(prompt, 2)


def test_a_sequence_that_waits_for_a_prefix_delays_no_other():
    engine = make_engine(max_batched_tokens=32, max_sequences=8)
    for id in "ab":
        engine.submit(generate(id, STEM, max_tokens=1))
    engine.submit(generate("other", [3] * 10, max_tokens=1))
    assert [event.id for event in engine.step()] == ["other"]


@pytest.mark.parametrize("end", ["abort", "preempt", "fail"])
def test_a_sequence_that_waits_for_a_prefix_continues_when_it_does_not_come(end):
    runner = FakeRunner()
    engine = make_engine(runner, max_batched_tokens=40, max_sequences=8)
    engine.submit(generate("early", [3], max_tokens=30))
    for id in "ab":
        engine.submit(generate(id, STEM, max_tokens=1))
    outputs = engine.step() + engine.step()
    assert len(engine._scheduler.running) == 2
    if end == "abort":
        engine.abort("a")
    elif end == "preempt":
        engine._scheduler._preempt(engine._scheduler._preemptible())
    else:
        forward, runner.forward = runner.forward, None
        outputs += engine.step()
        runner.forward = forward
        assert {event.id for event in outputs if isinstance(event, Failed)} == {"early", "a"}
    engine.check_invariants()
    outputs += [event for events in drain(engine).values() for event in events]
    assert tokens_of([event for event in outputs if event.id == "b"]) == continuation(STEM, 1)
    assert engine.load().num_free_blocks == 64


def test_a_failed_step_leaves_no_prefix():
    runner = FakeRunner()
    engine = make_engine(runner)
    forward, runner.forward = runner.forward, None
    outputs = run(engine, generate("a", STEM))
    assert isinstance(outputs["a", 0][0], Failed)
    assert engine.load().num_cached_blocks == 0
    runner.forward = forward
    outputs = run(engine, generate("a", STEM))
    assert cached_tokens(outputs, "a")[0] == 0
    assert tokens_of(outputs["a", 0]) == continuation(STEM, 8)


class NanOnceRunner(FakeRunner):
    """Returns NaN at the first call."""

    def logits(self, tokens):
        is_first, self.is_first = getattr(self, "is_first", True), False
        return super().logits(tokens) if not is_first else super().logits(tokens) * float("nan")


def test_the_prefix_of_a_request_with_nan_logits_is_not_cached():
    engine = make_engine(NanOnceRunner())
    outputs = run(engine, generate("a", STEM))
    assert isinstance(outputs["a", 0][0], Failed)
    assert engine.load().num_cached_blocks == 0
    assert cached_tokens(run(engine, generate("b", STEM)), "b")[0] == 0


def test_an_abort_keeps_the_computed_prefix():
    engine = make_engine(max_batched_tokens=64)
    engine.submit(generate("a", STEM))
    engine.step()
    engine.abort("a")
    assert engine.load().num_cached_blocks == 4
    assert cached_tokens(run(engine, generate("b", STEM)), "b")[0] == 64


def test_cached_prefixes_are_evicted_for_new_requests():
    engine = make_engine(FakeRunner(num_blocks=8, max_positions=128))
    run(engine, generate("a", STEM, max_tokens=1))
    assert (engine.load().num_cached_blocks, engine.load().num_free_blocks) == (6, 8)
    outputs = run(engine, generate("b", [9] * 100, max_tokens=20))
    assert tokens_of(outputs["b", 0]) == continuation([9] * 100, 20)
    assert engine.load().num_preemptions == 0


def test_rejected_tokens_of_a_draft_are_in_no_prefix():
    class LoopingRunner(FakeRunner):
        """Goes round a loop of eight, and leaves it after 43 tokens."""

        def logits(self, tokens):
            logits = [0.0] * VOCAB_SIZE
            logits[10 + len(tokens) % 8 if len(tokens) < 43 else 100 + len(tokens) % 50] = 9.0
            return logits

    engine = make_engine(LoopingRunner())
    outputs = run(engine, generate("a", [10, 11, 12, 13, 14, 15, 16, 17] * 2, max_tokens=60))
    load = engine.load()
    assert load.num_accepted_tokens > 0
    assert load.num_draft_tokens > load.num_accepted_tokens
    answer = tokens_of(outputs["a", 0])
    known = engine._scheduler.kv.prefixes.match("", [10, 11, 12, 13, 14, 15, 16, 17] * 2 + answer, 4)
    assert len(known) == len(list(engine._scheduler.kv.prefixes)) == 4
    assert all(isinstance(delta, Delta) for delta in outputs["a", 0])
