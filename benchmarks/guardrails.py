"""The time that guardrails add to a call: p50 and p99 for a prompt, and for each chunk of a streamed answer.

    python benchmarks/guardrails.py [--json] [--cpu]

The prompt is English prose of 1,000 characters out of Python's own documentation; the answer is the same prose in
chunks of one word, with the space before it. No model runs. Each guardrail is measured alone, and then the policy
`default`: pii, secrets, denied_topics and max_length together; `all of these` has prompt_injection, toxicity and
language, too. `presidio` is measured where it is installed. `--cpu` counts the thread's processor time, which other
programs on the machine hardly change.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from llmos.security.guardrails.policy import Policy, open_policy
from llmos.security.guardrails.screening import Screening

DENIED = {"guardrail": "denied_topics", "phrases": [f"secret project {name}" for name in "abcdefghijklmnopqrst"]}
GUARDRAILS: dict[str, list[dict[str, Any]]] = {
    "denied_topics": [DENIED],
    "pii": [{"guardrail": "pii", "action": "mask"}],
    "secrets": [{"guardrail": "secrets"}],
    "prompt_injection": [{"guardrail": "prompt_injection", "action": "flag"}],
    "toxicity": [{"guardrail": "toxicity", "action": "flag"}],
    "canary": [{"guardrail": "canary", "tokens": ["x7f3-canary-1c"]}],
    "max_length": [{"guardrail": "max_length", "characters": 10**9}],
    "json_schema": [{"guardrail": "json_schema", "schema": {"type": "object"}, "action": "flag"}],
    "language": [{"guardrail": "language", "allowed": ["en"], "action": "flag"}],
}
GUARDRAILS["default"] = [*GUARDRAILS["pii"], *GUARDRAILS["secrets"], DENIED, *GUARDRAILS["max_length"]]
GUARDRAILS["all of these"] = [
    *GUARDRAILS["default"],
    *GUARDRAILS["prompt_injection"],
    *GUARDRAILS["toxicity"],
    *GUARDRAILS["language"],
]
PROMPT_CHARACTERS = 1000
Clock = Callable[[], float]
REPEATS = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--cpu", action="store_true", help="count processor time")
    options = parser.parse_args()
    clock = time.thread_time if options.cpu else time.perf_counter
    prose = " ".join(" ".join(text.split()) for _, text in sorted(topics.items()))
    if find_spec("presidio_analyzer") is not None:
        GUARDRAILS["presidio"] = [{"guardrail": "presidio", "budget_ms": 10_000}]
    results = [measure(name, entries, prose, clock) for name, entries in GUARDRAILS.items()]
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'guardrail':14} {'prompt p50':>12} {'p99':>9} {'chunk p50':>11} {'p99':>9} {'held back, mean':>17}")
    for each in results:
        print(
            f"{each['guardrail']:14} {_ms(each['prompt_p50'])} ms {_ms(each['prompt_p99'])} {_ms(each['chunk_p50'])} ms"
            f" {_ms(each['chunk_p99'])} {each['held_mean']:11.1f} chars"
        )


def measure(name: str, entries: list[dict[str, Any]], prose: str, clock: Clock) -> dict[str, Any]:
    is_of_output, is_of_input = name in ("canary", "json_schema"), name == "prompt_injection"
    sides = {side: entries for side in ("input", "output") if side != ("input" if is_of_output else None)}
    if any(entry["guardrail"] == "prompt_injection" for entry in entries):
        sides["output"] = [entry for entry in entries if entry["guardrail"] != "prompt_injection"]
    policy = open_policy(name, 1, {side: each for side, each in sides.items() if each})
    prompts = [prose[i * PROMPT_CHARACTERS : (i + 1) * PROMPT_CHARACTERS] for i in range(REPEATS)]
    prompt_seconds = [] if is_of_output else [screen_prompt(policy, text, clock) for text in prompts]
    chunk_seconds, held = ([], [0]) if is_of_input else stream(policy, prose[: 60 * PROMPT_CHARACTERS], clock)
    return {
        "guardrail": name,
        "prompt_p50": quantile(prompt_seconds, 0.5),
        "prompt_p99": quantile(prompt_seconds, 0.99),
        "chunk_p50": quantile(chunk_seconds, 0.5),
        "chunk_p99": quantile(chunk_seconds, 0.99),
        "held_mean": statistics.mean(held),
        "held_max": max(held),
    }


def screen_prompt(policy: Policy, text: str, clock: Clock) -> float:
    """Return the seconds that screening takes."""
    began = clock()
    Screening([policy]).screen_prompt([text])
    return clock() - began


def stream(policy: Policy, text: str, clock: Clock) -> tuple[list[float], list[int]]:
    """Return the seconds of each chunk, and the characters that were held back after it."""
    channel = Screening([policy]).open_channel()
    seconds: list[float] = []
    held: list[int] = []
    num_pushed = num_passed = 0
    for word in text.split(" "):
        chunk = " " + word
        began = clock()
        passed = channel.push(chunk)
        seconds.append(clock() - began)
        num_pushed, num_passed = num_pushed + len(chunk), num_passed + len(passed)
        held.append(num_pushed - num_passed)
    return seconds, held


def quantile(seconds: list[float], share: float) -> float | None:
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))] if seconds else None


def _ms(seconds: float | None) -> str:
    return f"{'–':>9}" if seconds is None else f"{seconds * 1000:9.3f}"


if __name__ == "__main__":
    main()
