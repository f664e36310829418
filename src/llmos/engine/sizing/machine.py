"""The measured costs of a decoder's step on this machine, and the file that keeps them. Measures nothing itself.

A layer's time in a step of R rows (tokens) is taken for a sum:

    values of its matrices * seconds_per_value      the roofline: bytes to read, or with many rows integer products
  + seconds_per_layer                               the barriers between a layer's regions
  + columns * seconds_per_layer_column              the start of a product, once for each of its short rows
  + R * seconds_per_row                             what a row costs however wide it is
  + R * columns * seconds_per_column                norms, rotations, rounding to bytes, activations

with columns = hidden size + intermediate size, and attention, which is measured with a long context.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmos.core.hardware import inspect_hardware
from llmos.engine.runner.packing import Packing
from llmos.engine.spec import DecoderSpec

VERSION = 3
"""Version of what is measured, and how. A file of another version is measured again."""

_MIN_OTHER_CORES = 0.25
"""The least load that counts: the system itself does something now and then."""

ROWS = (1, 2, 4, 8, 16, 32, 64, 256)
"""The measured numbers of rows. Up to 64, each row is a sequence of its own; the last is a chunk of one prompt."""

_MEASURED_AS: Mapping[Packing, tuple[Packing, float]] = {
    "bytes": ("bytes", 1),
    "nibbles": ("affine_nibbles", 1),
    "affine_nibbles": ("affine_nibbles", 1),
    "q4_k": ("affine_nibbles", 1.05),
    "q5_k": ("affine_nibbles", 1.15),
    "q6_k": ("affine_nibbles", 1.3),
    "q5_0": ("affine_nibbles", 1.05),
    "q5_1": ("affine_nibbles", 1.1),
    "iq4_nl": ("affine_nibbles", 1.05),
    "iq4_xs": ("affine_nibbles", 1.05),
    "mxfp4": ("affine_nibbles", 1),
    "floats": ("bytes", 3.8),  # 32 bits instead of 8.5; used only for comparisons
}
"""Packing -> the measured packing that it is estimated by, and a factor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Seconds per matrix value in one packing, for each number of rows in ROWS."""

    seconds_per_value: tuple[float, ...]
    seconds_per_value_small: tuple[float, ...]
    """The same in a model of `small_bytes`, part of which stays in the last-level cache."""
    large_bytes: int
    small_bytes: int

    def seconds(self, num_values: int, rows: float, num_bytes: int) -> float:
        """Return the time of `num_values` matrix values, in a model whose matrices take `num_bytes`."""
        large, small = (_interpolate(rows, each) for each in (self.seconds_per_value, self.seconds_per_value_small))
        span = math.log(self.large_bytes / self.small_bytes)
        share = min(1.0, max(0.0, math.log(max(1, num_bytes) / self.small_bytes) / span))
        return num_values * (small + share * (large - small))


@dataclass(frozen=True, kw_only=True, slots=True)
class PerRow:
    """Seconds of one row in one layer, beside its matrices and its attention."""

    seconds_per_row: float
    seconds_per_column: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """Seconds for each position that a row attends to, in one layer."""

    per_kv_value: float
    """While decoding: for each value of a position's key, of all key-value heads."""
    per_value: float
    """While decoding: for each value of a query, of all heads."""
    per_value_alone: float
    """Instead of both, for so few streams that each head is a unit of work (csrc/decoder/plan.cpp)."""
    prefilling: float
    """In a chunk of a prompt, whose rows share their reads: for each value of a query."""

    def decoding(self, spec: DecoderSpec, streams: int, threads: int) -> float:
        """Return the seconds of one position in one layer, for one of so many streams."""
        if streams * spec.num_kv_heads < 4 * threads:
            return self.per_value_alone * spec.attention_size * imbalance(streams * spec.num_heads, threads)
        even = self.per_kv_value * spec.kv_size + self.per_value * spec.attention_size
        return even * imbalance(streams * spec.num_kv_heads, threads)


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineProfile:
    """The measured costs, and the machine they were measured on."""

    version: int
    cpu: str
    isa: str
    threads: int
    measured_at: float
    """Seconds since 1970."""
    rates: Mapping[str, Rates]
    """The packing of the weights -> the rates."""
    seconds_per_layer: float
    seconds_per_layer_column: float
    decoding: PerRow
    prefilling: PerRow
    attention: Mapping[str, Attention]
    """kv_dtype -> the attention's rates."""
    other_cores: float = 0.0
    """Cores that other processes used on average while it was measured."""

    @property
    def was_busy(self) -> bool:
        """Other processes took cores that the measurement needed, so that it shows less than the machine can do."""
        return self.other_cores >= _MIN_OTHER_CORES and self.threads + self.other_cores > (os.cpu_count() or 1)

    @property
    def bytes_per_second(self) -> float:
        """Weights read per second while one row is computed: the memory bandwidth that the kernels reach."""
        return 1.0625 / self.rates["bytes"].seconds_per_value[0]

    @property
    def operations_per_second(self) -> float:
        """Integer multiplications and additions per second with many rows."""
        return 2 * ROWS[-2] / self.rates["bytes"].seconds_per_value[-2]

    def matrix_seconds(self, packing: Packing, num_values: int, rows: float, model_bytes: int) -> float:
        """Return the time of `num_values` matrix values, in a model whose matrices take `model_bytes`."""
        measured_as, factor = _MEASURED_AS[packing]
        return factor * self.rates[measured_as].seconds(num_values, rows, model_bytes)

    def layer_seconds(self, columns: int, rows: float, *, prefill: bool) -> float:
        """Return the time of a layer of hidden + intermediate `columns`, beside its matrices and its attention."""
        each = self.prefilling if prefill else self.decoding
        once = self.seconds_per_layer + columns * self.seconds_per_layer_column
        return once + rows * (each.seconds_per_row + columns * each.seconds_per_column)


def load_profile(path: Path, *, threads: int, isa: str | None = None) -> MachineProfile | None:
    """Return the profile in the file; None if there is none, it is damaged, or it is of another machine, another number
    of threads or another instruction set."""
    try:
        fields = json.loads(path.read_text())
        rates = {name: Rates(**_with_tuples(each)) for name, each in fields.pop("rates").items()}
        attention = {name: Attention(**each) for name, each in fields.pop("attention").items()}
        decoding, prefilling = PerRow(**fields.pop("decoding")), PerRow(**fields.pop("prefilling"))
        profile = MachineProfile(rates=rates, attention=attention, decoding=decoding, prefilling=prefilling, **fields)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
    hardware = inspect_hardware()
    this_machine = (VERSION, hardware.cpu, isa or hardware.isas[0], threads)
    return profile if (profile.version, profile.cpu, profile.isa, profile.threads) == this_machine else None


def save_profile(path: Path, profile: MachineProfile) -> None:
    """Write the profile. An error is ignored: without the file, the machine is measured again."""
    temporary = path.with_suffix(f".{os.getpid()}.part")
    with contextlib.suppress(OSError):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(profile), indent=1))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def imbalance(num_units: int, threads: int) -> float:
    """Return by which factor equal units of work take longer because they don't divide evenly among the threads."""
    return math.ceil(num_units / threads) * threads / num_units


def _interpolate(rows: float, costs: Iterable[float]) -> float:
    """Return the cost with so many rows, given the costs for ROWS: linear in between, and proportional beyond them."""
    values = list(costs)
    if rows >= ROWS[-1]:
        return values[-1] * rows / ROWS[-1]
    return float(np.interp(rows, ROWS, values))


def _with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
