"""What a comparison comes to, as it lies in build/peers/results.json: measured once, shown as often as one likes."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec


@dataclass(frozen=True)
class Facts:
    """What an engine says of itself."""

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
    """The size of a model, as far as the limits ask: parameters in matrices."""

    layers: int
    head: int
    is_tied: bool
    """The head is the embedding."""


@dataclass(frozen=True)
class Speeds:
    """One model on every engine."""

    shape: Shape
    rates: list[Rate] = field(default_factory=list)
    facts: dict[str, Facts] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Peers that did not run, and what they said."""


@dataclass(frozen=True)
class Limits:
    """What benchmarks/probe.cpp finds with the engines' number of threads."""

    read_bytes_per_second: float
    int8_macs_per_second: float
    f32_fmas_per_second: float
    instructions: str
    """Those that the two rates of computing were found with."""


@dataclass(frozen=True)
class Memory:
    """Resident bytes of a process."""

    peak: int
    """While it served."""
    anonymous: int
    """Its own at the end; the rest is files, which the page cache holds for all."""
    peak_of_loading: int


@dataclass(frozen=True)
class OverHTTP:
    """Output tokens a second, a number for each round."""

    clients: int
    in_process: list[float]
    streamed: list[float]
    plain: list[float]


@dataclass(frozen=True)
class SharedPrefix:
    """Seconds to the first token, a number for each request."""

    prefix_tokens: int
    tail_tokens: int
    without_cache: list[float]
    with_cache: list[float]


@dataclass(frozen=True)
class Speculation:
    """What prompt-lookup speculation gives on one workload."""

    workload: str
    ratios: list[float]
    """Of each round: how many times as fast as without."""
    num_draft_tokens: int
    num_accepted_tokens: int
    tokens_per_step: float


@dataclass(frozen=True)
class Regions:
    """Where the time of a workload's steps goes."""

    steps: int
    seconds: float
    """Of all steps, on the clock."""
    regions: dict[str, float]
    """Seconds of the first thread in each region of the forward pass."""


@dataclass(frozen=True)
class Section:
    """One part of the page, with when and from which commit it was measured."""

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
    over_http: OverHTTP | None = None
    shared_prefix: SharedPrefix | None = None
    speculation: list[Speculation] = field(default_factory=list)
    regions: dict[str, Regions] = field(default_factory=dict)


def load_results(path: Path) -> Results:
    """Return what is there already; nothing where there is no file."""
    if not path.exists():
        return Results()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except msgspec.DecodeError as error:
        raise SystemExit(f"{path} was written by another version of this script ({error}). Delete it.") from None


def save_results(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
