"""Inputs that once broke a target, and the valid ones that the fuzzer begins with, raise nothing but clear errors."""

from pathlib import Path

import pytest

from fuzz.seeds import seeds_of
from fuzz.targets import TARGETS

REGRESSIONS = Path(__file__).parent / "regressions"
FOUND = sorted(path for path in REGRESSIONS.glob("*/*") if path.is_file() and path.parent.name in TARGETS)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_broke_a_target_does_not_any_more(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_every_seed_is_read(target: str) -> None:
    for seed in seeds_of(target):
        TARGETS[target](seed)
