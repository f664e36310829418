"""Mutations that keep JSON JSON, and lengths right: random bytes hardly ever get past either."""

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from fuzz.targets import join_folder, split_folder

NASTY: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, "", "x", "\0", "\ud800", "é" * 300,
    [], [0], [[]], [-1, -1], [2**62, 4], [None], {}, {"": {}}, {"type": "x"},
]  # fmt: skip

Mutate = Callable[[bytes, random.Random], bytes | None]
"""Returns a changed input; None for one that isn't what it expects."""


def mutate_json(data: bytes, rng: random.Random) -> bytes | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    for _ in range(rng.randint(1, 3)):
        value = _changed(value, rng)
    try:
        return json.dumps(value).encode()
    except (ValueError, RecursionError):
        return None


def mutate_folder(data: bytes, rng: random.Random) -> bytes | None:
    config, weights = split_folder(data)
    if rng.random() < 0.6:
        changed = mutate_json(config, rng)
        return None if changed is None or len(changed) > 0xFFFF else join_folder(changed, weights)
    end = 8 + int.from_bytes(weights[:8], "little")
    header = mutate_json(weights[8:end], rng)
    return None if header is None else join_folder(config, len(header).to_bytes(8, "little") + header + weights[end:])


MUTATIONS: Mapping[str, Mutate] = {"safetensors": mutate_folder, "packed": mutate_json}
"""The mutations of a target of targets.py, besides those of the fuzzer."""


def _changed(value: Any, rng: random.Random) -> Any:
    """Return the value with one part of it replaced, removed, or put in the place of another."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return rng.choice(NASTY)
    key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
    changed = value.copy()
    if (chance := rng.random()) < 0.1:
        del changed[key]
    elif chance < 0.2:
        changed[key] = value[rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))]
    elif chance < 0.6:
        changed[key] = rng.choice(NASTY)
    else:
        changed[key] = _changed(value[key], rng)
    return changed
