"""Chooses where the layers of a model are cut, so that it runs on several machines. Loads no model.

A step's time on a machine is taken for proportional to the bytes of the weights that it reads, divided by the machine's
cores. Of experts, only those that a token takes are read. The cut minimizes the time of the slowest stage, within the
free memory of each machine: weights, the KV cache of one usual sequence at least, a step's workspace, and the process.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, permutations

from llmos.core.hardware import Hardware
from llmos.engine.config import DEFAULT_TOKENS_PER_SEQUENCE, EngineConfig
from llmos.engine.encoder_spec import ModelSpec
from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.runner.native import NativeRunner
from llmos.engine.runner.packing import slot_of
from llmos.engine.runner.stage import Stage
from llmos.engine.sizing.fit import MemoryPlanner, Need
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import DType

_MOST_ORDERS = 24
"""Orders of machines that are tried: all of those of four. More machines keep the order in which they are given."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A distribution of the layers over machines."""

    machines: tuple[int, ...]
    """Indices of those that have a stage, home first."""
    stages: tuple[Stage, ...]
    shares: tuple[float, ...]
    """The share of the time of a step."""


class Cutter:
    """Chooses the cuts of one model with one configuration."""

    def __init__(self, spec: DecoderSpec, dtypes: Callable[[str], DType], config: EngineConfig) -> None:
        self._spec, self._dtypes, self._config = spec, dtypes, config
        sizes = [0] * spec.num_layers
        read = [0.0] * spec.num_layers
        self._outer_bytes, self._head_read = 0, 0.0
        active = spec.experts_per_token / spec.num_experts if spec.num_experts else 1.0
        for each in NativeRunner.plan(spec, dtypes, config.weights).placements:
            layer, slot, index = slot_of(each.tensor)
            if layer < 0:
                self._outer_bytes += each.num_bytes
                self._head_read += each.num_bytes * (slot == "head" or (slot == "embed" and spec.tied_head))
            else:
                sizes[layer] += each.num_bytes
                read[layer] += each.num_bytes * (active if index >= 0 else 1.0)
        self._bytes = [0, *accumulate(sizes)]
        self._read = [0.0, *accumulate(read)]

    def need(self, stage: Stage, hardware: Hardware) -> Need:
        """Return the least memory that a stage takes: with the KV cache of one usual sequence."""
        planner = MemoryPlanner(self._spec, self._dtypes, self._config, hardware, stage)
        return planner.need(1, self._usual_length, -(-self._usual_length // BLOCK_SIZE))

    def choose(self, machines: Sequence[Hardware], *, least: int = 2) -> Cut | None:
        """Return the cut with the fewest machines, `least` at least, that have room; of several, the fastest.

        None if all machines together have no room, or are more than the layers allow.
        """
        for count in range(least, min(len(machines), self._spec.num_layers) + 1):
            found: list[tuple[float, Cut]] = []
            for number, order in enumerate(permutations(range(len(machines)), count)):
                if number >= _MOST_ORDERS:
                    break
                if (cut := self._cut(order, machines)) is not None:
                    found.append(cut)
            if found:
                return min(found, key=lambda each: each[0])[1]
        return None

    @property
    def _usual_length(self) -> int:
        longest = self._config.context_length or self._spec.max_positions
        return min(longest, self._spec.max_positions, DEFAULT_TOKENS_PER_SEQUENCE)

    def _cut(self, order: Sequence[int], machines: Sequence[Hardware]) -> tuple[float, Cut] | None:
        """Return the fastest cut for machines in this order, with the time of its slowest stage; None without room.

        best[end] after machine i: the slowest of the stages of machines 0 to i, which have the layers before `end`
        """
        num_layers = self._spec.num_layers
        rooms = [self._room(machines[index], is_home=position == 0) for position, index in enumerate(order)]
        per_layer = self._cache_bytes(machines[order[0]]) / num_layers
        best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
        for position, index in enumerate(order):
            left, cores = len(order) - position - 1, max(1, machines[index].num_cores)
            reached: dict[int, tuple[float, tuple[int, ...]]] = {}
            for first, (slowest, ends) in best.items():
                for end in range(first + 1, num_layers - left + 1):
                    size = self._bytes[end] - self._bytes[first] + (end - first) * per_layer
                    if size > rooms[position]:
                        break
                    work = self._read[end] - self._read[first] + (self._head_read if position == 0 else 0.0)
                    candidate = (max(slowest, work / cores), (*ends, end))
                    if end not in reached or candidate < reached[end]:
                        reached[end] = candidate
            best = reached
        if num_layers not in best:
            return None
        slowest, ends = best[num_layers]
        edges = (0, *ends)
        stages = tuple(Stage(first, end - 1) for first, end in zip(edges, ends, strict=False))
        return slowest, Cut(tuple(order), stages, self._shares(stages, [machines[index] for index in order]))

    def _room(self, hardware: Hardware, *, is_home: bool) -> float:
        """Return the bytes that a machine has for layers and their KV cache."""
        planner = MemoryPlanner(self._spec, self._dtypes, self._config, hardware, None if is_home else Stage(1, 1))
        workspace = planner.workspace_bytes(1, self._usual_length)
        outer = self._outer_bytes if is_home else 0
        return hardware.available_bytes - planner.process_bytes - workspace - outer

    def _cache_bytes(self, hardware: Hardware) -> int:
        """Return the bytes of the KV cache and the state of one usual sequence, in all layers."""
        planner = MemoryPlanner(self._spec, self._dtypes, self._config, hardware)
        return -(-self._usual_length // BLOCK_SIZE) * planner.block_bytes + planner.state_bytes

    def _shares(self, stages: Sequence[Stage], machines: Sequence[Hardware]) -> tuple[float, ...]:
        times = [
            (self._read[stage.end] - self._read[stage.first] + self._head_read * stage.is_home) / max(1, each.num_cores)
            for stage, each in zip(stages, machines, strict=True)
        ]
        return tuple(time / (sum(times) or 1.0) for time in times)


def is_splittable(spec: ModelSpec) -> bool:
    """Return whether a model generates text: others run on one machine."""
    return isinstance(spec, DecoderSpec) and spec.has_head
