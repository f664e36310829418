"""Import of promptfoo's configuration, as far as it means the same here. What doesn't is listed by name.

Carried over: `prompts` (one text or chat), `tests` with `vars`, `assert`, `threshold` and `description`, `defaultTest`,
and the deterministic assertions below. https://www.promptfoo.dev/docs/configuration/expected-outputs/deterministic/
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.yaml_text import read_yaml

_MAX_INPUT = 64


@dataclass(slots=True)
class Imported:
    document: dict[str, Any]
    """The suite."""
    left_out: list[str] = field(default_factory=list)
    """The parts that aren't carried over, each with its place."""


def read_promptfoo(text: str, source: str, folder: Path) -> Imported:
    """Return the suite of a configuration. Raises BadRequest for one without tests that can be carried over."""
    config = read_yaml(text, source)
    if not isinstance(config, dict) or not isinstance(config.get("tests"), list):
        raise BadRequest(f"{source} has no list of `tests`, as configurations of promptfoo have.")
    found = Imported({})
    found.left_out += [f"{name} (models are named by --model)" for name in config if name in ("providers", "targets")]
    known = {"prompts", "tests", "defaultTest", "description", "providers", "targets", "$schema"}
    found.left_out += [str(name) for name in config if name not in known]
    default = config.get("defaultTest")
    default = default if isinstance(default, dict) else {}
    found.left_out += [f"defaultTest.{name}" for name in default if name not in ("vars", "assert", "threshold")]
    found.document = {**_prompt(config.get("prompts"), folder, found), "cases": []}
    if isinstance(config.get("description"), str):
        found.document["description"] = config["description"]
    used: set[str] = set()
    for index, test in enumerate(config["tests"]):
        if isinstance(test, dict):
            _add_case(test, default, index, found, used)
        else:
            found.left_out.append(f"tests[{index}] (a file, which has to be imported as a dataset)")
    if not found.document["cases"]:
        raise BadRequest(
            f"{source} has no test that can be carried over: {', '.join(found.left_out) or 'none is there'}."
        )
    return found


def suite_yaml(document: Mapping[str, Any]) -> str:
    """Return the suite as YAML."""
    import yaml

    text: str = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=100)
    return text


def _prompt(prompts: Any, folder: Path, found: Imported) -> dict[str, Any]:
    """Return `prompt` and `system` of the suite."""
    listed = prompts if isinstance(prompts, list) else [] if prompts is None else [prompts]
    found.left_out += [f"prompts[{i}] (a suite has one prompt)" for i in range(1, len(listed))]
    if not listed:
        return {}
    first = listed[0].get("raw") if isinstance(listed[0], dict) else listed[0]
    if isinstance(first, str) and first.startswith("file://"):
        first = _read(folder / first.removeprefix("file://").partition(":")[0], found)
    if not isinstance(first, str):
        found.left_out.append("prompts[0] (neither a text nor a file of text)")
        return {}
    if "{%" in first or "|" in first.partition("{{")[2].partition("}}")[0]:
        found.left_out.append("prompts[0]: filters and blocks of its template language")
    return _messages(first) or {"prompt": first}


def _messages(text: str) -> dict[str, Any] | None:
    """Return the prompt of a chat with at most a system message and one of the user; None for other texts."""
    try:
        messages = json.loads(text)
    except ValueError:
        return None
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        return None
    roles = [each.get("role") for each in messages]
    if roles not in (["user"], ["system", "user"]):
        return None
    system = {"system": messages[0]["content"]} if len(messages) == 2 else {}
    return {**system, "prompt": messages[-1]["content"]}


def _read(path: Path, found: Imported) -> str | None:
    if path.suffix not in (".txt", ".md", ".json"):
        return None
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        found.left_out.append(f"{path.name} can't be read: {error.strerror}")
        return None


