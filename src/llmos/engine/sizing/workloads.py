"""The workloads that engines are timed on: random prompts, greedy sampling, end-of-sequence tokens ignored.

prefill_512   one prompt of 512 tokens, one output token     prompt tokens a second
decode_1      32 prompt tokens, 128 output tokens            output tokens a second after the first
decode_8      8 such streams at once                         all output tokens over the whole time, prefill included
decode_32     32 of them                                     the same
mixed_16      16 streams of 256 prompt, 128 output tokens    the same
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from llmos.engine.engine import Engine
from llmos.engine.messages import Delta, Failed, Generate, SamplingParams

Prompt = list[int]


@dataclass(frozen=True, slots=True)
class Timing:
    """The duration of one run."""

    seconds: float
    """From the submission of the first prompt to the last token of all."""
    first_token_seconds: float


Run = Callable[[Sequence[Prompt], int], Timing]
"""Answer all prompts at once with this many tokens each."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Prompts of one length that are submitted at once, and answered with the same number of tokens."""

    name: str
    num_prompts: int
    prompt_length: int
    num_output_tokens: int

    def tokens_per_second(self, timing: Timing) -> float:
        """Return the workload's figure; see the top of the file."""
        if self.num_output_tokens == 1:
            return self.num_prompts * self.prompt_length / timing.seconds
        if self.num_prompts == 1:
            return (self.num_output_tokens - 1) / (timing.seconds - timing.first_token_seconds)
        return self.num_prompts * self.num_output_tokens / timing.seconds


WORKLOADS = (
    Workload("prefill_512", 1, 512, 1),
    Workload("decode_1", 1, 32, 128),
    Workload("decode_8", 8, 32, 128),
    Workload("decode_32", 32, 32, 128),
    Workload("mixed_16", 16, 256, 128),
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of one workload. Its fields are the keys of the JSON lines that every benchmark prints."""

    engine: str
    workload: str
    tokens_per_second: float
    """The median of the runs."""
    runs: list[float]


def random_prompts(num_prompts: int, length: int, seed: int, vocab_size: int) -> list[Prompt]:
    """Return prompts of ordinary tokens: the lowest ids of a vocabulary are its bytes and control tokens."""
    ids = range(min(1000, vocab_size // 2), min(40_000, vocab_size))
    rng = random.Random(seed)  # noqa: S311  (the same prompts in every run, not secrets)
    return [[rng.choice(ids) for _ in range(length)] for _ in range(num_prompts)]


def measure(
    run: Run,
    repeats: int = 3,
    *,
    vocab_size: int = 40_000,
    workloads: Sequence[Workload] = WORKLOADS,
    engine: str = "llmos",
) -> Iterator[Measurement]:
    """Time each workload `repeats` times after a warm-up, each time on new prompts; yield each result at once."""
    run(random_prompts(2, 32, 0, vocab_size), 8)
    for workload in workloads:
        runs = []
        for repeat in range(repeats):
            prompts = random_prompts(workload.num_prompts, workload.prompt_length, 100 + repeat, vocab_size)
            runs.append(workload.tokens_per_second(run(prompts, workload.num_output_tokens)))
        runs.sort()
        median = statistics.median_high(runs)
        yield Measurement(engine, workload.name, round(median, 1), [round(each, 1) for each in runs])


def runs_on(engine: Engine) -> Run:
    """Return a Run on this engine, in this process. It raises the engine's error if a request fails."""

    def run(prompts: Sequence[Prompt], num_output_tokens: int) -> Timing:
        sampling = SamplingParams(temperature=0.0, max_tokens=num_output_tokens, ignore_eos=True)
        first_token_seconds = None
        started_at = time.perf_counter()
        for i, prompt in enumerate(prompts):
            engine.submit(Generate(id=f"workload-{i}", tokens=prompt, sampling=sampling))
        while engine.has_work:
            for event in engine.step():
                if isinstance(event, Failed):
                    raise event.error()
                if isinstance(event, Delta) and event.num_output_tokens and first_token_seconds is None:
                    first_token_seconds = time.perf_counter() - started_at
        seconds = time.perf_counter() - started_at
        return Timing(seconds, seconds if first_token_seconds is None else first_token_seconds)

    return run
