"""Measure what it takes to score given texts, against reading a prompt, and against lm-eval with transformers.

    python benchmarks/likelihood.py [MODEL.gguf] [--items 1000] [--rounds 9] [--clients 8] [--peer-items 40]
                                    [--lm-eval PYTHON] [--threads 2] [--json]

options   in process, in turns: the scores of four options of 8 tokens behind a prompt of 512, and that prompt alone
items     multiple-choice items over HTTP, from so many clients at once, each with a prompt and four options out of
          Python's own documentation: the tokens that were computed per second, against those of prompts in process
peer      the first items with lm-eval's `hf` on the same file, in 32-bit floats, in an environment under build/peers,
          or by the given interpreter. 0 items: not at all
memory    the highest resident set of the server and its replica over the items, against that over answers to prompts as
          long; with 60 items and more, both fill the KV cache
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from environments import environment
from memory import resident

from llmos.client import Answer, AsyncClient, AsyncModel, Likelihood
from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.loading import load_engine
from llmos.engine.messages import Failed, Generate, Rate, SamplingParams
from llmos.engine.sizing.workloads import random_prompts
from model_choice import add_model, files_of
from served import KEY, Served, served

MODEL = "benchmark"
PROMPT_TOKENS, OPTION_TOKENS, NUM_OPTIONS = 512, 8, 4
CONTEXT_WORDS, OPTION_WORDS = 120, 8
PROMPTS_AT_ONCE = 8
WARM_UP_ITEMS = 8
KV_BYTES = 64 * 2**20
PEER_PACKAGES = ("lm_eval", "torch==2.13.0", "transformers", "accelerate", "gguf")

Item = tuple[str, list[str]]
"""The context, and its options."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    prompt_seconds: list[float]
    """For each round."""
    options_seconds: list[float]
    prompt_tokens_per_second: float
    num_items: int
    items_seconds: float
    computed_tokens: int
    memory_bytes: int
    """Above that of answers; below 0 where those take more."""
    num_peer_items: int = 0
    peer_seconds: float = 0.0
    peer_agrees: float = 0.0
    """The share of items with the same best option."""

    def rows(self) -> Iterator[tuple[str, float, str]]:
        """Yield each figure with its goal."""
        yield (
            "four options ÷ one prompt",
            statistics.median(self.options_seconds) / statistics.median(self.prompt_seconds),
            "≤ 1.15",
        )
        rate = self.computed_tokens / self.items_seconds
        yield "tokens/s of items ÷ of prompts", rate / self.prompt_tokens_per_second, "≥ 0.85"
        if self.num_peer_items:
            per_item = self.items_seconds / self.num_items
            yield "times as fast as lm-eval's hf", self.peer_seconds / self.num_peer_items / per_item, "≥ 5"
        yield "memory above answers, MB", self.memory_bytes / 1e6, "≤ 30"


# --- in process


def seconds_of(engine: Engine, *requests: Generate | Rate) -> float:
    began = time.perf_counter()
    for request in requests:
        engine.submit(request)
    while engine.has_work:
        for event in engine.step():
            if isinstance(event, Failed):
                raise event.error()
    return time.perf_counter() - began


def prompt(id: str, tokens: list[int]) -> Generate:
    return Generate(id=id, tokens=tokens, sampling=SamplingParams(temperature=0.0, max_tokens=1, ignore_eos=True))


def options(id: str, tokens: list[int], continuations: Sequence[list[int]]) -> Rate:
    return Rate(request=Generate(id=id, tokens=tokens, sampling=SamplingParams()), continuations=[*continuations])


def in_process(files: dict[str, Path], threads: int | None, rounds: int) -> tuple[list[float], list[float], float]:
    """Return the seconds of a prompt and of its options, for each round, and the tokens per second of many prompts.

    No prompt comes twice, so that the prefix cache helps none.
    """
    engine, ready = load_engine(files, EngineConfig(threads=threads))
    prompts = iter(random_prompts(2 * (rounds + 1) + 2 * PROMPTS_AT_ONCE, PROMPT_TOKENS, 700, ready.vocab_size))
    texts = iter(random_prompts((rounds + 1) * NUM_OPTIONS, OPTION_TOKENS, 701, ready.vocab_size))
    alone, scored = [], []
    for number in range(rounds + 1):
        alone.append(seconds_of(engine, prompt(f"prompt-{number}", next(prompts))))
        continuations = [next(texts) for _ in range(NUM_OPTIONS)]
        scored.append(seconds_of(engine, options(f"options-{number}", next(prompts), continuations)))
    seconds = [
        seconds_of(engine, *(prompt(f"many-{turn}-{i}", next(prompts)) for i in range(PROMPTS_AT_ONCE)))
        for turn in range(2)
    ]
    # The first round warms up.
    return alone[1:], scored[1:], PROMPTS_AT_ONCE * PROMPT_TOKENS / min(seconds)


# --- over HTTP


