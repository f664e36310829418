"""The server's metrics as pages show them: sums, and rates between two looks."""

import re
import time
from collections.abc import Sequence

from llmos.console.view import View

_MODEL = re.compile(r'model_name="((?:[^"\\]|\\.)*)"')
TOKENS = "llmos_generation_tokens_total"


async def read_sums(view: View, names: Sequence[str], *, model: str | None = None) -> dict[str, float]:
    """Return the sums of metrics over all labels. `model`: of this version only."""
    return sum_metrics((await view.api.send("GET", "/metrics")).body, names, model=model)


def sum_metrics(text: bytes, names: Sequence[str], *, model: str | None = None) -> dict[str, float]:
    sums = dict.fromkeys(names, 0.0)
    for line in text.decode().splitlines():
        name = line.partition("{")[0].partition(" ")[0]
        if name not in sums:
            continue
        if model is not None and ((found := _MODEL.search(line)) is None or found[1] != model):
            continue
        sums[name] += float(line.rpartition(" ")[2])
    return sums


def tokens_per_second(view: View, num_tokens: float) -> float:
    """Return the rate since the look before; 0 at the first one. `num_tokens`: a count that only ever rises."""
    now, before = time.monotonic(), view.memory.get("tokens")
    view.memory["tokens"] = (now, num_tokens)
    return 0.0 if before is None else max(0.0, num_tokens - before[1]) / max(0.1, now - before[0])
