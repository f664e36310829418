"""The protocol of an engine in an environment of its own: JSON lines over its standard streams.

    out  {"version": "vllm 0.20", "weight_bytes": 0}                        once, when it has loaded
    in   {"prompts": [[token, …], …], "num_output_tokens": 128}
    out  {"seconds": 1.9, "first_token_seconds": 0.01}

Standard library only: it runs in every peer's environment.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence

Run = Callable[[Sequence[list[int]], int], tuple[float, float]]
"""run(prompts, num_output_tokens) -> (seconds, seconds to the first token): all at once, greedy, ignoring EOS."""

Facts = dict[str, object]
"""Facts about the engine for the report: the fields of results.Facts."""


def serve(load: Callable[[], tuple[Run, Facts]]) -> None:
    """Load the engine, report it, then answer until the input ends. The engine's own output goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines print as they like
    run, facts = load()
    print(json.dumps(facts), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        seconds, first_token_seconds = run(asked["prompts"], asked["num_output_tokens"])
        print(json.dumps({"seconds": seconds, "first_token_seconds": first_token_seconds}), file=answers, flush=True)