def _add_case(test: Mapping[str, Any], default: Mapping[str, Any], index: int, found: Imported, used: set[str]) -> None:
    where = f"tests[{index}]"
    variables = {**(default.get("vars") or {}), **(test.get("vars") or {})}
    known = {"vars", "assert", "description", "threshold"}
    found.left_out += [f"{where}.{name}" for name in test if name not in known]
    for name, value in list(variables.items()):
        if isinstance(value, list) or (isinstance(value, str) and value.startswith("file://")):
            found.left_out.append(f"{where}.vars.{name} (a file, or several values)")
            return
    checks: list[Any] = []
    asserted = [*(default.get("assert") or []), *(test.get("assert") or [])]
    for number, each in enumerate(asserted):
        checks += _check(each, f"{where}.assert[{number}]", found)
    if not checks:
        found.left_out.append(f"{where} (none of its assertions is carried over)")
        return
    case: dict[str, Any] = {"id": _id(test.get("description"), index, used)}
    case["input"] = variables.get("input") or next(iter(variables.values()), "")
    if variables:
        case["variables"] = variables
    threshold = test.get("threshold", default.get("threshold"))
    if isinstance(threshold, int | float) and 0 < threshold < 1:
        case["threshold"] = threshold
    found.document["cases"].append({**case, "checks": checks})


def _id(description: Any, index: int, used: set[str]) -> str:
    wanted = description if isinstance(description, str) and description.isprintable() else ""
    id = wanted[:_MAX_INPUT] or f"test-{index + 1}"
    id = f"{id} ({index + 1})" if id in used else id
    used.add(id)
    return id


def _check(given: Any, where: str, found: Imported) -> Sequence[Any]:
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        found.left_out.append(f"{where} (no assertion)")
        return []
    kind = given["type"].removeprefix("not-")
    negation = "not_" if given["type"].startswith("not-") else ""
    made = _KINDS[kind](given) if kind in _KINDS else None
    found.left_out += [f"{where}.{name}" for name in given if name not in ("type", "value", "weight", "threshold")]
    if made is None:
        found.left_out.append(f"{where} ({given['type']})")
        return []
    weight = {"weight": given["weight"]} if "weight" in given else {}
    return [{f"{negation}{name}": value, **weight} for name, value in made]


def _escaped(text: str) -> str:
    return "".join(f"\\{each}" if each in r"\.^$*+?{}[]|()/-" else each for each in text)


def _texts(given: Mapping[str, Any]) -> list[str] | None:
    """Return the texts of an assertion about several of them."""
    value = given.get("value")
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(each, str | int | float) for each in listed):
        return None
    return [str(each).strip() for each in listed]


def _one(name: str, pattern: Callable[[str], str] | None = None) -> Callable[[Mapping[str, Any]], Any]:
    """Return the reader of an assertion about one text, which may become a regular expression."""

    def read(given: Mapping[str, Any]) -> Any:
        value = given.get("value")
        if isinstance(value, bool) or not isinstance(value, str | int | float) or str(value).startswith("file://"):
            return None
        return [(name, str(value) if pattern is None else pattern(str(value)))]

    return read


def _several(flags: str, *, needs_all: bool) -> Callable[[Mapping[str, Any]], Any]:
    def read(given: Mapping[str, Any]) -> Any:
        texts = _texts(given)
        if texts is None:
            return None
        is_negated = str(given["type"]).startswith("not-")
        if needs_all and is_negated:
            return [("matches", flags + "".join(f"(?=[\\s\\S]*{_escaped(each)})" for each in texts))]
        if needs_all:
            return [("matches", flags + _escaped(each)) for each in texts]
        return [("matches", f"{flags}({'|'.join(map(_escaped, texts))})")]

    return read


def _number(name: str, factor: float = 1.0) -> Callable[[Mapping[str, Any]], Any]:
    def read(given: Mapping[str, Any]) -> Any:
        threshold = given.get("threshold")
        return None if not isinstance(threshold, int | float) else [(name, threshold * factor)]

    return read


def _is_json(given: Mapping[str, Any]) -> Any:
    schema = given.get("value")
    if schema is not None and not isinstance(schema, dict):
        return None
    return [("json_schema", schema if schema is not None else {})]


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "equals": _one("equals"),
    "contains": _one("matches", _escaped),
    "icontains": _one("contains"),
    "starts-with": _one("matches", lambda text: f"^{_escaped(text)}"),
    "regex": _one("matches"),
    "contains-any": _several("", needs_all=False),
    "contains-all": _several("", needs_all=True),
    "icontains-any": _several("(?i)", needs_all=False),
    "icontains-all": _several("(?i)", needs_all=True),
    "is-json": _is_json,
    "latency": _number("latency", 0.001),
    "cost": _number("cost"),
}
