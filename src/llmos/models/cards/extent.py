"""The extent of a measurement: how much text, how many runs, and how much work that is."""

from dataclasses import dataclass

from llmos.core.progress import Progress
from llmos.engine.sizing.workloads import Workload

LOAD_UNITS = 1500
"""The work of loading a model. One unit is about the time that one prompt token takes."""
DECODE_UNITS = 16
"""The work of generating one token."""
LAYER_UNITS = 10
"""The work of one token that goes through the layers in numpy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """The amount of text that is measured. All cards use the same extent, so that they can be compared."""

    num_windows: int = 8
    """Windows of text that are predicted."""
    window: int = 1024
    """Tokens of a window; fewer where the model's context is shorter."""
    layer_texts: int = 2
    """Windows whose beginnings go through the layers."""
    layer_tokens: int = 128
    """Tokens of each beginning."""
    repeats: int = 5
    """Runs of each timing, after a warm-up."""
    streams: int = 8
    """Concurrent sequences while memory is measured."""
    tokens_per_stream: int = 1024

    def context(self, max_positions: int) -> int:
        """Return the context length, in tokens, for a model with this maximum."""
        return min(self.tokens_per_stream, max_positions)

    def layer_units(self, max_positions: int) -> int:
        """Return the work of all layers of one model."""
        return self.layer_texts * min(self.layer_tokens, max_positions) * LAYER_UNITS

    def total_units(self, max_positions: int, *, has_reference: bool) -> int:
        """Return the work of the whole measurement."""
        context = self.context(max_positions)
        predicted = self.num_windows * (min(self.window, max_positions) - 1)
        layers = self.layer_units(max_positions) if has_reference else 0
        timed = (1 + self.repeats) * sum(units_of(each) for each in timed_workloads(context))
        weighed = units_of(memory_workload(self.streams, context))
        return (2 if has_reference else 1) * (predicted + layers + 2 * LOAD_UNITS + weighed + timed)


FULL = Extent()


class WorkMeter:
    """Reports the progress of a measurement in units of work."""

    def __init__(self, progress: Progress, num_total: int) -> None:
        self._progress, self._num_total, self._num_done, self._label = progress, num_total, 0, ""

    def begin(self, label: str) -> None:
        self._label = label
        self.advance(0)

    def advance(self, units: int) -> None:
        self._num_done = min(self._num_done + units, self._num_total)
        self._progress(self._label, self._num_done, self._num_total)


def timed_workloads(context: int) -> tuple[Workload, Workload]:
    """Return the workloads that time prefill and decode, shortened to fit the context."""
    length = min(512, context - 1)
    return Workload("prefill", 1, length, 1), Workload("decode", 1, min(32, context // 4), min(128, context // 2))


def memory_workload(streams: int, context: int) -> Workload:
    """Return the workload during which memory is measured."""
    return Workload("streams", streams, min(32, context // 4), min(64, context // 2))


def units_of(workload: Workload) -> int:
    """Return the work of a workload."""
    return workload.num_prompts * workload.prompt_length + workload.num_output_tokens * DECODE_UNITS