def make_items(num_items: int) -> list[Item]:
    """Return items whose first option is what the documentation really says, with three from elsewhere in it."""
    words = " ".join(text for _, text in sorted(topics.items())).split()
    rng = random.Random(7)

    def option(begin: int) -> str:
        return " " + " ".join(words[begin : begin + OPTION_WORDS])

    def item(begin: int) -> Item:
        end = begin + CONTEXT_WORDS
        others = [option(rng.randrange(len(words) - OPTION_WORDS)) for _ in range(NUM_OPTIONS - 1)]
        # The number keeps apart what two items would share where there are more items than text.
        return f"{begin}: {' '.join(words[begin:end])}", [option(end), *others]

    room = len(words) - CONTEXT_WORDS - OPTION_WORDS
    return [item(i * room // num_items) for i in range(num_items)]


T = TypeVar("T")


def over_http(
    server: Served, ask: Callable[[AsyncModel, Item], Awaitable[T]], items: Sequence[Item], clients: int
) -> list[T]:
    """Ask for each item, `clients` at once."""

    async def ask_all() -> list[T]:
        turns = asyncio.Semaphore(clients)
        async with AsyncClient(server.url, api_key=KEY, timeout_seconds=600) as client:
            model = await client.models.get(MODEL)

            async def ask_in_turn(item: Item) -> T:
                async with turns:
                    return await ask(model, item)

            return await asyncio.gather(*map(ask_in_turn, items))

    return asyncio.run(ask_all())


async def score(model: AsyncModel, item: Item) -> Likelihood:
    return await model.likelihood(*item)


async def answer(model: AsyncModel, item: Item) -> Answer:
    """Let the model read as many tokens as an item has, in a prompt of its own, and answer."""
    context, options = item
    return await model.generate_text("".join([f"Text {context}", *options]), raw=True, max_tokens=2)


def measured(server: Served, work: Callable[[], T]) -> tuple[T, float, int]:
    """Return the result of the work, its seconds, and the highest resident sets of the server and its replicas."""
    own = Path(f"/proc/{server.process.pid}")
    pids = [server.process.pid, *map(int, (own / "task" / own.name / "children").read_text().split())]
    processes = [Path(f"/proc/{pid}") for pid in pids]
    for process in processes:
        (process / "clear_refs").write_text("5")  # resets the peak; see proc(5)
    began = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began
    return result, seconds, sum(resident(process)["VmHWM"] for process in processes)


# --- the peer


def ask_peer(python: Path, model: Path, items: Sequence[Item], threads: int | None) -> tuple[float, list[int]]:
    """Return the seconds that lm-eval took, and the best option of each item."""
    with tempfile.TemporaryDirectory(prefix="llmos-benchmark-") as folder:
        (Path(folder) / "model.gguf").symlink_to(model.resolve())
        task = {"folder": folder, "file": "model.gguf", "threads": threads, "items": items}
        program = Path(__file__).parent / "peers" / "run_lm_eval.py"
        asked = subprocess.run([python, program], input=json.dumps(task), stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(asked.stdout.splitlines()[-1])
    return found["seconds"], found["best"]


def measure(args: argparse.Namespace) -> Figures:
    files = dict(files_of(args.model))
    (model,) = files.values()
    alone, scored, prompt_rate = in_process(files, args.threads, args.rounds)
    items = make_items(args.items)
    # Answers fill the cache before the items do, so that its pages don't count as memory of either.
    settings = {"LLMOS_KV_BYTES": str(KV_BYTES)} | ({"LLMOS_THREADS": str(args.threads)} if args.threads else {})
    with served(model, MODEL, settings=settings) as server:
        over_http(server, score, make_items(WARM_UP_ITEMS + 1)[:WARM_UP_ITEMS], args.clients)
        _, _, for_answers = measured(server, lambda: over_http(server, answer, items, args.clients))
        answers, seconds, for_items = measured(server, lambda: over_http(server, score, items, args.clients))
    figures = Figures(
        prompt_seconds=alone,
        options_seconds=scored,
        prompt_tokens_per_second=prompt_rate,
        num_items=len(items),
        items_seconds=seconds,
        computed_tokens=sum(answer.usage.computed_tokens for answer in answers),
        memory_bytes=for_items - for_answers,
    )
    if not args.peer_items:
        return figures
    python = args.lm_eval or environment("lm_eval", *PEER_PACKAGES)
    asked = items[: args.peer_items]
    peer_seconds, best = ask_peer(python, model, asked, args.threads)
    same = [answer.best_index == each for answer, each in zip(answers, best, strict=False)]
    peer = {"num_peer_items": len(asked), "peer_seconds": peer_seconds, "peer_agrees": sum(same) / len(same)}
    return Figures(**{**asdict(figures), **peer})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model(parser)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--peer-items", type=int, default=40)
    parser.add_argument(
        "--lm-eval", type=Path, metavar="PYTHON", help="an interpreter that has lm_eval and transformers"
    )
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = measure(args)
    if args.json:
        print(json.dumps(asdict(figures) | {name: value for name, value, _ in figures.rows()}, indent=2))
        return
    for name, value, goal in figures.rows():
        print(f"{name:32} {value:8.2f}   {goal}")
    items_rate = figures.computed_tokens / figures.items_seconds
    print(
        f"\nprompts in process {figures.prompt_tokens_per_second:,.0f} tokens/s, items over HTTP {items_rate:,.0f}",
        end="",
    )
    print(f" ({figures.num_items / figures.items_seconds:.1f} items/s)")
    if figures.num_peer_items:
        print(f"lm-eval {figures.num_peer_items / figures.peer_seconds:.2f} items/s; ", end="")
        print(f"the same best option in {figures.peer_agrees:.0%} of {figures.num_peer_items} items")


if __name__ == "__main__":
    main()
