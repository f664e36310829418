"""Check the predictions of `llmos fit` for five settings against the memory and the speed of a real replica.

    python benchmarks/fit.py [--model smollm2] [--repeats 5] [--only one eight] [--json]

    one     1 stream, a prompt of 512 and 128 tokens of output
    long    1 stream, 4096 + 128
    eight   8 streams, 512 + 128 each
    many    32 streams, 256 + 128 each, keys and values in 16 bits
    int8    4 streams, 1024 + 128 each, all weights in 8 bits

    memory    resident bytes of the replica's process when its KV cache is full
    prefill   tokens/s of one prompt alone, from the request to the first token
    decode    tokens/s of all streams together, while all of them decode

The machine is measured before each setting, as `llmos fit --measure` does, since on shared hardware its speed changes
from minute to minute. The replica is a process of its own, as in `llmos serve`, without speculation and prefix cache.
The median of the repeats counts. The exit status is 1 if a prediction is more than 15 % off. Run it on a quiet machine.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from llmos.core.config import load_settings
from llmos.deployments.placing.local import LocalPlacer
from llmos.deployments.placing.placer import PlacementRequest, ReplicaSettings
from llmos.deployments.replicas.replica import Replica
from llmos.engine.config import EngineConfig
from llmos.engine.messages import Delta, Generate, SamplingParams
from llmos.engine.sizing.fit import MemoryPlanner
from llmos.engine.sizing.machine import MachineProfile
from llmos.engine.sizing.measure import measure_machine
from llmos.engine.sizing.speed import SpeedModel
from llmos.engine.sizing.workloads import Prompt, random_prompts
from llmos.engine.spec import DecoderSpec
from llmos.models import open_registry

TOLERANCE = 0.15


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    streams: int
    prompt: int
    output: int
    options: Mapping[str, Any]

    @property
    def context(self) -> int:
        return self.prompt + self.output


SETTINGS = (
    Setting("one", 1, 512, 128, {}),
    Setting("long", 1, 4096, 128, {}),
    Setting("eight", 8, 512, 128, {}),
    Setting("many", 32, 256, 128, {"kv_dtype": "f16"}),
    Setting("int8", 4, 1024, 128, {"weights": "int8"}),
)


@dataclass(frozen=True, slots=True)
class Row:
    setting: str
    what: str
    predicted: float
    measured: float

    @property
    def is_close(self) -> bool:
        return abs(self.predicted / self.measured - 1) <= TOLERANCE


@dataclass(frozen=True, slots=True)
class Taken:
    memory: float
    prefill: float
    decode: float


def compare(
    setting: Setting, files: Mapping[str, Path], machine: MachineProfile, repeats: int, folder: str
) -> Iterator[Row]:
    options = {"max_draft_tokens": 0, "prefix_cache": False, "packed_folder": folder} | dict(setting.options)
    asked = MemoryPlanner.from_files(files, EngineConfig(**options)).at(setting.context, setting.streams)
    config = EngineConfig(**options, kv_bytes=asked.need.kv, context_length=setting.context)
    planner = MemoryPlanner.from_files(files, config)
    assert isinstance(planner.spec, DecoderSpec), "an encoder has no speed to predict"
    speed_model = SpeedModel(planner.spec, planner.plan, config, machine)
    speed = speed_model.speed(prompt=setting.prompt, output=setting.output, streams=setting.streams)
    taken = asyncio.run(serve(setting, files, config, repeats, planner.spec.vocab_size))
    yield Row(setting.name, "memory", asked.need.total, taken.memory)
    yield Row(setting.name, "prefill", speed.prefill_tokens_per_second, taken.prefill)
    yield Row(setting.name, "decode", speed.decode_tokens_per_second, taken.decode)


async def serve(
    setting: Setting, files: Mapping[str, Path], config: EngineConfig, repeats: int, vocab_size: int
) -> Taken:
    # A first replica packs the weights, which takes memory that a replica that maps them doesn't need.
    request = PlacementRequest(files=files, settings=ReplicaSettings(config=config))
    await (await Replica.start(LocalPlacer(), request)).drain()
    replica = await Replica.start(LocalPlacer(), request)
    try:
        prefills, decodes = [], []
        await answer(replica, random_prompts(1, 32, 0, vocab_size), 8)
        for repeat in range(repeats):
            prompts = random_prompts(setting.streams, setting.prompt, 100 + repeat, vocab_size)
            began = time.perf_counter()
            ((first, *_),) = await answer(replica, prompts[:1], 1)
            prefills.append(setting.prompt / (first - began))
            decodes.append(rate(await answer(replica, prompts, setting.output)))
        return Taken(resident_bytes(replica.pid), statistics.median(prefills), statistics.median(decodes))
    finally:
        await replica.kill()


async def answer(replica: Replica, prompts: Sequence[Prompt], num_output_tokens: int) -> list[list[float]]:
    """Return the arrival times of each prompt's tokens."""
    sampling = SamplingParams(temperature=0, max_tokens=num_output_tokens, ignore_eos=True)

    async def one(number: int, prompt: Prompt) -> list[float]:
        times: list[float] = []
        async for event in replica.generate(Generate(id=str(number), tokens=prompt, sampling=sampling)):
            if isinstance(event, Delta):
                times += [time.perf_counter()] * (event.num_output_tokens - len(times))
        return times

    return await asyncio.gather(*(one(*each) for each in enumerate(prompts)))


def rate(times: list[list[float]]) -> float:
    """Return tokens per second from the first token of the last stream to the last token of the first one to end."""
    begin, end = max(each[0] for each in times), min(each[-1] for each in times)
    return sum(begin < at <= end for each in times for at in each) / (end - begin)


def resident_bytes(pid: int) -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description="Check the predictions of `llmos fit` against a real replica.")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[setting.name for setting in SETTINGS])
    parser.add_argument("--json", action="store_true", help="JSON lines, one for each prediction, as they are done")
    args = parser.parse_args()

    registry = open_registry(load_settings())
    version = registry.resolve(args.model)
    threads = MemoryPlanner.from_files(registry.files(version)).threads
    table = Table(title=f"{version.ref}, {threads} threads: predicted, measured")
    for column in ("setting", "", "predicted", "measured", "off by"):
        table.add_column(column, justify="left" if column in ("setting", "") else "right")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for setting in SETTINGS:
            if args.only and setting.name not in args.only:
                continue
            machine = measure_machine(threads=threads)
            for row in compare(setting, registry.files(version), machine, args.repeats, folder):
                rows.append(row)
                if args.json:
                    print(msgspec.json.encode(row).decode(), flush=True)
                table.add_row(row.setting, row.what, *map(shown, (row.predicted, row.measured)), off(row))
    if not args.json:
        Console().print(table)
    return 0 if all(row.is_close for row in rows) else 1


def shown(number: float) -> str:
    return f"{number / 1e6:,.0f} MB" if number >= 1e7 else f"{number:,.0f}"


def off(row: Row) -> str:
    return f"{row.predicted / row.measured - 1:+.0%}{'' if row.is_close else '  (!)'}"


if __name__ == "__main__":
    sys.exit(main())
