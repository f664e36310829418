"""Mutations that keep JSON JSON, and lengths right: random bytes hardly ever get past either."""

import io
import json
import random
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from fuzz.data_targets import ROW_SUFFIXES
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


def mutate_rows(data: bytes, rng: random.Random) -> bytes | None:
    """Change a line of JSON."""
    if not data or ROW_SUFFIXES[data[0] % len(ROW_SUFFIXES)] not in (".jsonl", ".json"):
        return None
    lines = data[1:].splitlines() or [b""]
    number = rng.randrange(len(lines))
    changed = mutate_json(lines[number], rng)
    return None if changed is None else data[:1] + b"\n".join([*lines[:number], changed, *lines[number + 1 :]])


def mutate_archive(data: bytes, rng: random.Random) -> bytes | None:
    """Change a file in a ZIP archive: remove, repeat or replace a piece of it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data[1:])) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError):
        return None
    if not files:
        return None
    name = rng.choice(list(files))
    pieces = re.split(rb"(?=<)", files[name])
    first, second = rng.randrange(len(pieces)), rng.randrange(len(pieces))
    pieces[first] = rng.choice([b"", pieces[second], pieces[first] * rng.choice([2, 50]), b"<x>", b"&#0;", b"\xff"])
    files[name] = b"".join(pieces)
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content in files.items():
            archive.writestr(each, content)
    return data[:1] + changed.getvalue()


MUTATIONS: Mapping[str, Mutate] = {
    "safetensors": mutate_folder,
    "packed": mutate_json,
    "rows": mutate_rows,
    "documents": mutate_archive,
}
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
