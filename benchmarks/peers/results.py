"""The results of a comparison, kept in build/peers/results.json: measured once, rendered any number of times."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec


@dataclass(frozen=True)
class Facts:
    """Facts that an engine reports about itself."""

    version: str
    isa: str = ""
    weight_bytes: int = 0


@dataclass(frozen=True)
class Rate:
    """One workload in one round."""

    engine: str
    workload: str
    round: int
    tokens_per_second: float


@dataclass(frozen=True)
class Shape:
    """The sizes of a model that the limits depend on: parameters in matrices."""

    layers: int
    head: int
    is_tied: bool
    """True if the head is the embedding."""


@dataclass(frozen=True)
class Speeds:
    """The results of one model on every engine."""

    shape: Shape
    rates: list[Rate] = field(default_factory=list)
    facts: dict[str, Facts] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Peers that did not run, and their errors."""


@dataclass(frozen=True)
class Limits:
    """The results of benchmarks/probe.cpp with the engines' number of threads."""

    read_bytes_per_second: float
    int8_macs_per_second: float
    f32_fmas_per_second: float
    instructions: str
    """The instruction sets of the two compute rates."""


@dataclass(frozen=True)
class Memory:
    """Resident bytes of a process."""

    peak: int
    """Peak while it served."""
    anonymous: int
    """Anonymous memory at the end; the rest is files, which are shared through the page cache."""
    peak_of_loading: int


@dataclass(frozen=True)
class OverHTTP:
    """Output tokens per second, one figure for each round."""

    clients: int
    in_process: list[float]
    streamed: list[float]
    plain: list[float]


@dataclass(frozen=True)
class SharedPrefix:
    """Seconds to the first token, one figure for each request."""

    prefix_tokens: int
    tail_tokens: int
    without_cache: list[float]
    with_cache: list[float]


@dataclass(frozen=True)
class Speculation:
    """The gain of prompt-lookup speculation on one workload."""

    workload: str
    ratios: list[float]
    """For each round, the ratio to the speed without speculation."""
    num_draft_tokens: int
    num_accepted_tokens: int
    tokens_per_step: float


@dataclass(frozen=True)
class Regions:
    """The profile of a workload's steps."""

    steps: int
    seconds: float
    """Wall time of all steps."""
    regions: dict[str, float]
    """Seconds of the first thread in each region of the forward pass."""


@dataclass(frozen=True)
class Section:
    """One part of the page, with the time and the commit of its measurement."""

    date: str
    commit: str


@dataclass
class Results:
    threads: int = 0
    machine: str = ""
    sections: dict[str, Section] = field(default_factory=dict)
    limits: Limits | None = None
    speeds: dict[str, Speeds] = field(default_factory=dict)
    """By model: small, large."""
    first_token: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, Memory] = field(default_factory=dict)
    large_memory: dict[str, Memory] = field(default_factory=dict)
    over_http: OverHTTP | None = None
    shared_prefix: SharedPrefix | None = None
    speculation: list[Speculation] = field(default_factory=list)
    on_paths: Speeds | None = None
    """The results of the small model on lesser instruction sets."""
    regions: dict[str, Regions] = field(default_factory=dict)
    contention: dict[int, list[Rate]] = field(default_factory=dict)
    """The rates beside so many busy processes."""


def load_results(path: Path) -> Results:
    """Return the saved results; empty ones if there is no file."""
    if not path.exists():
        return Results()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except msgspec.DecodeError as error:
        raise SystemExit(f"{path} was written by another version of this script ({error}). Delete it.") from None


def save_results(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
