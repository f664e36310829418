"""Samples tokens from logits: gathers the sequences' parameters into arrays, and makes one native call for all rows."""

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
"""_native.sample() with its thread pool bound."""

GREEDY_BELOW = 1e-5
"""Temperatures below this count as 0: the most probable token is taken."""

_NOTHING = np.zeros(0, np.int32)
_NOTHING_ADDED = np.zeros(0, np.float32)


class SamplingState:
    """One sequence's sampling parameters, seed, and the tokens that penalties count.

    Independent of the rest of the batch: the random number of step i is a function of (seed, i).
    """

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
        """Return what is added to the logits of the next token, or of the one `ahead` tokens later.

        Tokens that stop the answer are banned until min_tokens.
        """
        return self._banned if self.step + ahead < self.min_tokens else self._allowed

    def append(self, token: int) -> None:
        """Advance by one sampled token."""
        self.step += 1
        if self.seen is not None:
            self.seen.add(token)


class Bias:
    """Values to add to some tokens' logits: `ids` [B] int32, `values` [B] float32."""

    __slots__ = ("ids", "values")

    def __init__(self, values: dict[int, float]) -> None:
        self.ids = np.fromiter(values.keys(), np.int32, len(values))
        self.values = np.fromiter(values.values(), np.float32, len(values))


class SeenTokens:
    """The distinct tokens of prompt and output, and how often each is in the output."""

    __slots__ = ("_counts", "_ids", "_indices", "size")

    def __init__(self, prompt: Iterable[int]) -> None:
        distinct = list(dict.fromkeys(prompt))
        self.size = len(distinct)
        self._indices = {token: index for index, token in enumerate(distinct)}
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
        index = self._indices.get(token)
        if index is None:
            index = self._indices[token] = self.size
            if index == len(self._ids):
                self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
                self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
            self._ids[index] = token
            self.size += 1
        self._counts[index] += 1

    def with_draft(self, draft: list[int]) -> tuple[Array, Array]:
        """Return `ids` and `counts` as they would be with the draft added."""
        if not draft:
            return self.ids, self.counts
        new = dict.fromkeys(token for token in draft if token not in self._indices)
        indices = {token: self.size + i for i, token in enumerate(new)}
        ids = np.concatenate([self.ids, np.fromiter(new, np.int32, len(new))])
        counts = np.concatenate([self.counts, np.zeros(len(new), np.int32)])
        for token in draft:
            counts[indices[token] if token in indices else self._indices[token]] += 1
        return ids, counts


@dataclass(frozen=True, slots=True)
class Sampled:
    """One token for each of R rows of logits, and the K most probable ones."""

    ids: list[int]
    """-1 where a logit was not finite."""
    logprobs: Array
    """[R] float32, natural logarithm, by the model's distribution before temperature and penalties."""
    top_ids: Array
    """[R, K] int32"""
    top_logprobs: Array
    """[R, K] float32"""


@dataclass(frozen=True, slots=True)
class Masks:
    """The tokens that each row of logits may take."""

    words_MW: npt.NDArray[np.uint32]
    """One bit for each token, the lowest bit first."""
    mask_of_R: npt.NDArray[np.int32]
    """Index of each row's mask, -1 for a row that may take any token."""


class Sampler:
    """Samples a batch. Keeps the arrays of parameters, since most steps have the same sequences as the one before."""

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
        """Sample the next token of every row. Overwrites `logits_RV`; doesn't advance the states.

        A state has one row, and one more behind each token of its draft. Each row is sampled as if the part of the
        draft before it had been appended.
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
        """Gather what stays the same from step to step, in the order of _native.sample()'s parameters."""
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
            parts.append((_NOTHING, _NOTHING) if state.seen is None else state.seen.with_draft(draft[:ahead]))
    return _join(parts)


def _join_biases(states: list[SamplingState], drafts: list[list[int]]) -> tuple[Array, Array, Array]:
    parts = []
    for state, draft in zip(states, drafts, strict=True):
        for ahead in range(len(draft) + 1):
            bias = state.bias(ahead)
            parts.append((bias.ids, bias.values))
    return _join(parts)


def native_sampler(pool: Any, threads: int, isa: str = "") -> Sampler:
    """Return a sampler that runs on `pool`, the native runner's threads, or on `threads` threads of its own if None.

    `isa`: the kernel path of the runner, so that the logprobs of sampled and of scored tokens are the same to the bit.
    """
    from llmos.engine import _native

    return Sampler(partial(_native.sample, _native.Pool(threads) if pool is None else pool, isa=isa))


def _join(parts: list[tuple[Array, Array]]) -> tuple[Array, Array, Array]:
    """Return the start of each row's entries [R + 1], and the entries of all rows concatenated."""
    starts = np.array([0, *accumulate(len(ids) for ids, _ in parts)], np.int32)
    return starts, np.concatenate([ids for ids, _ in parts]), np.concatenate([values for _, values in parts])
