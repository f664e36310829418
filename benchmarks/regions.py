"""Profile the parallel regions of a step: python benchmarks/regions.py [MODEL.gguf] [--threads 2] [--isa avx2] [--json]

Times the regions on the first thread. The rest of the wall time was spent outside of the forward pass: in the
scheduler, the sampler and Python. Of the decode workloads, only the decoding steps count, not the prefills.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from llmos.engine._native import available_isas
from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.loading import load_engine
from llmos.engine.messages import Delta, Generate, SamplingParams
from llmos.engine.sizing.workloads import WORKLOADS, Workload, random_prompts
from model_choice import add_model, files_of

NAMES = ("prefill_512", "decode_1", "decode_8", "decode_32")


@dataclass(frozen=True)
class Profile:
    steps: int
    seconds: float
    """Wall time of all steps."""
    regions: dict[str, float]
    """Seconds of the first thread in each region."""


def profile(engine: Engine, workload: Workload, vocab_size: int, seed: int) -> Profile:
    """Run the workload once. With more than one output token, profile only the steps after the first token."""
    runner = engine.runner
    sampling = SamplingParams(temperature=0.0, max_tokens=workload.num_output_tokens, ignore_eos=True)
    prompts = random_prompts(workload.num_prompts, workload.prompt_length, seed, vocab_size)
    for number, prompt in enumerate(prompts):
        engine.submit(Generate(id=f"profile-{number}", tokens=prompt, sampling=sampling))
    if workload.num_output_tokens > 1:
        answering: set[str] = set()
        while len(answering) < len(prompts):
            answering |= {event.id for event in engine.step() if isinstance(event, Delta)}
    runner.set_profiling(True)
    began, steps = time.perf_counter(), 0
    while engine.has_work:
        engine.step()
        steps += 1
    seconds = time.perf_counter() - began
    regions = runner.profile()
    runner.set_profiling(False)
    return Profile(steps, seconds, regions)


def print_table(profiles: dict[str, Profile]) -> None:
    table = Table("milliseconds a step", *profiles)
    regions = dict.fromkeys(name for each in profiles.values() for name in each.regions)
    for region in regions:
        table.add_row(region, *(f"{p.regions.get(region, 0) * 1000 / p.steps:.3f}" for p in profiles.values()))
    outside = (p.seconds - sum(p.regions.values()) for p in profiles.values())
    table.add_row("outside", *(f"{s * 1000 / p.steps:.3f}" for s, p in zip(outside, profiles.values(), strict=True)))
    table.add_row("all", *(f"{p.seconds * 1000 / p.steps:.3f}" for p in profiles.values()))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    add_model(parser)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--isa", choices=available_isas())
    parser.add_argument("--json", action="store_true", help="a JSON object: workload -> steps, seconds, regions")
    args = parser.parse_args()
    files = files_of(args.model)
    engine, ready = load_engine(files, EngineConfig(threads=args.threads, isa=args.isa, max_draft_tokens=0))
    chosen = [workload for workload in WORKLOADS if workload.name in NAMES]
    for workload in chosen:
        profile(engine, workload, ready.vocab_size, seed=1)  # warms up
    profiles = {workload.name: profile(engine, workload, ready.vocab_size, seed=2) for workload in chosen}
    if args.json:
        sys.stdout.write(json.dumps({name: asdict(each) for name, each in profiles.items()}) + "\n")
    else:
        print_table(profiles)


if __name__ == "__main__":
    main()
