"""Logits to tokens: gather what each sequence asked for into arrays, and sample all of them in one native call."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, chain
from typing import Any

import numpy as np
import numpy.typing as npt

from llmos.engine.messages import SamplingParams
from llmos.engine.runner import Likeliest

Array = npt.NDArray[Any]
SampleFunction = Callable[..., tuple[Array, Array, Array, Array]]
"""_native.sample with its pool bound."""

GREEDY_BELOW = 1e-5
"""A temperature below this is 0: the likeliest token, always."""

_NOTHING = np.zeros(0, np.int32)
_NOTHING_ADDED = np.zeros(0, np.float32)


class SamplingState:
    """How one sequence chooses its next token, and what it chose so far. Nothing else in the batch can change it:
    the random number of step i is a function of (seed, i)."""

    __slots__ = (
        "_allowed",
        "_banned",
        "frequency_penalty",
        "min_p",
        "min_tokens",
        "num_logprobs",
        "presence_penalty",
        "repetition_penalty",
        "seed",
        "seen",
        "step",
        "temperature",
        "top_k",
        "top_p",
    )

    def __init__(
        self, params: SamplingParams, *, seed: int, prompt: Iterable[int], stop_ids: frozenset[int], vocab_size: int
    ) -> None:
        self.temperature = params.temperature if params.temperature >= GREEDY_BELOW else 0.0
        self.top_k = min(params.top_k, vocab_size)
        self.top_p = params.top_p
        self.min_p = params.min_p
        self.repetition_penalty = params.repetition_penalty
        self.presence_penalty = params.presence_penalty
        self.frequency_penalty = params.frequency_penalty
        self.num_logprobs = -1 if params.logprobs is None else params.logprobs
        self.seed = seed
        self.step = 0
        """Tokens sampled so far."""
        has_penalty = params.repetition_penalty != 1 or params.presence_penalty != 0 or params.frequency_penalty != 0
        self.seen = SeenTokens(prompt) if has_penalty else None
        self.min_tokens = params.min_tokens
        self._allowed = Bias(params.logit_bias)
        self._banned = Bias({**params.logit_bias, **dict.fromkeys(stop_ids, -np.inf)})

    def bias(self, ahead: int = 0) -> "Bias":
        """What is added to the logits of the next token, or of the one `ahead` tokens behind it.

        Before min_tokens whatever would stop the answer is banned.
        """
        return self._banned if self.step + ahead < self.min_tokens else self._allowed

    def settle(self, token: int) -> None:
        self.step += 1
        if self.seen is not None:
            self.seen.add(token)


class Bias:
    """Numbers to add to some tokens' logits."""

    __slots__ = ("ids", "values")

    def __init__(self, values: dict[int, float]) -> None:
        self.ids = np.fromiter(values.keys(), np.int32, len(values))
        self.values = np.fromiter(values.values(), np.float32, len(values))


class SeenTokens:
    """The distinct tokens of prompt and output, and how often each is in the output; grows without copying all."""

    __slots__ = ("_counts", "_ids", "_places", "size")

    def __init__(self, prompt: Iterable[int]) -> None:
        distinct = list(dict.fromkeys(prompt))
        self.size = len(distinct)
        self._places = {token: place for place, token in enumerate(distinct)}
        self._ids = np.zeros(self.size + 64, np.int32)
        self._ids[: self.size] = distinct
        self._counts = np.zeros(self.size + 64, np.int32)

    @property
    def ids(self) -> Array:
        return self._ids[: self.size]

    @property
    def counts(self) -> Array:
        return self._counts[: self.size]

    def add(self, token: int) -> None:
        place = self._places.get(token)
        if place is None:
            place = self._places[token] = self.size
            if place == len(self._ids):
                self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
                self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
            self._ids[place] = token
            self.size += 1
        self._counts[place] += 1

    def behind(self, draft: list[int]) -> tuple[Array, Array]:
        """Return what ids and counts would be if the draft were added."""
        if not draft:
            return self.ids, self.counts
        new = dict.fromkeys(token for token in draft if token not in self._places)
        places = {token: self.size + i for i, token in enumerate(new)}
        ids = np.concatenate([self.ids, np.fromiter(new, np.int32, len(new))])
        counts = np.concatenate([self.counts, np.zeros(len(new), np.int32)])
        for token in draft:
            counts[places[token] if token in places else self._places[token]] += 1
        return ids, counts


