"""Requests come, go, share prefixes, are preempted, get drafts, and fail, in any order: the blocks add up after every
action, every request finishes, every answer is the one that its request would get alone, and every given token has the
score that the model gives it. With recurrent models, snapshots add up, too, and every sequence continues from the state
behind its own tokens."""

import zlib
from collections import deque
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmos.engine import live_request
from llmos.engine.messages import Failed, Generate, Rate, Rated, SamplingParams
from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.scheduling import recurrent_states, scheduler, snapshot_positions
from llmos.engine.scheduling.sequence import Choice
from support.examples import examples
from support.fakes import MarkovRunner, make_engine, run, tokens_of
from support.rated import expected, numbers

BUDGET, MAX_SEQUENCES, NUM_BLOCKS, CONTEXT, MAX_TOKENS = 40, 6, 11, 160, 60
LETTERS = [*b"abcd"]
STEMS = [[LETTERS[zlib.crc32(b"%d %d" % (stem, i)) % 4] for i in range(80)] for stem in range(2)]
"""Prompts begin with one of these, and so often with a cached prefix."""

PROMPTS = st.builds(
    lambda stem, length, rest: stem[:length] + rest,
    stem=st.sampled_from(STEMS),
    length=st.sampled_from([0, 5, 16, 30, 33, 48, 64, 80]),
    rest=st.lists(st.sampled_from(LETTERS), min_size=1, max_size=3),
)
COMMON = {
    "tokens": PROMPTS,
    "caller": st.sampled_from(["ann", "bob"]),
    "salt": st.sampled_from(["", "", "other"]),
    "priority": st.sampled_from([-100, -1, 0, 1]),
}
REQUESTS = st.builds(
    lambda tokens, caller, salt, priority, prompt_logprobs, **sampling: Generate(
        id="",
        tokens=tokens,
        caller=caller,
        cache_salt=salt,
        priority=priority,
        prompt_logprobs=prompt_logprobs,
        sampling=SamplingParams(ignore_eos=True, **sampling),
    ),
    **COMMON,
    prompt_logprobs=st.sampled_from([None, None, None, 2]),
    max_tokens=st.sampled_from([1, 2, 9, 20, 40, MAX_TOKENS]),
    n=st.sampled_from([1, 1, 2, 3]),
    temperature=st.sampled_from([0.0, 0.0, 1.0]),
    seed=st.integers(1, 2),
)


RATES = st.builds(
    lambda tokens, caller, salt, priority, continuations, **options: Rate(
        request=Generate(id="", tokens=tokens, caller=caller, cache_salt=salt, priority=priority),
        continuations=continuations,
        scores_prompt=options.pop("scores_prompt") or not continuations,
        **options,
    ),
    **COMMON,
    continuations=st.lists(
        st.one_of(
            st.lists(st.sampled_from(LETTERS), min_size=1, max_size=4),
            st.builds(
                lambda stem, length: stem[-length:], st.sampled_from(STEMS), st.sampled_from([1, 7, 17, 40, MAX_TOKENS])
            ),
        ),
        max_size=6,
    ),
    scores_prompt=st.booleans(),
    num_top=st.sampled_from([0, 2]),
)


class QuickRunner(MarkovRunner):
    def __init__(self):
        super().__init__(seed=1, order=2, num_blocks=NUM_BLOCKS, max_positions=CONTEXT)

    def logits(self, tokens):
        key = tuple(tokens[-2:].tolist())
        if key not in KNOWN:
            KNOWN[key] = super().logits(tokens)
        return KNOWN[key]


KNOWN = {}


class RecordingRunner(QuickRunner):
    """Remembers the tokens before each slot of the cache when it was computed, and asserts that no slot is read behind
    other tokens. Raises or returns NaN on request."""

    def __init__(self):
        super().__init__()
        self.contexts = np.zeros(NUM_BLOCKS * BLOCK_SIZE, np.uint32)
        self.raises = False
        self.returns_nan = False
        self.scores_nan = False

    def forward(self, batch):
        raises, self.raises = self.raises, False
        returns_nan, self.returns_nan = self.returns_nan, False
        scores_nan, self.scores_nan = self.scores_nan, False
        if raises:
            # A failed pass may have written anything.
            for s in range(len(batch.starts) - 1):
                positions = batch.context_lengths[s] + np.arange(batch.starts[s + 1] - batch.starts[s])
                self.cache[self._slots(batch, s, positions)] = -1
            raise RuntimeError("the runner was asked to fail")
        logits = super().forward(batch)
        for s in range(len(batch.starts) - 1):
            first, end = batch.context_lengths[s], batch.context_lengths[s] + batch.starts[s + 1] - batch.starts[s]
            slots = self._slots(batch, s, np.arange(end))
            context = 0
            for position, slot in enumerate(slots):
                context = zlib.crc32(self.cache[slot].tobytes(), context)
                if position >= first:
                    self.contexts[slot] = context
                assert self.contexts[slot] == context, "a block was computed behind other tokens"
        if returns_nan and len(logits):
            logits[0] = np.nan
        if scores_nan and self._scores is not None:
            self._scores.logprobs_Q[0] = np.nan
        return logits


