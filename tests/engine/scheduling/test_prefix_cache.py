"""What was computed once is not computed again; and nobody reads what was not computed for these very tokens."""

import msgspec
import pytest

from llmos.engine.messages import Delta, Failed
from llmos.engine.scheduling.prefix_cache import PrefixCache
from support.fakes import VOCAB_SIZE, FakeRunner, continuation, drain, generate, make_engine, run, tokens_of

STEM = [(i * 7) % 250 + 1 for i in range(100)]


def salted(salt, id="r", tokens=tuple(STEM), **sampling):
    return msgspec.structs.replace(generate(id, tokens, **sampling), cache_salt=salt)


def cached_tokens(told, id):
    return [delta.num_cached_tokens for delta in told[id, 0]]


def spell(prefixes, salt, tokens):
    """Add these tokens block by block; return the path."""
    path = []
    for start in range(0, len(tokens), 16):
        key, parent = tuple(tokens[start : start + 16]), path[-1] if path else salt
        path.append(prefixes.child(parent, key) or prefixes.add(parent, key, block=len(list(prefixes))))
    return path


def test_the_longest_prefix_is_found_and_no_more_than_was_asked_for():
    prefixes = PrefixCache()
    path = spell(prefixes, "", [1] * 16 + [2] * 16 + [3] * 16)
    other = spell(prefixes, "", [1] * 16 + [4] * 16)
    assert other[0] is path[0]
    assert prefixes.match("", [1] * 16 + [2] * 16 + [5] * 16, 3) == path[:2]
    assert prefixes.match("", [1] * 16 + [4] * 16 + [3] * 16, 3) == other
    assert prefixes.match("", [1] * 16 + [2] * 16 + [3] * 16, 2) == path[:2]
    assert prefixes.match("", [1] * 15 + [2], 1) == []
    assert prefixes.match("other", [1] * 16, 1) == []
    assert list(prefixes) == [path[0], path[1], other[1], path[2]]


def test_a_prefix_that_was_found_before_is_mended_and_not_looked_for_anew():
    class Tokens(list):
        num_reads = 0

        def __getitem__(self, key):
            self.num_reads += 1
            return super().__getitem__(key)

    prefixes, path = PrefixCache(), []
    tokens = Tokens([1] * 160)
    nodes = spell(prefixes, "", [1] * 128)
    assert prefixes.match("", tokens, 10, path) == nodes
    tokens.num_reads = 0
    assert prefixes.match("", tokens, 10, path) == nodes
    assert tokens.num_reads == 1, "only what may have come behind it"
    for node in reversed(nodes[3:]):
        prefixes.remove(node)
    assert prefixes.match("", tokens, 10, path) == nodes[:3]
    assert spell(prefixes, "", [1] * 96) == prefixes.match("", tokens, 10, path)
    for node in reversed(list(prefixes)):
        prefixes.remove(node)
    assert prefixes.match("", tokens, 10, path) == []


def test_a_salt_without_prefixes_is_forgotten():
    prefixes = PrefixCache()
    for node in reversed(spell(prefixes, "salt", [1] * 32)):
        prefixes.remove(node)
    assert list(prefixes) == []
    assert prefixes._roots == {}
    spell(prefixes, "salt", [1] * 16)
    assert len(prefixes.match("salt", [1] * 16, 1)) == 1


def test_a_second_request_computes_only_what_is_new():
    runner = FakeRunner()
    engine = make_engine(runner)
    first = run(engine, generate("a", STEM, max_tokens=1))
    second = run(engine, generate("b", STEM[:80] + [9] * 10, max_tokens=5))
    assert runner.num_positions == 100 + 10 + 4
    assert cached_tokens(first, "a") == [0]
    assert cached_tokens(second, "b") == [80, 0, 0, 0, 0], "told once"
    assert tokens_of(second["b", 0]) == continuation(STEM[:80] + [9] * 10, 5)
    load = engine.load()
    assert (load.num_prompt_tokens, load.num_cached_tokens) == (190, 80)


def test_the_last_token_of_a_prompt_is_always_computed():
    runner = FakeRunner()
    engine = make_engine(runner)
    for name in "ab":
        told = run(engine, generate(name, STEM[:64], max_tokens=1))
    assert cached_tokens(told, "b") == [48]
    assert runner.num_positions == 64 + 16


def test_the_next_turn_of_a_conversation_begins_with_the_answer_too():
    engine = make_engine()
    told = run(engine, generate("a", STEM, max_tokens=30))
    answer = tokens_of(told["a", 0])
    told = run(engine, generate("b", [*STEM, *answer, 5, 6, 7], max_tokens=2))
    assert cached_tokens(told, "b")[0] == 128
    assert tokens_of(told["b", 0]) == continuation([*STEM, *answer, 5, 6, 7], 2)


def test_the_prompt_of_many_choices_is_counted_once():
    engine = make_engine()
    run(engine, generate("a", STEM, max_tokens=1))
    told = run(engine, generate("b", STEM, n=3, max_tokens=2))
    assert [[d.num_cached_tokens for d in told["b", i]] for i in range(3)] == [[96, 0], [0, 0], [0, 0]]
    assert engine.load().num_cached_tokens == 96


def test_a_preemption_is_not_counted_as_a_hit():
    engine = make_engine(FakeRunner(num_blocks=8, max_positions=128))
    told = run(engine, *(generate(f"r{i}", [i + 1] * 20, max_tokens=60) for i in range(4)))
    assert engine.load().num_preemptions > 0
    assert engine.load().num_cached_tokens == 0
    assert all(delta.num_cached_tokens == 0 for deltas in told.values() for delta in deltas)


