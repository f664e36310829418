"""Requests in, events out, one step at a time. Knows no process, no socket, no thread."""

import logging
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from llmos.core.encryption.sealed_path import join_keys
from llmos.core.errors import BadRequest, Conflict, LLMOSError
from llmos.engine.adapter_cache import AdapterCache
from llmos.engine.config import EngineConfig
from llmos.engine.live_request import LiveRequest
from llmos.engine.messages import (
    AdapterFiles,
    Counted,
    Delta,
    Embed,
    EngineStats,
    Event,
    Failed,
    Generate,
    Rate,
    Rated,
    Started,
    Tokenize,
    Tokenized,
    TokenLogprob,
)
from llmos.engine.prompt import count, tokenize
from llmos.engine.rate_request import prepare_prompt_alone, prepare_rate
from llmos.engine.rating import text_and_bytes
from llmos.engine.request import Prepared, prepare
from llmos.engine.runner import (
    BLOCK_SIZE,
    Likeliest,
    OneAtATime,
    Runner,
    Scores,
    SequencesRefused,
    StageLost,
    StepRunner,
)
from llmos.engine.sampling.masks import MaskMaker
from llmos.engine.sampling.sampler import Masks, Sampled, Sampler, native_sampler
from llmos.engine.scheduling.plan import Plan
from llmos.engine.scheduling.scheduler import Scheduler
from llmos.engine.scheduling.sequence import Choice, Sequence
from llmos.engine.scheduling.snapshots import Snapshots
from llmos.engine.scheduling.speculate import Speculator
from llmos.engine.text.grammar import GrammarCompiler, GrammarError
from llmos.engine.text.joining import join

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llmos.engine.checkpoint.adapters import Adapter
    from llmos.engine.tensors import RawTensor
    from llmos.engine.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Step:
    """A step under way, as its plan was when it began."""

    plan: Plan
    rows: "list[Row]"
    scored: list[tuple[Sequence, range]]
    computed: list[Sequence]
    masks: MaskMaker


_FORWARD_FAILED = "The forward pass failed. Try again."
_NOT_FINITE = "The model computed logits that are not finite."

Logits = npt.NDArray[np.float32]
Row = tuple[Choice, list[int]]
"""A choice that gets its next tokens, and its draft."""