class RecurrentRunner(RecordingRunner):
    """Has a state for each sequence: a checksum of the tokens before it. Asserts that a sequence begins with its own,
    and that no state is read or written twice in a step."""

    def __init__(self, num_snapshots):
        super().__init__()
        self.spec = replace(self.spec, recurrence="conv", recurrent_layers=(0,), conv_size=2)
        self.num_states, self.num_snapshots = MAX_SEQUENCES, num_snapshots
        self.states = np.full(self.num_states + num_snapshots, 1, np.uint32)

    def forward(self, batch):
        count = len(batch.starts) - 1
        restored = np.full(count, -1) if batch.restored is None else batch.restored
        copies = [] if batch.snapshots is None else batch.snapshots.tolist()
        written = [*batch.states.tolist(), *(index for _, _, index in copies)]
        assert len(set(written)) == len(written), "a state is written twice"
        assert not set(written) & set(restored.tolist()), "a state is read while it is written"
        assert copies == sorted(copies)
        before = [self._before(batch, s, restored[s]) for s in range(count)]
        if self.raises:  # a failed pass may have written anything
            self.states[written] = 1
        logits = super().forward(batch)
        for s in range(count):
            state, tokens = before[s], batch.tokens[batch.starts[s] : batch.starts[s + 1]]
            wanted = {count: index for row, count, index in copies if row == s}
            assert all(1 <= position <= len(tokens) for position in wanted)
            for position, token in enumerate(tokens, 1):
                state = zlib.crc32(token.tobytes(), state)
                if position in wanted:
                    self.states[wanted[position]] = state
            self.states[batch.states[s]] = state
        return logits

    def _before(self, batch, s, restored):
        if not batch.context_lengths[s]:
            assert restored < 0
            return 0
        state = int(self.states[batch.states[s] if restored < 0 else restored])
        slots = self._slots(batch, s, np.arange(batch.context_lengths[s]))
        assert state == zlib.crc32(self.cache[slots].tobytes()), "a sequence continues from another state"
        return state


class FlakySampler:
    """Raises whenever a given sequence is in the batch."""

    def __init__(self, sampler):
        self.sampler = sampler
        self.failing_state = None

    def sample(self, logits, states, *more):
        if self.failing_state in states:
            raise ValueError("the sampler was asked to fail")
        return self.sampler.sample(logits, states, *more)


def answer_alone(request, index):
    """Return the request's answer by an engine without other requests, caching and drafts."""
    key = (tuple(request.tokens), request.sampling.temperature, request.sampling.seed)
    if key not in ALONE:
        longest = msgspec.structs.replace(request.sampling, n=3, max_tokens=MAX_TOKENS)
        engine = make_engine(QuickRunner(), max_draft_tokens=0, prefix_cache=False)
        plain = msgspec.structs.replace(request, id="alone", sampling=longest, prompt_logprobs=None)
        outputs = run(engine, plain, check=False)
        ALONE[key] = [tokens_of(outputs["alone", i]) for i in range(3)]
    return ALONE[key][index][: request.sampling.max_tokens]


ALONE = {}


def scores_alone(before, tokens, num_top):
    """Return the scores that the definition gives these tokens. The model sees the last two before each only."""
    scores = []
    for i, token in enumerate(tokens):
        key = tuple([*before, *tokens[:i]][-2:]), token, num_top
        if key not in SCORES:
            (SCORES[key],) = expected(QuickRunner(), key[0], [token], num_top)
        scores.append(SCORES[key])
    return scores


SCORES = {}


def check_scores(event, prompt, continuations, scores_prompt, num_top):
    """Assert that the event has the scores of exactly these tokens."""
    alone = [scores_alone(prompt, tokens, num_top) for tokens in continuations]
    assert [numbers(scores) for scores in event.continuations] == alone
    assert numbers(event.prompt) == (scores_alone(prompt[:1], prompt[1:], num_top) if scores_prompt else [])