@dataclass(frozen=True, slots=True)
class Sampled:
    """One token for each row of logits."""

    ids: list[int]
    """-1 where the logits were no numbers."""
    logprobs: Array  # [R], of the model's own distribution
    top_ids: Array  # [R, K]
    top_logprobs: Array  # [R, K]


@dataclass(frozen=True, slots=True)
class Masks:
    """Which tokens the rows of logits may take."""

    words_MW: npt.NDArray[np.uint32]
    """A bit for each token, the lowest first."""
    mask_of_R: npt.NDArray[np.int32]
    """Each row's mask, -1 where it may take any token."""


class Sampler:
    """Samples a batch. Most steps have the same sequences as the step before: their arrays are kept."""

    def __init__(self, sample: SampleFunction) -> None:
        self._sample = sample
        self._arrange([])

    def sample(
        self,
        logits_RV: npt.NDArray[np.float32],
        states: list[SamplingState],
        drafts: list[list[int]] | None = None,
        likeliest: Likeliest | None = None,
        masks: Masks | None = None,
    ) -> Sampled:
        """Choose the next token of every row; `logits_RV` is worked on in place. Call settle() with each token.

        A state has a row, and one more behind each token of its draft. Each row is sampled as it would be if the part
        of the draft before it had been settled.
        """
        if states != self._states:
            self._arrange(states)
        parameters = self._parameters
        steps = np.array([s.step for s in states], np.uint64)
        if drafts is None:
            drafts = [[]] * len(states)
        else:
            counts = [1 + len(draft) for draft in drafts]
            rows = np.repeat(np.arange(len(states)), counts)
            parameters = [each.take(rows) for each in parameters]
            steps = steps.take(rows) + np.fromiter(chain.from_iterable(map(range, counts)), np.uint64, len(rows))
        nothing = (np.zeros(len(steps) + 1, np.int32), _NOTHING, _NOTHING_ADDED)
        ids, logprobs, top_ids, top_logprobs = self._sample(
            logits_RV,
            *parameters[:5],
            steps,
            *parameters[5:],
            *(_join_seen(states, drafts) if self._has_seen else (*nothing[:2], _NOTHING)),
            *(_join_biases(states, drafts) if self._has_bias else nothing),
            *((likeliest.highest_R, likeliest.tokens_R) if likeliest else ()),
            **({"masks": masks.words_MW, "mask_rows": masks.mask_of_R} if masks else {}),
        )
        return Sampled(ids.tolist(), logprobs, top_ids, top_logprobs)

    def _arrange(self, states: list[SamplingState]) -> None:
        """Gather what stays the same from step to step, in the order in which _native.sample takes it."""
        self._parameters: list[Array] = [
            np.array([s.temperature for s in states], np.float32),
            np.array([s.top_k for s in states], np.int32),
            np.array([s.top_p for s in states], np.float32),
            np.array([s.min_p for s in states], np.float32),
            np.array([s.seed for s in states], np.uint64),
            np.array([s.num_logprobs for s in states], np.int32),
            np.array([s.repetition_penalty for s in states], np.float32),
            np.array([s.presence_penalty for s in states], np.float32),
            np.array([s.frequency_penalty for s in states], np.float32),
        ]
        self._has_seen = any(s.seen is not None for s in states)
        self._has_bias = any(len(s.bias().ids) for s in states)
        self._states = states


def _join_seen(states: list[SamplingState], drafts: list[list[int]]) -> tuple[Array, Array, Array]:
    parts = []
    for state, draft in zip(states, drafts, strict=True):
        for ahead in range(len(draft) + 1):
            parts.append((_NOTHING, _NOTHING) if state.seen is None else state.seen.behind(draft[:ahead]))
    return _join(parts)


def _join_biases(states: list[SamplingState], drafts: list[list[int]]) -> tuple[Array, Array, Array]:
    parts = []
    for state, draft in zip(states, drafts, strict=True):
        for ahead in range(len(draft) + 1):
            bias = state.bias(ahead)
            parts.append((bias.ids, bias.values))
    return _join(parts)


def native_sampler(pool: Any, threads: int) -> Sampler:
    """Return a sampler that works on `pool`, the threads of the native runner, or on threads of its own."""
    from llmos.engine import _native

    return Sampler(partial(_native.sample, _native.Pool(threads) if pool is None else pool))


def _join(parts: list[tuple[Array, Array]]) -> tuple[Array, Array, Array]:
    """Return where each row's entries start, and the entries of all rows one after another."""
    starts = np.array([0, *accumulate(len(ids) for ids, _ in parts)], np.int32)
    return starts, np.concatenate([ids for ids, _ in parts]), np.concatenate([values for _, values in parts])
