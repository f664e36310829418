"""Measure how often tool calls are correct: cases of the Berkeley Function Calling Leaderboard, over HTTP.

    python benchmarks/tool_calls.py [--cases 100] [--choice auto] [--choice required]

The cases come from the wheel of bfcl-eval (Apache-2.0), which is read and not installed: its own checker wants every
model's vendor library. Right is what its rules for Python call right: the right functions, as many as expected, every
required argument and no unknown one, each with one of the values that the case allows. Of texts, case, space and
punctuation don't count; a whole number is a float, too. Where a case wants one call, `parallel_tool_calls` is false.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import openai

from llmos.client.endpoint import Endpoint, resolve_endpoint

PLACE = Path(__file__).parent.parent / "build" / "bfcl"
CATEGORIES = ("simple_python", "multiple", "parallel", "parallel_multiple")
MAX_TOKENS = 200
_TYPES = {"dict": "object", "float": "number", "tuple": "array"}
"""The leaderboard's names of types -> JSON schema's."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="dialogue")
    parser.add_argument("--cases", type=int, default=100, help="number of cases of each category")
    parser.add_argument("--category", action="append", choices=CATEGORIES, help="categories (default: all)")
    parser.add_argument("--choice", action="append", help="tool_choice: auto, required")
    arguments = parser.parse_args()
    server = resolve_endpoint(None, None)
    for choice in arguments.choice or ["required", "auto"]:
        for category in arguments.category or CATEGORIES:
            cases = load(category)[: arguments.cases]
            right = asyncio.run(score(server, arguments.model, cases, choice, is_parallel="parallel" in category))
            print(f"tool_choice {choice:9} {category:18} {sum(right):4} of {len(cases)} right", flush=True)


def load(category: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return each case with its correct calls."""
    cases = [json.loads(line) for line in _read(f"BFCL_v4_{category}.json")]
    answers = {
        each["id"]: each["ground_truth"] for each in map(json.loads, _read(f"possible_answer/BFCL_v4_{category}.json"))
    }
    return [(case, answers[case["id"]]) for case in cases]


def _read(name: str) -> list[str]:
    if not list(PLACE.glob("*.whl")):
        download = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", PLACE, "bfcl-eval")
        subprocess.run(list(map(str, download)), check=True)
    with zipfile.ZipFile(next(PLACE.glob("*.whl"))) as wheel:
        return wheel.read(f"bfcl_eval/data/{name}").decode().splitlines()


async def score(server: Endpoint, model: str, cases: Any, choice: str, *, is_parallel: bool) -> list[bool]:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=server.api_key, timeout=3600) as client:
        return await asyncio.gather(
            *(is_right(client, model, case, expected, choice, is_parallel=is_parallel) for case, expected in cases)
        )


async def is_right(
    client: openai.AsyncOpenAI, model: str, case: Any, expected: Any, choice: str, *, is_parallel: bool
) -> bool:
    functions = [_as_openai(function) for function in case["function"]]
    completion = await client.chat.completions.create(
        model=model,
        messages=case["question"][0],
        tools=[{"type": "function", "function": function} for function in functions],
        tool_choice=choice,  # type: ignore[arg-type]
        parallel_tool_calls=is_parallel,
        max_completion_tokens=MAX_TOKENS,
        temperature=0,
    )
    if completion.choices[0].finish_reason != "tool_calls":
        return False
    calls = [
        (call.function.name, json.loads(call.function.arguments)) for call in completion.choices[0].message.tool_calls
    ]
    schemas = {function["name"]: function["parameters"] for function in functions}
    return len(calls) == len(expected) and _all_match(calls, expected, schemas)


def _all_match(
    calls: list[tuple[str, dict[str, Any]]], expected: list[dict[str, Any]], schemas: dict[str, Any]
) -> bool:
    """Return whether the calls match the expected ones, in any order."""
    left = [next(iter(each.items())) for each in expected]
    for name, arguments in calls:
        found = next(
            (each for each in left if _name(each[0]) == name and matches(arguments, each[1], schemas[name])), None
        )
        if found is None:
            return False
        left.remove(found)
    return True


def matches(arguments: dict[str, Any], allowed: dict[str, list[Any]], schema: dict[str, Any]) -> bool:
    """Return whether the arguments are allowed. A parameter with "" among its values may be left out."""
    if arguments.keys() - allowed.keys() or set(schema.get("required", [])) - arguments.keys():
        return False
    return all(
        any(same(arguments[name], value) for value in values) if name in arguments else "" in values
        for name, values in allowed.items()
    )


def same(given: Any, wanted: Any) -> bool:
    if isinstance(given, str) and isinstance(wanted, str):
        return _standard(given) == _standard(wanted)
    if isinstance(given, bool) or isinstance(wanted, bool):
        return given is wanted
    if isinstance(given, list) and isinstance(wanted, list):
        return len(given) == len(wanted) and all(map(same, given, wanted))
    if isinstance(given, dict) and isinstance(wanted, dict):
        return not given.keys() - wanted.keys() and all(
            any(same(given[name], value) for value in values) if name in given else "" in values
            for name, values in wanted.items()
        )
    return type(given) in (type(wanted), int, float) and given == wanted


def _standard(text: str) -> str:
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')


def _as_openai(function: dict[str, Any]) -> dict[str, Any]:
    return {**function, "name": _name(function["name"]), "parameters": _schema(function["parameters"])}


def _name(name: str) -> str:
    return name.replace(".", "_")


def _schema(value: Any) -> Any:
    """Return the schema as JSON schema."""
    if isinstance(value, list):
        return [_schema(each) for each in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    if kind == "any":
        return {name: each for name, each in value.items() if name != "type"}
    schema = {
        name: {each: _schema(of) for each, of in value[name].items()} if name == "properties" else _schema(value[name])
        for name in value
    }
    if isinstance(kind, str):
        schema["type"] = _TYPES.get(kind, kind)
    return schema


if __name__ == "__main__":
    main()