class Engine:
    """Continuous batching over one model. All methods but prepare() and count() belong to one thread.

    Every request that submit() accepts ends in exactly one of: a Delta with a finish_reason for each of its choices,
    Rated, Failed, or abort(). An error that concerns one request ends only that request.

        engine.submit(Generate(id="a", text="Once upon a time"))
        while engine.has_work:
            for event in engine.step():
                ...
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: "Tokenizer",
        config: EngineConfig,
        sampler: Sampler | None = None,
        *,
        base: "Callable[[], Mapping[str, RawTensor]] | None" = None,
    ) -> None:
        """`base`: returns the tensors of the model's files, which some adapters need."""
        self.runner, self._base = runner, base
        self._tokenizer = tokenizer
        self.context_length = min(config.context_length or runner.spec.max_positions, runner.num_blocks * BLOCK_SIZE)
        """Tokens of prompt and answer together."""
        self._default_max_tokens = config.default_max_tokens
        is_recurrent = runner.spec.is_recurrent
        if is_recurrent:
            config = replace(config, max_sequences=min(config.max_sequences, runner.num_states))
        snapshots = Snapshots(runner.num_states, runner.num_snapshots) if is_recurrent else None
        self._steps: StepRunner = runner if isinstance(runner, StepRunner) else OneAtATime(runner)
        self._under_way: deque[_Step] = deque()
        """Steps that have begun, the oldest first."""
        self._scheduler = Scheduler(
            config,
            runner.num_blocks,
            self.context_length,
            snapshots=snapshots,
            max_under_way=self._steps.max_under_way,
        )
        self._sampler = sampler or native_sampler(
            getattr(runner, "pool", None), config.threads or 1, getattr(runner, "isa", "")
        )
        # A state can't be taken back behind rejected tokens.
        self._speculator = Speculator(0 if is_recurrent else config.max_draft_tokens, config.max_batched_tokens)
        self._adapters = AdapterCache(runner)
        self._grammars = GrammarCompiler(tokenizer, runner.spec.vocab_size)
        self._mask_makers = [MaskMaker(runner.spec.vocab_size) for _ in range(self._steps.max_under_way)]
        """The makers of masks that no running step uses."""
        self._live: dict[str, LiveRequest] = {}
        self._adapter_of: dict[str, str] = {}
        """Request id -> digest of its adapter, for live requests that have one."""
        self.num_computed_tokens = 0
        """Tokens that successful steps have computed in all, drafts included."""
        self._num_steps = 0
        self._num_prompt_tokens = 0
        self._num_output_tokens = 0
        self._num_cached_tokens = 0
        self._num_draft_tokens = 0
        self._num_accepted_tokens = 0

    @property
    def has_work(self) -> bool:
        return self._scheduler.has_work or bool(self._under_way)

    def prepare(self, request: Generate | Rate | Embed) -> Prepared:
        """Check a request and encode its prompt. Any thread may call this.

        Raises an LLMOSError that names the wrong field.
        """
        if isinstance(request, Embed):
            raise BadRequest(
                "This model generates text and makes no embeddings. Use an embedding model.", param="model"
            )
        vocab_size, context_length = self.runner.spec.vocab_size, self.context_length
        if isinstance(request, Rate):
            prepared = prepare_rate(request, self._tokenizer, vocab_size=vocab_size, context_length=context_length)
        elif request.sampling.max_tokens == 0 and request.prompt_logprobs is not None:
            prepared = prepare_prompt_alone(
                request, self._tokenizer, vocab_size=vocab_size, context_length=context_length
            )
        else:
            prepared = prepare(
                request,
                self._tokenizer,
                self._grammars,
                vocab_size=vocab_size,
                context_length=context_length,
                default_max_tokens=self._default_max_tokens,
            )
        if prepared.adapter is None or self._adapters.has(prepared.adapter.digest):
            return prepared
        return replace(prepared, opened_adapter=self._open_adapter(prepared.adapter))

    def count(self, request: Generate) -> Counted:
        """Return how many tokens the prompt has. Any thread may call this.

        Raises as prepare() does, except for a prompt that leaves no room for an answer.
        """
        return count(
            request,
            self._tokenizer,
            vocab_size=self.runner.spec.vocab_size,
            context_length=self.context_length,
        )

    def tokenize(self, command: Tokenize) -> Tokenized:
        """Return the tokens of a prompt. Any thread may call this. Raises as count() does."""
        return tokenize(
            command, self._tokenizer, vocab_size=self.runner.spec.vocab_size, context_length=self.context_length
        )

    def admit(self, prepared: Prepared) -> Started:
        """Queue a prepared request. Raises Conflict if its id is in use, and Unavailable if no adapter slot is free."""
        if prepared.id in self._live:
            raise Conflict(f"A request with the id {prepared.id} is running already. Give every request its own id.")
        if (files := prepared.adapter) is not None:
            index = self._adapters.acquire(files.digest, lambda: prepared.opened_adapter or self._open_adapter(files))
            self._adapter_of[prepared.id] = files.digest
            for sequence in prepared.sequences:
                sequence.adapter_index = index
        self._live[prepared.id] = request = LiveRequest(prepared)
        self._queue_next(request)
        return Started(prepared.id, prepared.num_prompt_tokens, [*prepared.ignored])

    def submit(self, request: Generate | Rate) -> Started:
        """Prepare and admit a request."""
        return self.admit(self.prepare(request))

    def abort(self, request_id: str) -> None:
        """Drop a request and free its blocks. Does nothing if it has ended already."""
        self._drop(request_id)

    def step(self) -> list[Event]:
        """Compute one batch and return its events: schedule, run, postprocess. Of a split model, several batches are
        under way at once, and this returns the events of the oldest."""
        events: list[Event] = []
        while len(self._under_way) < self._steps.max_under_way:
            begun = self._begin_step()
            if isinstance(begun, _Step):
                self._under_way.append(begun)
                continue
            events += begun
            break
        return events + self._finish_step(self._under_way.popleft()) if self._under_way else events

    def _begin_step(self) -> "_Step | list[Event]":
        """Begin to compute a batch. If there is none, or requests of it failed, return their events."""
        self._speculator.propose(self._scheduler.running)
        plan = self._scheduler.schedule()
        if not plan.sequences:
            return []
        self._num_steps += 1
        step = _Step(plan, plan.sampled(), plan.scored(), plan.computed(), self._mask_makers.pop())
        step.masks.start([(sequence.matcher, draft) for sequence, draft in step.rows])
        try:
            self._steps.begin(plan.batch(self._scheduler.kv))
        except SequencesRefused as refused:
            self._end_masks(step)
            # Nothing was computed or committed, so the other requests' next step computes the same again.
            logger.error("A step was refused for some of its sequences: %s.", refused)
            return self._fail({plan.sequences[i].request_id for i in refused.indices}, _FORWARD_FAILED)
        except StageLost:
            raise  # The replica ends, which says more than one failed request after another.
        except Exception:
            self._end_masks(step)
            # Any request in the batch may be the cause; the waiting ones are not.
            logger.exception("A step failed; all requests in its batch fail.")
            return self._fail({s.request_id for s in plan.sequences}, _FORWARD_FAILED)
        self._count_computed(plan)
        # Later steps are computed behind this one, so they may build on it before it is finished.
        self._scheduler.commit(plan)
        return step

    def _finish_step(self, step: "_Step") -> list[Event]:
        """Return the events of a step. Sequences that ended or were preempted meanwhile get nothing from it."""
        plan, rows = step.plan, step.rows
        try:
            logits = self._steps.finish()
        except StageLost:
            raise
        except Exception:
            self._end_masks(step)
            logger.exception("A step failed; all requests in its batch fail.")
            return self._fail({s.request_id for s in plan.sequences if self._is_live(s)}, _FORWARD_FAILED)
        self.num_computed_tokens += plan.num_tokens
        current = [sequence.in_flight is plan for sequence, _ in rows]
        masks = self._end_masks(step)
        scores = self.runner.scores() if step.scored else None
        try:
            sampled = self._sample(logits, rows, self.runner.likeliest(), masks) if rows else None
        except Exception:
            logger.exception("Sampling failed.")
            failed = self._fail(self._find_failed_requests(logits, rows, masks), "The next token could not be chosen.")
            self._scheduler.finish(plan)
            self._scheduler.take_back(plan)
            sampled, events = None, failed
        else:
            self._scheduler.finish(plan)
            events = []
        events += self._collect_scores(step.scored, scores) if step.scored else []
        events += self._postprocess(rows, current, sampled) if sampled is not None else []
        return events + self._end_computed(step.computed)

    def _end_masks(self, step: "_Step") -> Masks | None:
        """Return the masks of a step, and its maker to those that are free."""
        self._mask_makers.append(step.masks)
        return step.masks.finish()

    def _is_live(self, sequence: Sequence) -> bool:
        """Return whether a sequence is one of a live request: another one may have its id meanwhile."""
        request = self._live.get(sequence.request_id)
        return request is not None and sequence in request.queued

    def load(self) -> EngineStats:
        """Return the counters of the engine."""
        scheduler = self._scheduler
        return EngineStats(
            num_running=len(scheduler.running),
            num_waiting=len(scheduler.waiting),
            num_free_blocks=scheduler.kv.num_free,
            num_preemptions=scheduler.num_preemptions,
            num_steps=self._num_steps,
            num_prompt_tokens=self._num_prompt_tokens,
            num_output_tokens=self._num_output_tokens,
            num_cached_tokens=self._num_cached_tokens,
            num_cached_blocks=scheduler.kv.num_evictable,
            num_state_snapshots=scheduler.kv.snapshots.num_kept,
            num_draft_tokens=self._num_draft_tokens,
            num_accepted_tokens=self._num_accepted_tokens,
        )

    def check_invariants(self) -> None:
        """Assert that blocks, queues and live requests agree with each other."""
        self._scheduler.check_invariants()
        self._adapters.check_invariants()
        queued = {*self._scheduler.running, *self._scheduler.waiting}
        live = {sequence for request in self._live.values() for sequence in request.queued}
        assert queued == live, "the queued sequences are not those of the live requests"
        assert all(request.queued for request in self._live.values()), "a request has nothing queued"

    def _queue_next(self, request: LiveRequest) -> None:
        for sequence in request.take_next():
            self._scheduler.add(sequence)

    def _count_computed(self, plan: Plan) -> None:
        for sequence, num_tokens in zip(plan.sequences, plan.counts, strict=True):
            self._live[sequence.request_id].num_computed_tokens += num_tokens

    def _collect_scores(self, scored: list[tuple[Sequence, range]], scores: Scores | None) -> list[Event]:
        """Keep the scores of this step. A request whose scores are not finite fails."""
        assert scores is not None, "the runner has no scores of the rows that were asked for"
        events: list[Event] = []
        first = 0
        for sequence, indices in scored:
            # A request is not live if another sequence of it failed in this step.
            if self._is_live(sequence) and (failure := self._add_scores(sequence, indices, scores, first)):
                events += self._fail({sequence.request_id}, failure)
            first += len(indices)
        return events

    def _add_scores(self, sequence: Sequence, indices: range, scores: Scores, first: int) -> str | None:
        """Keep the scores of these given tokens of a sequence. Return why the request fails, None if it doesn't."""
        rating, part = self._live[sequence.request_id].rating, slice(indices.start, indices.stop)
        assert rating is not None
        try:
            is_finite = rating.add(scores, first, sequence.scored.slots[part], sequence.scored.tokens[part])
        except Exception:
            logger.exception("Request %s failed.", sequence.request_id)
            return "The scores could not be turned into text."
        return None if is_finite else _NOT_FINITE

    def _end_computed(self, computed: list[Sequence]) -> list[Event]:
        """End the sequences whose tokens are all computed, and queue what waited for them or for their prompt."""
        for sequence in computed:
            if self._is_live(sequence):
                self._scheduler.remove(sequence)
                self._live[sequence.request_id].queued.remove(sequence)
        events: list[Event] = []
        for request in [request for request in self._live.values() if request.rating is not None]:
            self._queue_next(request)
            if request.has_ended:
                self._forget(request.id)
                events += [self._rated(request), *request.empty_choices]
        return events

    def _rated(self, request: LiveRequest) -> Rated:
        self._num_prompt_tokens += request.num_given_tokens
        self._num_cached_tokens += request.num_cached_tokens
        return request.rated()

    def _sample(
        self, logits: Logits, rows: list[Row], likeliest: Likeliest | None = None, masks: Masks | None = None
    ) -> Sampled:
        drafts = [draft for _, draft in rows]
        states = [sequence.sampling for sequence, _ in rows]
        return self._sampler.sample(logits, states, drafts if any(drafts) else None, likeliest, masks)

    def _find_failed_requests(self, logits: Logits, rows: list[Row], masks: Masks | None) -> set[str]:
        """Return the requests that can't be sampled alone either; all of them if each of them can.

        Nothing of the step was committed, so the other requests' next step computes the same again.
        """
        failed_requests = set()
        first = 0
        for sequence, draft in rows:
            last = first + len(draft)
            own = masks and Masks(masks.words_MW, masks.mask_of_R[first : last + 1])
            try:
                self._sample(logits[first : last + 1].copy(), [(sequence, draft)], masks=own)
            except Exception:
                failed_requests.add(sequence.request_id)
            first = last + 1
        return failed_requests or {sequence.request_id for sequence, _ in rows}

    def _postprocess(self, rows: list[Row], current: list[bool], sampled: Sampled) -> list[Event]:
        """`current`: for each row, False if its sequence was preempted since the step began."""
        events: list[Event] = []
        first = 0
        for (sequence, draft), is_current in zip(rows, current, strict=True):
            # A request is not live if another choice of it failed in this step.
            if is_current and self._is_live(sequence):
                events += self._append_tokens(sequence, draft, sampled, first)
            first += 1 + len(draft)
        return events

    def _append_tokens(self, sequence: Choice, draft: list[int], sampled: Sampled, first: int) -> list[Event]:
        """Append the tokens sampled from row `first` on: the draft as far as it agrees, and one token more."""
        output, matcher = sequence.output, sequence.matcher
        if matcher is not None and matcher.failure:
            return self._fail_grammar(sequence, matcher.failure)
        events: list[Event] = []
        if output.index == 0 and output.num_tokens == 0:
            events = self._begin_answer(sequence)
        deltas: list[Delta] = []
        failure = None
        num_accepted = 0
        for row in range(first, first + 1 + len(draft)):
            token = sampled.ids[row]
            if token < 0:
                failure = _NOT_FINITE
                break
            try:
                entry = self._logprob(sampled, row, token, sequence) if output.wants_logprobs else None
                is_complete = matcher is not None and not output.is_stop_token(token) and matcher.accept(token)
                delta = output.push(token, entry, is_complete=is_complete)
            except GrammarError as error:
                return [*events, *_joined(deltas), *self._fail_grammar(sequence, str(error))]
            except Exception:
                logger.exception("Request %s failed.", sequence.request_id)
                failure = "The answer could not be turned into text."
                break
            self._num_output_tokens += 1
            sequence.tokens.append(token)
            sequence.sampling.append(token)
            if delta is not None:
                deltas.append(delta)
            if row == first + len(draft) or token != draft[row - first]:
                break
            num_accepted += 1
            if output.finish_reason is not None:
                break
        # All but the last token are computed. Behind them the cache may hold rejected tokens of the draft.
        sequence.num_computed = len(sequence.tokens) - 1
        if draft:
            self._record_draft(sequence, len(draft), num_accepted)
        events += _joined(deltas)
        if failure is not None:
            return events + self._fail({sequence.request_id}, failure)
        if output.finish_reason is not None:
            self._finish(sequence)
        return events

    def _begin_answer(self, sequence: Choice) -> list[Event]:
        """Count the prompt once for all choices, which share it. Return the scores of its tokens, if they are wanted.

        Only the first delta of the first choice reports what was cached, and how long the request waited."""
        self._num_prompt_tokens += sequence.num_prompt_tokens
        self._num_cached_tokens += sequence.num_cached_tokens
        sequence.output.num_cached_tokens = sequence.num_cached_tokens
        request = self._live[sequence.request_id]
        sequence.output.queued_micros = request.queued_micros
        return [] if request.rating is None else [request.rated()]

    def _record_draft(self, sequence: Choice, num_drafted: int, num_accepted: int) -> None:
        self._num_draft_tokens += num_drafted
        self._num_accepted_tokens += num_accepted
        if sequence.drafter is not None and not sequence.is_draft_forced:
            sequence.drafter.learn(num_drafted, num_accepted)

    def _finish(self, sequence: Sequence) -> None:
        """Remove a finished sequence, and its request with the last one."""
        self._scheduler.remove(sequence)
        request = self._live[sequence.request_id]
        request.queued.remove(sequence)
        if request.has_ended:
            self._forget(request.id)

    def _drop(self, request_id: str, *, is_valid: bool = True) -> None:
        """Remove all sequences of a request. `is_valid`: see Scheduler.remove()."""
        for sequence in self._forget(request_id):
            self._scheduler.remove(sequence, is_valid=is_valid)

    def _forget(self, request_id: str) -> set[Sequence]:
        """End a request and return its sequences that are still in the scheduler."""
        if (adapter := self._adapter_of.pop(request_id, None)) is not None:
            self._adapters.release(adapter)
        request = self._live.pop(request_id, None)
        return set() if request is None else request.queued

    def _open_adapter(self, adapter: AdapterFiles) -> "Adapter":
        from llmos.engine.checkpoint.adapters import open_adapter  # safetensors is imported only for adapters

        return open_adapter(join_keys(adapter.files, adapter.keys), self.runner.spec, self._base)

    def _fail_grammar(self, sequence: Choice, reason: str) -> list[Event]:
        """Fail a request whose grammar takes more work than a step may."""
        assert sequence.matcher is not None
        field = sequence.matcher.field
        message = f"{field} can't be followed any further: {reason}. Make it simpler."
        self._drop(sequence.request_id)
        return [Failed(sequence.request_id, BadRequest.code, message, field)]

    def _fail(self, request_ids: set[str], message: str) -> list[Event]:
        for request_id in request_ids:
            # Its blocks may hold the values that made it fail, so no other request may begin with them.
            self._drop(request_id, is_valid=False)
        return [Failed(request_id, LLMOSError.code, message) for request_id in sorted(request_ids)]

    def _logprob(self, sampled: Sampled, row: int, token: int, sequence: Choice) -> TokenLogprob:
        count = sequence.sampling.num_logprobs
        top_ids: npt.NDArray[np.int32] = sampled.top_ids[row, :count]
        top = [
            (i, *self._text_and_bytes(i), value)
            for i, value in zip(top_ids.tolist(), sampled.top_logprobs[row, :count].tolist(), strict=True)
        ]
        return TokenLogprob(token, *self._text_and_bytes(token), float(sampled.logprobs[row]), top)

    def _text_and_bytes(self, token: int) -> tuple[str, bytes]:
        return text_and_bytes(self._tokenizer, token)


def _joined(deltas: list[Delta]) -> list[Event]:
    return [join(deltas)] if deltas else []
