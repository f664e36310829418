"""The real model gives the same tokens for the same prompt at temperature 0: beside any other requests, in any chunks,
with and without a prefix hit, after preemption, with and without drafts, on one thread or two."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.engine import _native
from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.messages import EngineStats, Failed
from llmos.engine.runner.native import NativeRunner
from support.examples import examples
from support.fakes import SomeBlocks, generate, tokens_of

NUM_BLOCKS = 40
STEM = "The quick brown fox jumps over the lazy dog. A list of numbers, one after another: "
PROMPTS = [
    "Once",
    "The capital of France is",
    STEM + "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4,",  # drafts come true
    "Monday: sunny\nTuesday: rainy\nMonday: sunny\nTuesday: cold\nMonday: sunny\nTuesday:",  # some don't
    STEM + "one, two, three",
    STEM * 3 + "and so",
    "def add(a, b):\n    return a + b\n\ndef sub(a, b):\n    return a - b\n\ndef mul(a, b):\n",
]


@dataclass(frozen=True)
class Arrival:
    prompt: int
    num_tokens: int
    num_choices: int = 1
    delay: int = 0
    """In steps after the previous arrival."""
    aborted_after: int | None = None
    """Steps until the request is aborted; None for never."""
    salt: str = ""
    priority: int = 0


class Model:
    """The real model, loaded once for each set of runner options."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.tokenizer = checkpoint.tokenizer
        self.prompts = [self.tokenizer.encode(prompt) for prompt in PROMPTS]
        self.runner: Callable[..., NativeRunner] = cache(
            lambda **options: NativeRunner(checkpoint.spec, checkpoint.tensors, num_blocks=NUM_BLOCKS, **options)
        )
        self.answer_alone: Callable[..., list[int]] = cache(self._answer_alone)

    def check(
        self, arrivals: Sequence[Arrival], config: EngineConfig, num_blocks: int, threads: int = 1, **options: Any
    ) -> EngineStats:
        """Run all arrivals in one engine; assert that each gets the answer that it gets alone, until it is aborted."""
        engine = Engine(SomeBlocks(self.runner(threads=threads, **options), num_blocks), self.tokenizer, config)
        outputs: dict[tuple[str, int], list[Any]] = {}
        for event in self._events(engine, arrivals):
            assert not isinstance(event, Failed), event
            outputs.setdefault((event.id, event.index), []).append(event)
        for i, arrival in enumerate(arrivals):
            for choice in range(arrival.num_choices):
                tokens, alone = (
                    tokens_of(outputs.get((f"{i}", choice), [])),
                    self.answer_alone(arrival.prompt, **options),
                )
                expected = alone[: arrival.num_tokens if arrival.aborted_after is None else len(tokens)]
                assert tokens == expected, f"request {i}, choice {choice}"
        return engine.load()

    def _events(self, engine: Engine, arrivals: Sequence[Arrival]) -> Any:
        due, aborts_at, step = [], [], 0
        for arrival in arrivals:
            due.append((due[-1] if due else 0) + arrival.delay)
            aborts_at.append(None if arrival.aborted_after is None else due[-1] + arrival.aborted_after)
        while engine.has_work or step <= due[-1]:
            for i, arrival in enumerate(arrivals):
                if due[i] == step:
                    request = generate(
                        f"{i}", self.prompts[arrival.prompt], max_tokens=arrival.num_tokens, n=arrival.num_choices
                    )
                    engine.submit(msgspec.structs.replace(request, cache_salt=arrival.salt, priority=arrival.priority))
                if aborts_at[i] == step:
                    engine.abort(f"{i}")
            yield from engine.step()
            engine.check_invariants()
            step += 1

    def _answer_alone(self, prompt: int, **options: Any) -> list[int]:
        """Return the longest answer that any test asks for, one token at a time, the prompt in one piece."""
        config = EngineConfig(prefix_cache=False, max_draft_tokens=0)
        engine = Engine(self.runner(threads=1, **options), self.tokenizer, config)
        engine.submit(generate("alone", self.prompts[prompt], max_tokens=MAX_TOKENS))
        events = []
        while engine.has_work:
            events += engine.step()
        return tokens_of(events)


MAX_TOKENS = 24
ARRIVALS = st.builds(
    Arrival,
    prompt=st.integers(0, len(PROMPTS) - 1),
    num_tokens=st.sampled_from([1, 5, 16, MAX_TOKENS]),
    num_choices=st.sampled_from([1, 1, 1, 2]),
    delay=st.sampled_from([0, 0, 1, 3]),
    aborted_after=st.sampled_from([None, None, None, 0, 4]),
    salt=st.sampled_from(["", "", "other"]),
    priority=st.sampled_from([0, 0, 1]),
)
CONFIGS = st.builds(
    EngineConfig,
    max_batched_tokens=st.sampled_from([6, 17, 64, 512]),
    max_prefill_tokens=st.sampled_from([3, 32, 256]),
    max_sequences=st.sampled_from([1, 3, 6]),
    prefix_cache=st.booleans(),
    max_draft_tokens=st.sampled_from([0, 3, 8]),
)
CROWD = [Arrival(prompt, MAX_TOKENS, delay=prompt % 2) for prompt in (5, 2, 4, 6, 3)] + [
    Arrival(2, MAX_TOKENS, num_choices=2, delay=3),
    Arrival(1, 5, delay=1, aborted_after=2),
    Arrival(5, 16, delay=25),
    Arrival(3, MAX_TOKENS, delay=25),  # with few others there: drafts are made where rows are cheap
]


@pytest.fixture(scope="module")
def model(smollm2_path: Path) -> Model:
    return Model(open_checkpoint({"model.gguf": smollm2_path}))


# No deadline, since the duration of an example depends on the machine.
@settings(
    deadline=None, max_examples=examples(25), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(
    arrivals=st.lists(ARRIVALS, min_size=1, max_size=6),
    config=CONFIGS,
    num_blocks=st.sampled_from([8, 10, 14, NUM_BLOCKS]),
    threads=st.sampled_from([1, 2]),
)
def test_no_schedule_changes_an_answer(
    model: Model, arrivals: list[Arrival], config: EngineConfig, num_blocks: int, threads: int
) -> None:
    model.check(arrivals, config, num_blocks, threads)


@pytest.mark.parametrize("kv_dtype", ["int8", "f16", "f32"])
@pytest.mark.parametrize("isa", [isa for isa in _native.available_isas() if isa != "portable"] or ["portable"])
def test_preemption_prefixes_and_drafts_change_no_answer(model: Model, isa: str, kv_dtype: str) -> None:
    config = EngineConfig(max_batched_tokens=64, max_sequences=6)
    load = model.check(CROWD, config, num_blocks=14, threads=2, isa=isa, kv_dtype=kv_dtype)
    assert load.num_preemptions, "blocks never ran out"
    assert load.num_cached_tokens, "no prefix was found"
    assert load.num_accepted_tokens, "no draft came true"
    assert load.num_accepted_tokens < load.num_draft_tokens, "no draft was refused"
