"""Measures memory and speed of versions while they serve, alternating between them so that other load affects all."""

from collections.abc import Sequence
from statistics import median

from llmos.core.schemas.cards import Memory, Rate
from llmos.engine.evaluation.serving import ServedModel
from llmos.engine.sizing.workloads import Timing, Workload, random_prompts
from llmos.models.cards.extent import Extent, WorkMeter, memory_workload, units_of


def measure_memory(served: ServedModel, extent: Extent, context: int, meter: WorkMeter) -> Memory:
    """Return the peak memory of the serving process while it generates `extent.streams` sequences."""
    served.reset_peak()
    workload = memory_workload(extent.streams, context)
    _run(workload, served, seed=0)
    meter.advance(units_of(workload))
    peak = served.peak()
    return Memory(
        resident_bytes=peak,
        weight_bytes=served.facts.weight_bytes,
        kv_bytes=served.facts.kv_bytes,
        streams=extent.streams,
        tokens_per_stream=context,
    )


def measure_rate(workload: Workload, served: Sequence[ServedModel], repeats: int, meter: WorkMeter) -> Rate:
    """Return the speed of the first of `served`, compared with the second one, the parent, if there is one.

    Each round times all of them one after the other, beginning with another one each time.
    """
    meter.begin(f"Timing {workload.name}")
    runs: list[list[float]] = [[] for _ in served]
    for repeat in range(-1, repeats):  # Round -1 is the warm-up.
        order = list(range(len(served)))
        for i in order[::-1] if repeat % 2 else order:
            rate = workload.tokens_per_second(_run(workload, served[i], seed=100 + repeat))
            if repeat >= 0:
                runs[i].append(rate)
            meter.advance(units_of(workload))
    mine, parents = runs[0], runs[1] if len(runs) > 1 else []
    return Rate(
        num_tokens=workload.prompt_length if workload.num_output_tokens == 1 else workload.num_output_tokens,
        tokens_per_second=median(mine),
        runs=tuple(mine),
        parent_tokens_per_second=median(parents) if parents else None,
        parent_runs=tuple(parents),
        ratio=median(a / b for a, b in zip(mine, parents, strict=True)) if parents else None,
    )


def _run(workload: Workload, served: ServedModel, *, seed: int) -> Timing:
    prompts = random_prompts(workload.num_prompts, workload.prompt_length, seed, served.facts.vocab_size)
    return served.run(prompts, workload.num_output_tokens)