class Serving(RuleBasedStateMachine):
    """An engine with too few blocks, too small a budget and too few sequences."""

    NUM_UNDER_WAY = 1

    def __init__(self):
        super().__init__()
        self.runner = self.make_runner()
        options = {"max_batched_tokens": BUDGET, "max_prefill_tokens": 24, "max_sequences": MAX_SEQUENCES}
        self.engine = make_engine(self.runner, **options)
        self.scheduler = self.engine._scheduler
        self.sampler = self.engine._sampler = FlakySampler(self.engine._sampler)
        self.live = {}
        """id -> its request, and {index: its tokens so far}"""
        self.unrated = set()
        """The ids of those whose scores are still to come."""
        self.count = 0

    @staticmethod
    def make_runner():
        return RecordingRunner()

    @rule(requests=st.lists(REQUESTS, min_size=1, max_size=6))
    def submit(self, requests):
        for request in requests:
            self.count += 1
            request = msgspec.structs.replace(request, id=f"r{self.count}")
            self.engine.submit(request)
            self.live[request.id] = (request, {index: [] for index in range(request.sampling.n)})
            if request.prompt_logprobs is not None:
                self.unrated.add(request.id)

    @rule(commands=st.lists(RATES, min_size=1, max_size=3))
    def submit_rates(self, commands):
        for command in commands:
            self.count += 1
            id = f"r{self.count}"
            command = msgspec.structs.replace(command, request=msgspec.structs.replace(command.request, id=id))
            self.engine.submit(command)
            self.live[id] = (command, {})
            self.unrated.add(id)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def abort(self, data):
        id = data.draw(st.sampled_from(sorted(self.live)))
        self.engine.abort(id)
        self._forget(id)

    @precondition(lambda self: len(self.scheduler.running) > 1)
    @rule()
    def preempt(self):
        self.scheduler._preempt(self.scheduler._preemptible())

    @precondition(lambda self: self.live)
    @rule(count=st.integers(1, 10))
    def step(self, count):
        for _ in range(count):
            self._step()

    @precondition(lambda self: self.live)
    @rule(count=st.integers(10, 40))
    def step_on(self, count):
        self.step(count)

    @precondition(lambda self: self.scheduler.running)
    @rule(fault=st.sampled_from(["sampler", "sampler", "nan", "score", "runner"]), data=st.data())
    def go_wrong(self, fault, data):
        sequence = data.draw(st.sampled_from(self.scheduler.running))
        self.runner.raises = fault == "runner"
        self.runner.returns_nan = fault == "nan"
        self.runner.scores_nan = fault == "score"
        is_choice = isinstance(sequence, Choice)
        self.sampler.failing_state = sequence.sampling if fault == "sampler" and is_choice else None
        failed = set().union(*(self._step(may_fail=True) for _ in range(self.NUM_UNDER_WAY)))
        if fault == "sampler":
            assert failed <= {sequence.request_id}, "only the failing request ends"
        assert fault == "runner" or len(failed) <= 1
        self.runner.returns_nan = self.runner.scores_nan = False
        self.sampler.failing_state = None

    def _step(self, may_fail=False):
        failed = set()
        for event in self.engine.step():
            if isinstance(event, Failed):
                assert may_fail
                failed.add(event.id)
                self._forget(event.id)
                continue
            request, tokens_so_far = self.live[event.id]
            if isinstance(event, Rated):
                self.unrated.remove(event.id)
                self._check_rated(event, request)
                continue
            assert event.id not in self.unrated, "an answer begins before the scores of its prompt"
            tokens_so_far[event.index] += event.token_ids
            assert event.num_output_tokens == len(tokens_so_far[event.index])
            if event.finish_reason:
                assert event.finish_reason == "length"
                assert tokens_so_far.pop(event.index) == answer_alone(request, event.index)
            if not tokens_so_far:
                del self.live[event.id]
        self.engine.check_invariants()
        return failed

    def _check_rated(self, event, request):
        if isinstance(request, Generate):
            check_scores(event, request.tokens, [], True, request.prompt_logprobs)
        else:
            check_scores(event, request.request.tokens, request.continuations, request.scores_prompt, request.num_top)
            del self.live[event.id]

    def _forget(self, id):
        del self.live[id]
        self.unrated.discard(id)

    @invariant()
    def blocks_and_budgets_add_up(self):
        self.engine.check_invariants()
        assert self.engine.has_work == bool(self.live or self.engine._under_way)
        assert all(s <= MAX_SEQUENCES and n <= BUDGET for s, n in self.runner.batch_sizes)
        self.runner.batch_sizes.clear()

    @invariant()
    def salts_share_no_block(self):
        blocks = {"": set(), "other": set()}
        for sequence in self.scheduler.running:
            blocks[sequence.salt].update(sequence.table.blocks)
        assert not blocks[""] & blocks["other"]

    @invariant()
    def prefixes_hold_their_tokens(self):
        for node in self.scheduler.kv.prefixes:
            if node.is_computed:
                start = node.block * BLOCK_SIZE
                assert tuple(self.runner.cache[start : start + BLOCK_SIZE].tolist()) == node.tokens

    def teardown(self):
        # Every request finishes: at worst one after another, with a prefill of everything before each of its tokens.
        num_choices = sum(len(tokens_so_far) or 1 for _, tokens_so_far in self.live.values())
        for _ in range(num_choices * MAX_TOKENS * (CONTEXT // 24 + 1)):
            if self.live:
                self._step()
        assert not self.live
        assert self.engine.load().num_free_blocks == NUM_BLOCKS


# Together well over 10,000 steps of the engine.
Serving.TestCase.settings = settings(max_examples=examples(40, fast=2), stateful_step_count=40, deadline=None)
TestServing = Serving.TestCase


class ServingRecurrent(Serving):
    """The same with a recurrent model, and with as few snapshots."""

    @staticmethod
    def make_runner():
        return RecurrentRunner(num_snapshots=2)

    @invariant()
    def snapshots_hold_the_states_behind_their_blocks(self):
        for node, index in self.scheduler.kv.snapshots:
            path = [node]
            while not isinstance(path[-1].parent, str):
                path.append(path[-1].parent)
            tokens = [token for each in reversed(path) for token in each.tokens]
            assert self.runner.states[index] == zlib.crc32(np.array(tokens, np.int32).tobytes())


class PipelinedRunner(RecordingRunner):
    """Has three steps under way, as a model in three stages."""

    def __init__(self):
        super().__init__()
        self.max_under_way = ServingPipelined.NUM_UNDER_WAY
        self.under_way = deque()

    def begin(self, batch):
        assert len(self.under_way) < self.max_under_way
        self.under_way.append((self.forward(batch), self._scores))

    def finish(self):
        logits, self._scores = self.under_way.popleft()
        return logits


class ServingPipelined(Serving):
    """The same with a model in stages, so that requests come, go and are preempted while steps are under way."""

    NUM_UNDER_WAY = 3

    @staticmethod
    def make_runner():
        return PipelinedRunner()


class PipelinedRecurrentRunner(RecurrentRunner):
    def __init__(self):
        super().__init__(num_snapshots=2)
        self.max_under_way = ServingPipelined.NUM_UNDER_WAY
        self.under_way = deque()

    begin, finish = PipelinedRunner.begin, PipelinedRunner.finish


class ServingPipelinedRecurrent(ServingRecurrent):
    NUM_UNDER_WAY = 3

    @staticmethod
    def make_runner():
        return PipelinedRecurrentRunner()


@pytest.fixture(autouse=True)
def groups_of_one(monkeypatch):
    monkeypatch.setattr(scheduler, "ROWS_PER_GROUP", 1)
    monkeypatch.setattr(scheduler, "TOKENS_PER_CHUNK", 20)


@pytest.fixture(autouse=True)
def few_branches(monkeypatch):
    monkeypatch.setattr(live_request, "MAX_QUEUED_BRANCHES", 3)


@pytest.fixture(autouse=True)
def snapshots_of_short_prompts(monkeypatch):
    monkeypatch.setattr(snapshot_positions, "LEAST_GAIN", 16)
    monkeypatch.setattr(snapshot_positions, "_INTERVAL", 32)
    monkeypatch.setattr(recurrent_states, "LEAST_GAIN", 16)


ServingRecurrent.TestCase.settings = settings(max_examples=examples(25, fast=1), stateful_step_count=40, deadline=None)
TestServingRecurrent = ServingRecurrent.TestCase

ServingPipelined.TestCase.settings = settings(max_examples=examples(20, fast=1), stateful_step_count=40, deadline=None)
TestServingPipelined = ServingPipelined.TestCase

ServingPipelinedRecurrent.TestCase.settings = settings(
    max_examples=examples(12, fast=1), stateful_step_count=40, deadline=None
)
TestServingPipelinedRecurrent = ServingPipelinedRecurrent.TestCase