def test_a_stop_string_that_holds_the_first_tokens_back_loses_no_count():
    engine = make_engine()
    run(engine, generate("a", STEM, max_tokens=1))
    first = continuation(STEM, 1)
    told = run(engine, generate("b", STEM, max_tokens=4, stop=[bytes(first).decode(errors="replace") + "never"]))
    assert sum(cached_tokens(told, "b")) == 96


def test_salts_share_nothing():
    runner = FakeRunner()
    told = run(make_engine(runner), salted("one", "a", max_tokens=1), salted("two", "b", max_tokens=1))
    assert runner.num_positions == 200
    assert runner.batch_sizes[0] == (2, 200), "and nobody waits for the other"
    assert cached_tokens(told, "a") == cached_tokens(told, "b") == [0]


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
    told = run(engine, *(generate(f"r{i}", prompt, max_tokens=2) for i, prompt in enumerate(prompts)))
    assert runner.num_positions == 96 + 8 * 10 + 8
    for i, prompt in enumerate(prompts):
        assert tokens_of(told[f"r{i}", 0]) == continuation(prompt, 2)


def test_whoever_waits_for_a_prefix_holds_nobody_up():
    engine = make_engine(max_batched_tokens=32, max_sequences=8)
    for id in "ab":
        engine.submit(generate(id, STEM, max_tokens=1))
    engine.submit(generate("other", [3] * 10, max_tokens=1))
    assert [event.id for event in engine.step()] == ["other"]


@pytest.mark.parametrize("end", ["abort", "preempt", "fail"])
def test_whoever_waits_for_a_prefix_goes_on_when_it_does_not_come(end):
    runner = FakeRunner()
    engine = make_engine(runner, max_batched_tokens=40, max_sequences=8)
    engine.submit(generate("early", [3], max_tokens=30))
    for id in "ab":
        engine.submit(generate(id, STEM, max_tokens=1))
    told = engine.step() + engine.step()
    assert len(engine._scheduler.running) == 2
    if end == "abort":
        engine.abort("a")
    elif end == "preempt":
        engine._scheduler._preempt(engine._scheduler._preemptible())
    else:
        forward, runner.forward = runner.forward, None
        told += engine.step()
        runner.forward = forward
        assert {event.id for event in told if isinstance(event, Failed)} == {"early", "a"}
    engine.check_invariants()
    told += [event for events in drain(engine).values() for event in events]
    assert tokens_of([event for event in told if event.id == "b"]) == continuation(STEM, 1)
    assert engine.load().num_free_blocks == 64


def test_a_step_that_failed_leaves_nothing_behind():
    runner = FakeRunner()
    engine = make_engine(runner)
    forward, runner.forward = runner.forward, None
    told = run(engine, generate("a", STEM))
    assert isinstance(told["a", 0][0], Failed)
    assert engine.load().num_cached_blocks == 0
    runner.forward = forward
    told = run(engine, generate("a", STEM))
    assert cached_tokens(told, "a")[0] == 0
    assert tokens_of(told["a", 0]) == continuation(STEM, 8)


class FeverishRunner(FakeRunner):
    """Gives no numbers the first time that it is asked."""

    def logits(self, tokens):
        is_first, self.is_first = getattr(self, "is_first", True), False
        return super().logits(tokens) if not is_first else super().logits(tokens) * float("nan")


def test_what_gave_no_numbers_is_not_kept_for_others():
    engine = make_engine(FeverishRunner())
    told = run(engine, generate("a", STEM))
    assert isinstance(told["a", 0][0], Failed)
    assert engine.load().num_cached_blocks == 0
    assert cached_tokens(run(engine, generate("b", STEM)), "b")[0] == 0


def test_an_abort_keeps_what_was_computed():
    engine = make_engine(max_batched_tokens=64)
    engine.submit(generate("a", STEM))
    engine.step()
    engine.abort("a")
    assert engine.load().num_cached_blocks == 4
    assert cached_tokens(run(engine, generate("b", STEM)), "b")[0] == 64


def test_the_cache_gives_way_to_whoever_needs_the_room():
    engine = make_engine(FakeRunner(num_blocks=8, max_positions=128))
    run(engine, generate("a", STEM, max_tokens=1))
    assert (engine.load().num_cached_blocks, engine.load().num_free_blocks) == (6, 8)
    told = run(engine, generate("b", [9] * 100, max_tokens=20))
    assert tokens_of(told["b", 0]) == continuation([9] * 100, 20)
    assert engine.load().num_preemptions == 0


def test_tokens_of_a_draft_that_were_wrong_are_in_no_prefix():
    class LoopingRunner(FakeRunner):
        """Goes round a loop of eight, and leaves it after 43 tokens."""

        def logits(self, tokens):
            logits = [0.0] * VOCAB_SIZE
            logits[10 + len(tokens) % 8 if len(tokens) < 43 else 100 + len(tokens) % 50] = 9.0
            return logits

    engine = make_engine(LoopingRunner())
    told = run(engine, generate("a", [10, 11, 12, 13, 14, 15, 16, 17] * 2, max_tokens=60))
    load = engine.load()
    assert load.num_accepted_tokens > 0
    assert load.num_draft_tokens > load.num_accepted_tokens
    answer = tokens_of(told["a", 0])
    known = engine._scheduler.kv.prefixes.match("", [10, 11, 12, 13, 14, 15, 16, 17] * 2 + answer, 4)
    assert len(known) == len(list(engine._scheduler.kv.prefixes)) == 4
    assert all(isinstance(delta, Delta) for delta in told["a", 0])
