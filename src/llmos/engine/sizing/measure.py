"""Measures this machine: times the probe models, and solves for the costs of a MachineProfile by least squares."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmos.core.hardware import inspect_hardware
from llmos.core.progress import Progress, no_progress
from llmos.engine.runner.native import KVDType, NativeRunner
from llmos.engine.runner.packing import Packing
from llmos.engine.sizing.machine import ROWS, VERSION, Attention, MachineProfile, PerRow, Rates, imbalance
from llmos.engine.sizing.other_load import OtherLoad
from llmos.engine.sizing.probe import (
    DTYPE_OF,
    NUM_STREAMS,
    PROMPT_CONTEXT,
    STREAM_CONTEXT,
    ProbeModels,
    make_runner,
    time_attention,
    time_steps,
)
from llmos.engine.spec import DecoderSpec

Times = tuple[float, ...]
"""Seconds of a step for each number of rows in ROWS."""

_KV_DTYPES: tuple[KVDType, ...] = ("int8", "f16")
_NUM_STAGES = 8  # six decoders by their steps, two dtypes of keys and values


def measure_machine(
    *,
    threads: int,
    isa: str | None = None,
    progress: Progress = no_progress,
    models: ProbeModels | None = None,
) -> MachineProfile:
    """Time the probe models, which takes a few seconds. What others compute meanwhile is in its `other_cores`.

    `isa`: the instruction set of the kernels; None for the best one that the CPU has.
    """
    models = models or ProbeModels()
    other_load = OtherLoad()
    num_done = 0

    def advance() -> None:
        nonlocal num_done
        num_done += 1
        progress("measuring this machine", num_done, _NUM_STAGES)

    times, used_isa = _time_models(models, threads, isa, advance)
    attention: dict[str, Attention] = {}
    for kv_dtype in _KV_DTYPES:
        attention[kv_dtype] = _measure_attention(models, threads, isa, kv_dtype)
        advance()
    attention["f32"] = attention["f16"]  # used only for comparisons
    large = {spec: times["bytes", spec] for spec in (models.narrow, models.middle, models.wide)}
    costs = _solve_layer_costs(large, attention["int8"].prefilling)

    def seconds_per_value(packing: Packing, spec: DecoderSpec) -> Times:
        return _seconds_per_value(spec, times[packing, spec], costs)

    return MachineProfile(
        version=VERSION,
        cpu=inspect_hardware().cpu,
        isa=used_isa,
        threads=threads,
        measured_at=time.time(),
        rates={
            packing: Rates(
                seconds_per_value=seconds_per_value(packing, models.wide),
                seconds_per_value_small=seconds_per_value(packing, models.small),
                large_bytes=_packed_bytes(models.wide, packing),
                small_bytes=_packed_bytes(models.small, packing),
            )
            for packing in DTYPE_OF
        },
        seconds_per_layer=costs.seconds_per_layer,
        seconds_per_layer_column=costs.seconds_per_layer_column,
        decoding=costs.decoding,
        prefilling=costs.prefilling,
        attention=attention,
        other_cores=other_load.cores(),
    )


def _time_models(
    models: ProbeModels, threads: int, isa: str | None, advance: Callable[[], None]
) -> tuple[dict[tuple[Packing, DecoderSpec], Times], str]:
    """Return the steps' times of every model in its packings, and the instruction set that was used."""
    times: dict[tuple[Packing, DecoderSpec], Times] = {}
    used_isa = ""
    for packing in DTYPE_OF:
        for spec in models.with_packing(packing):
            runner = make_runner(spec, packing, threads=threads, isa=isa)
            times[packing, spec] = time_steps(runner, models.seconds_each)
            used_isa = runner.isa
            del runner  # before the next one is allocated
            advance()
    return times, used_isa


def _measure_attention(models: ProbeModels, threads: int, isa: str | None, kv_dtype: KVDType) -> Attention:
    costs, alone, prefilling = [], 0.0, 0.0
    for spec in models.attending:
        runner = make_runner(spec, "bytes", threads=threads, isa=isa, kv_dtype=kv_dtype)
        together = time_attention(runner, NUM_STREAMS, STREAM_CONTEXT, models.seconds_each)
        costs.append(max(1e-12, together / imbalance(NUM_STREAMS * spec.num_kv_heads, threads)))
        one = time_attention(runner, 1, NUM_STREAMS * STREAM_CONTEXT, models.seconds_each)
        alone = one / spec.attention_size / imbalance(spec.num_heads, threads)
        prefilling = time_attention(runner, ROWS[-1], PROMPT_CONTEXT, models.seconds_each) / spec.attention_size
        del runner  # before the next one is allocated
    amounts = [np.array([spec.kv_size, spec.attention_size], float) for spec in models.attending]
    per_kv_value, per_value = _least_squares(amounts, costs)
    return Attention(per_kv_value=per_kv_value, per_value=per_value, per_value_alone=alone, prefilling=prefilling)


@dataclass(frozen=True, kw_only=True, slots=True)
class _LayerCosts:
    """The parts of a layer's time beside its matrices; see machine.py."""

    seconds_per_layer: float
    seconds_per_layer_column: float
    decoding: PerRow
    prefilling: PerRow
    seconds_per_attended: float
    """For each query value and position, within a chunk of a prompt."""

    def seconds(self, spec: DecoderSpec, rows: int) -> float:
        """Return the time of one layer beside its matrices, in a step without context."""
        is_prompt = rows == ROWS[-1]
        each = self.prefilling if is_prompt else self.decoding
        seconds = (
            self.seconds_per_layer
            + self.seconds_per_layer_column * _columns(spec)
            + rows * (each.seconds_per_row + _columns(spec) * each.seconds_per_column)
        )
        return seconds + _attended_values(spec) * self.seconds_per_attended if is_prompt else seconds


def _solve_layer_costs(times: Mapping[DecoderSpec, Times], seconds_per_attended: float) -> _LayerCosts:
    """Return the costs that explain the times of three decoders of different widths best."""
    last = len(ROWS) - 1
    amounts, seconds = [], []
    for spec, each in times.items():
        for i, n in enumerate(ROWS[:last]):
            values = np.zeros(last)
            values[i] = _num_values(spec)
            columns = _columns(spec)
            amounts.append(np.concatenate([values, spec.num_layers * np.array([1, columns, n, n * columns], float)]))
            seconds.append(each[i])
    *_, per_layer, per_layer_column, per_row, per_column = _least_squares(amounts, seconds)
    n = ROWS[last]
    prompt_amounts = [
        np.array([_num_values(s), s.num_layers * n, s.num_layers * n * _columns(s)], float) for s in times
    ]
    prompt_seconds = [
        max(
            each[last] / 2,
            each[last]
            - s.num_layers * (per_layer + _columns(s) * per_layer_column + _attended_values(s) * seconds_per_attended),
        )
        for s, each in times.items()
    ]
    _, prompt_row, prompt_column = _least_squares(prompt_amounts, prompt_seconds)
    return _LayerCosts(
        seconds_per_layer=per_layer,
        seconds_per_layer_column=per_layer_column,
        decoding=PerRow(seconds_per_row=per_row, seconds_per_column=per_column),
        prefilling=PerRow(seconds_per_row=prompt_row, seconds_per_column=prompt_column),
        seconds_per_attended=seconds_per_attended,
    )


def _seconds_per_value(spec: DecoderSpec, times: Times, costs: _LayerCosts) -> Times:
    """Return the seconds per matrix value: what is left of the steps' times without the other parts."""
    return tuple(
        # At least half of the time is the matrices', even if the other parts were overestimated.
        max(seconds / 2, seconds - spec.num_layers * costs.seconds(spec, rows)) / _num_values(spec)
        for rows, seconds in zip(ROWS, times, strict=True)
    )


def _least_squares(amounts: Sequence[npt.NDArray[np.float64]], seconds: Sequence[float]) -> list[float]:
    """Return the cost of one unit of each amount, none below zero, with the least squared relative error."""
    matrix = np.array(amounts) / np.array(seconds)[:, None]
    kept = list(range(matrix.shape[1]))
    while True:
        scale = np.abs(matrix[:, kept]).max(axis=0)
        found = np.linalg.lstsq(matrix[:, kept] / scale, np.ones(len(matrix)), rcond=None)[0] / scale
        if (found >= 0).all():
            break
        kept.remove(kept[int(np.argmin(found * scale))])
    costs = [0.0] * matrix.shape[1]
    for i, cost in zip(kept, found, strict=True):
        costs[i] = float(cost)
    return costs


def _columns(spec: DecoderSpec) -> int:
    return spec.hidden_size + spec.intermediate_size


def _num_values(spec: DecoderSpec) -> int:
    """Return the values of all layers' matrices."""
    shapes = spec.tensor_shapes()
    return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith("layers.") and len(shape) > 1)


def _attended_values(spec: DecoderSpec) -> int:
    """Return the query values times positions that the rows of a chunk attend to within the chunk, in one layer."""
    return spec.attention_size * ROWS[-1] * ROWS[-1] // 2


def _packed_bytes(spec: DecoderSpec, packing: Packing) -> int:
    return NativeRunner.plan(spec, lambda _: DTYPE_OF[packing]).num_bytes
